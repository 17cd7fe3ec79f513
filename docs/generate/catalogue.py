"""What a spec may name, and what a table tells, from the registries."""

import math
from collections.abc import Iterable, Iterator

from benchmark.robustness import measures
from benchmark.tasks import Metric, task_class, task_names
from docs.generate.markdown import code, page, table
from docs.generate.schemas import Renderer
from optimizers import Hyperparameter, Source, base_info, base_names, optimizer_info, optimizer_names

LEAD = """\
What comes with Rhobust. A server with [plug-ins](../plugins.md) knows more: `rhobust optimizers`, `rhobust tasks`, or
`/api/v1/optimizers`, `/bases`, `/tasks` and `/measures`. [The science](../science.md) has the formulas."""


def catalogue_page() -> str:
    """Return the page."""
    sections = [
        ("Optimizers", _optimizers()),
        ("Base optimizers", _bases()),
        ("Tasks", _tasks()),
        ("Measures", iter([_measures()])),
    ]
    return page("Catalogue", LEAD, *(f"## {title}\n\n" + "\n\n".join(parts) for title, parts in sections))


def _optimizers() -> Iterator[str]:
    for name in optimizer_names():
        info = optimizer_info(name)
        cost = f"{info.gradient_evaluations():g} gradient evaluations a step by default"
        source = f" {_source(info.source)}." if info.source else ""
        yield f"### {name}\n\n{info.title}: {cost}. Usual: {info.usual}.{source}"
        yield _hyperparameters(info.hyperparameters.values())


def _source(source: Source) -> str:
    return f"{source.authors}, *{source.title}*, {source.year}, arXiv:{source.arxiv}"


def _bases() -> Iterator[str]:
    for name in base_names():
        yield f"### {name}\n\n{_hyperparameters(base_info(name).hyperparameters.values())}"


def _hyperparameters(found: Iterable[Hyperparameter]) -> str:
    rows = [
        (code(one.name), one.kind.__name__, _range(one), "*needed*" if one.default is None else code(one.default),
         one.description)
        for one in found
    ]  # fmt: skip
    return table(("hyperparameter", "kind", "range", "default", "meaning"), rows)


def _range(one: Hyperparameter) -> str:
    if one.kind is bool:
        return ""
    low = "(-∞" if one.low == -math.inf else f"{'(' if one.low_open else '['}{one.low:g}"
    high = "∞)" if one.high == math.inf else f"{one.high:g}{')' if one.high_open else ']'}"
    return f"{low}, {high}"


def _tasks() -> Iterator[str]:
    for name in task_names():
        task = task_class(name)
        split = "" if task.has_split else " It has no split: what is chosen by is what is reported."
        parts = ", by several processes and in micro-batches" if task.can_split else ""
        trained = f" Trained in {' or '.join(task.precisions)}{parts}."
        yield f"### {name}\n\n{task.title}. Version {task.version}.{split}{trained}\n\nSource: {task.source}."
        yield _metrics(task.metrics)
        yield Renderer().fields(task.Parameters.model_json_schema()).replace("| key |", "| parameter |", 1)


def _metrics(found: Iterable[Metric]) -> str:
    rows = [(code(one.name), one.goal, f"{one.tolerance:g}", f"{one.chance:.4g}", one.description) for one in found]
    return table(("metric", "goal", "tolerance", "chance", "meaning"), rows)


def _measures() -> str:
    rows = [
        (code(one.name), one.title, one.definition, one.direction or "", one.unit, one.source) for one in measures()
    ]
    return table(("name", "title", "definition", "better", "unit", "source"), rows)
