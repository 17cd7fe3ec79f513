"""Proposals: how a spec may well be extended, after what its table says. `benchmark.extension` has the rules."""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.canonical import round_significant
from benchmark.errors import Problem, SpecError
from benchmark.parsing import unknown_name
from benchmark.records import Scalar
from benchmark.robustness import AxisInfo, RobustnessTable
from benchmark.robustness.borders import border_at
from benchmark.robustness.rows import End
from benchmark.spec import Spec
from benchmark.spec.axes import Axis

Place = tuple[str | int, ...]  # of an axis in a document
WAYS: dict[End, str] = {"low": "downward", "high": "upward"}


@dataclass(frozen=True, slots=True)
class Flag:
    """An end of an axis on which the best configuration of an optimizer lies.

    Attributes:
        axis: as the optimizer sweeps it.
    """

    axis: AxisInfo
    end: End
    task: str
    optimizer: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """One way to extend a spec.

    Attributes:
        name: by which it is chosen, such as `high:rho`, `refine:lr` or `seeds`.
        title: what it does.
        reason: why it is proposed; empty where it is only possible.
        spec: the spec that it alone would make.
    """

    name: str
    title: str
    reason: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class _Edit:
    """A change of a document that keeps every cell of the spec that it describes."""

    name: str
    title: str
    reason: str
    apply: Callable[[dict[str, Any]], None]


def flags_of(table: RobustnessTable) -> list[Flag]:
    """Return the ends of axes on which best configurations of a table lie, where there is something beyond."""
    return [
        Flag(axis, border.end, row.task, row.optimizer)
        for row in table.rows
        for border in (row.best.borders if row.best else ())
        for axis in row.grid.axes
        if axis.name == border.axis and border.values
    ]


def proposals(spec: Spec, flags: Iterable[Flag], *, max_cells: int) -> list[Proposal]:
    """Return what a spec may be extended by, each alone: what its table asks for first.

    Args:
        spec: of a job that has ended.
        flags: of its table.
        max_cells: what would be more than this, or out of the range of a hyperparameter, is not proposed.
    """
    found = []
    for edit in _edits(spec, flags):
        try:
            larger = _edited(spec, [edit], max_cells)
        except SpecError:
            continue
        if larger.n_cells > spec.n_cells:  # there may be no whole number beyond
            found.append(Proposal(edit.name, edit.title, edit.reason, larger))
    return found


def extended(spec: Spec, flags: Iterable[Flag], names: Collection[str], *, max_cells: int) -> Spec:
    """Return a spec extended by some of its proposals together.

    Raises:
        SpecError: for a name that is none of a proposal, and where they are too much together.
    """
    edits = {edit.name: edit for edit in _edits(spec, flags)}
    unknown = [name for name in names if name not in edits]
    if unknown:
        raise SpecError([Problem("", unknown_name("proposal", unknown[0], edits))])
    return _edited(spec, [edit for name, edit in edits.items() if name in names], max_cells)


def _edited(spec: Spec, edits: Iterable[_Edit], max_cells: int) -> Spec:
    document = spec.to_dict()
    for edit in edits:
        edit.apply(document)
    return Spec.from_mapping(document, max_cells=max_cells)


def _edits(spec: Spec, flags: Iterable[Flag]) -> Iterator[_Edit]:
    """Yield what may be done to a spec; ends go first, for what is refined afterwards is refined as a whole."""
    if spec.search.method == "grid":
        axes = dict(_axes(spec))
        yield from _outward(axes, list(flags))
        yield from _refined(axes)
    else:
        yield _count("configurations", "configurations", ("search", "n_configurations"), spec.search.n_configurations)
    if spec.search.method != "tpe":
        yield _count("seeds", "seeds", ("seeds", "count"), spec.seeds.count)


def _axes(spec: Spec) -> Iterator[tuple[Place, AxisInfo]]:
    """Yield the axes of a spec that have two ends, by their places."""
    spaces: list[tuple[Place, Any]] = [(("space",), spec.space)]
    spaces += [(("optimizers", index, "space"), entry.space) for index, entry in enumerate(spec.optimizers)]
    for place, space in spaces:
        for name, axis in space.items():
            info = _info(name, axis)
            if info.has_ends:
                yield (*place, name), info


def _info(name: str, axis: Axis) -> AxisInfo:
    return AxisInfo(name, axis.scale, axis.points())


def _outward(axes: dict[Place, AxisInfo], flags: Sequence[Flag]) -> Iterator[_Edit]:
    """Yield an edit for each end on which a best configuration lies: of every axis of that name with those values.

    All of them together, for rows are compared only where most optimizers were given the same values.
    """
    for name, end in dict.fromkeys((flag.axis.name, flag.end) for flag in flags):
        mine = [flag for flag in flags if (flag.axis.name, flag.end) == (name, end)]
        values = {flag.axis.values for flag in mine}
        places = [place for place, axis in axes.items() if axis.name == name and axis.values in values]
        if places:
            axis = axes[places[0]]
            added = border_at(axis, end).values
            counts = f"{len(axis.values)} -> {len(axis.values) + len(added)}"
            numbers = ", ".join(f"{value:.4g}" for value in added)
            title = f"Extend {name} {WAYS[end]} by {len(added)} points: n = {counts} (adds {numbers})"
            yield _Edit(f"{end}:{name}", title, _reason(mine), _going_on(places, end))


def _reason(flags: Sequence[Flag]) -> str:
    tasks = dict.fromkeys(flag.task for flag in flags)
    rows = [f"{', '.join(flag.optimizer for flag in flags if flag.task == task)} on {task}" for task in tasks]
    return f"the best of {'; '.join(rows)} lies at this end"


def _going_on(places: Sequence[Place], end: End) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        for place in places:
            border = border_at(_info(str(place[-1]), Axis.model_validate(_at(document, place))), end)
            _at(document, place[:-1])[place[-1]] = dict(border.space)

    return apply


def _refined(axes: dict[Place, AxisInfo]) -> Iterator[_Edit]:
    for name in dict.fromkeys(axis.name for axis in axes.values()):
        places = [place for place, axis in axes.items() if axis.name == name]
        values = axes[places[0]].values
        counts = f"{len(values)} -> {len(_with_middles(values))}"
        yield _Edit(f"refine:{name}", f"Refine {name}: n = {counts}", "", _refining(places))


def _refining(places: Sequence[Place]) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        for place in places:
            axis = _at(document, place)
            if axis.get("n"):
                axis["n"] = 2 * axis["n"] - 1
            else:
                axis["values"] = _with_middles(sorted(axis["values"]))

    return apply


def _with_middles(values: Sequence[Scalar]) -> list[Scalar]:
    """Return values with one between each two of them: their geometric mean, or where one is not positive the mean."""
    is_whole = all(isinstance(value, int) for value in values)
    middles = [math.sqrt(low * high) if low > 0 else (low + high) / 2 for low, high in itertools.pairwise(values)]
    between = {round(value) if is_whole else round_significant(value) for value in middles}
    return sorted({*values, *between})


def _count(name: str, title: str, place: Place, now: int | None) -> _Edit:
    more = 2 * (now or 1)

    def apply(document: dict[str, Any]) -> None:
        _at(document, place[:-1])[place[-1]] = more

    return _Edit(name, f"More {title}: {now} -> {more}", "", apply)


def _at(document: Any, place: Place) -> Any:
    for part in place:
        document = document[part]
    return document
