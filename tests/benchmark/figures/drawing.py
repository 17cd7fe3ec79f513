"""Heat maps of surfaces, prepared and drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.figures import heatmap_matplotlib, heatmap_plotly, prepare_heatmap
from benchmark.robustness import TaskScoring


def image_of(shown: Sequence[Mapping[str, Any]], scoring: TaskScoring, **options: Any) -> bytes:
    return heatmap_matplotlib(prepare_heatmap(shown, scoring), **options)


def web_of(shown: Sequence[Mapping[str, Any]], scoring: TaskScoring) -> dict[str, Any]:
    return heatmap_plotly(prepare_heatmap(shown, scoring))
