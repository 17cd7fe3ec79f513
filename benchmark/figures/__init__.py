"""Figures of runs: prepared once, drawn by Plotly for web pages and by matplotlib for papers."""

from benchmark.figures.data import FigureData
from benchmark.figures.heatmap import Heatmap, prepare_heatmap
from benchmark.figures.kinds import Figure, FigureKind, figure_kind, figure_kinds, figure_of
from benchmark.figures.matplotlib_heatmap import heatmap_matplotlib
from benchmark.figures.matplotlib_trajectories import trajectories_matplotlib
from benchmark.figures.plotly_heatmap import heatmap_plotly
from benchmark.figures.plotly_trajectories import trajectories_plotly
from benchmark.figures.trajectories import Trajectories, prepare_trajectories

__all__ = [
    "Figure",
    "FigureData",
    "FigureKind",
    "Heatmap",
    "Trajectories",
    "figure_kind",
    "figure_kinds",
    "figure_of",
    "heatmap_matplotlib",
    "heatmap_plotly",
    "prepare_heatmap",
    "prepare_trajectories",
    "trajectories_matplotlib",
    "trajectories_plotly",
]
