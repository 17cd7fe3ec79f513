"""Figures of surfaces: prepared once, drawn by Plotly for web pages and by matplotlib for papers."""

from benchmark.figures.heatmap import Heatmap, prepare_heatmap
from benchmark.figures.matplotlib_heatmap import heatmap_matplotlib
from benchmark.figures.plotly_heatmap import heatmap_plotly

__all__ = ["Heatmap", "heatmap_matplotlib", "heatmap_plotly", "prepare_heatmap"]
