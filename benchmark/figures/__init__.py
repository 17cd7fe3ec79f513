"""Figures of results: prepared once, drawn by Plotly for web pages and by matplotlib for papers."""

from benchmark.figures.heatmap import Heatmap, prepare_heatmap
from benchmark.figures.matplotlib_heatmap import heatmap_matplotlib
from benchmark.figures.matplotlib_sharpness import sharpness_matplotlib
from benchmark.figures.matplotlib_trajectories import trajectories_matplotlib
from benchmark.figures.plotly_heatmap import heatmap_plotly
from benchmark.figures.plotly_sharpness import sharpness_plotly
from benchmark.figures.sharpness import SharpnessFigure, prepare_sharpness
from benchmark.figures.trajectories import Trajectories, prepare_trajectories

__all__ = [
    "Heatmap",
    "SharpnessFigure",
    "Trajectories",
    "heatmap_matplotlib",
    "heatmap_plotly",
    "prepare_heatmap",
    "prepare_sharpness",
    "prepare_trajectories",
    "sharpness_matplotlib",
    "sharpness_plotly",
    "trajectories_matplotlib",
]
