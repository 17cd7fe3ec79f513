"""The robustness table as text for terminals and papers, as HTML for notebooks, and as data for programs."""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from benchmark.robustness.rendering.files import long_frame, render_csv, render_json, render_parquet
    from benchmark.robustness.rendering.latex import render_latex
    from benchmark.robustness.rendering.markdown import render_markdown
    from benchmark.robustness.rendering.terminal import render_rich
    from benchmark.robustness.rendering.web import render_html
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = [
    "long_frame",
    "render_csv",
    "render_html",
    "render_json",
    "render_latex",
    "render_markdown",
    "render_parquet",
    "render_rich",
]
