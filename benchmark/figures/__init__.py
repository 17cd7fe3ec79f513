"""Figures of surfaces and trajectories: prepared once, drawn by Plotly for web pages and by matplotlib for papers."""

from benchmark.figures.heatmap import Heatmap, prepare_heatmap
from benchmark.figures.matplotlib_heatmap import heatmap_matplotlib
from benchmark.figures.matplotlib_trajectories import trajectories_matplotlib
from benchmark.figures.plotly_heatmap import heatmap_plotly
from benchmark.figures.trajectories import Trajectories, prepare_trajectories

__all__ = [
    "Heatmap",
    "Trajectories",
    "heatmap_matplotlib",
    "heatmap_plotly",
    "prepare_heatmap",
    "prepare_trajectories",
    "trajectories_matplotlib",
]
