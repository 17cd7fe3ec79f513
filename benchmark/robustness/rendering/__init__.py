"""The robustness table as text: for terminals, Markdown, LaTeX, csv and JSON."""

from benchmark.robustness.rendering.files import render_csv, render_json
from benchmark.robustness.rendering.latex import render_latex
from benchmark.robustness.rendering.markdown import render_markdown
from benchmark.robustness.rendering.terminal import render_rich

__all__ = ["render_csv", "render_json", "render_latex", "render_markdown", "render_rich"]
