"""Resolve a spec: names against the registries, every hyperparameter to an axis or a value, entries to grids."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from benchmark.canonical import round_significant
from benchmark.errors import Problem, TaskFaultError
from benchmark.parsing import MAX_PROBLEMS, pointer, unknown_name
from benchmark.records import Scalar
from benchmark.spec.axes import Axis
from benchmark.spec.controls import CONTROL, PARTNER, control_label, control_problems, partner_labels
from benchmark.spec.grids import Design, Grid, GridAxis, Setting
from benchmark.spec.models import BaseEntry, Budget, OptimizerEntry, TaskEntry
from benchmark.spec.steps import rule_problems, task_problems
from benchmark.tasks import Metric, ParamValue, task_class, task_faults, task_names
from optimizers import (
    NO_BASE,
    BaseInfo,
    Hyperparameter,
    HyperparameterError,
    base_info,
    base_names,
    build,
    optimizer_info,
    optimizer_names,
)
from optimizers.functional import is_functional

if TYPE_CHECKING:
    from benchmark.spec.spec import Spec

MAX_TWINS = 20  # grids with a configuration in common that are named
MIN_WIDTH = 1e-6  # of an interval, as a share of its larger end: rounding has to leave room for a design
LEAST_END = 1e-290  # of the larger end: below, numbers lose their digits
Place = tuple[int | str, ...]


@dataclass(frozen=True)
class _Source:
    """Where a hyperparameter gets its values from, and where that stands in the spec."""

    values: Axis | Scalar
    place: Place


@dataclass(frozen=True)
class _Task:
    label: str
    name: str
    version: int
    params: Mapping[str, ParamValue]
    budget: Budget
    budget_place: Place
    metric: Metric
    tolerance: float


@dataclass(frozen=True)
class _Arm:
    label: str
    rule: str
    base: str
    axes: tuple[GridAxis, ...]
    fixed: Mapping[str, Scalar]
    n_points: int  # of the grid over its axes, which have their ends alone where these would be too many
    partner: str | None = None  # rule whose radius it takes


def resolve(spec: "Spec", max_cells: int) -> tuple[tuple[Grid, ...], list[Problem]]:
    """Return the grids of a spec, and what is wrong with its names, values and size; no grids where anything is."""
    problems: list[Problem] = []
    entries = _entries(spec)
    if not entries:
        return (), [Problem("/optimizers", "at least one optimizer is needed, or gd: true.")]
    titles = [(entry.title, place) for entry, place in entries]
    titles += [(control_label(label), ("controls", 0)) for label in partner_labels(spec)]
    _check_unique(titles, "optimizer", problems)
    _check_unique(((entry.title, ("tasks", index)) for index, entry in enumerate(spec.tasks)), "task", problems)
    tasks = [_task(spec, entry, ("tasks", index), problems) for index, entry in enumerate(spec.tasks)]
    arms = [_arm(spec, entry, place, max_cells, problems) for entry, place in entries if len(problems) < MAX_PROBLEMS]
    _check_used(spec, entries, problems)
    problems += control_problems(spec)
    if problems:
        return (), list(dict.fromkeys(problems))[:MAX_PROBLEMS]
    found = [part for arm in arms if arm for part in (arm, *_controls(spec, arm))]
    # by the spec alone: which optimizers there are must not change the points of the others
    names = tuple(dict.fromkeys([*spec.space, *(name for entry in spec.optimizers for name in entry.space)]))
    pairs = [(task, arm) for task in tasks if task for arm in found]
    problems += _too_many(spec, pairs, max_cells)
    problems += dict.fromkeys(
        problem for task, arm in pairs for problem in rule_problems(arm.rule, task.budget, _within(task.budget_place))
    )
    if problems:
        return (), problems[:MAX_PROBLEMS]
    grids = tuple(_grid(spec, task, arm, names) for task, arm in pairs)
    problems += _twins(grids)
    if spec.resources.pack == "fused":
        problems += _unfusable(grids)
    return (() if problems else grids), problems


def _within(place: Place) -> Callable[[str], str]:
    """Return what points to the keys at a place."""
    return lambda key: pointer(*place, key)


def _unfusable(grids: Iterable[Grid]) -> list[Problem]:
    """Return a problem where the spec asks for cells to be trained at once that cannot be."""
    names = [
        grid.title
        for grid in grids
        if not task_class(grid.setting.task)(grid.setting.task_params).can_fuse
        or not is_functional(grid.setting.rule, grid.setting.base)
        or not grid.setting.budget.can_fuse
    ]
    if not names:
        return []
    detail = f"every optimizer, task and budget must allow to train fused, but {names[0]} cannot; use auto."
    return [Problem("/resources/pack", detail)]


def _too_many(spec: "Spec", pairs: Sequence[tuple[_Task, _Arm]], max_cells: int) -> list[Problem]:
    """Return a problem where there are more cells than a job may have; nothing that grows with them is done before."""
    n_drawn = None if spec.search.method == "grid" else spec.search.n_configurations or 1
    sizes = [(task, arm, n_drawn if n_drawn and arm.axes else arm.n_points) for task, arm in pairs]
    n_cells, n_seeds = sum(n for _, _, n in sizes) * spec.seeds.count, spec.seeds.count
    if n_cells <= max_cells:
        return []
    parts = " + ".join(f"{arm.label} on {task.label}: {n:,}" for task, arm, n in sizes[:8])
    more = " + ..." if len(sizes) > 8 else ""
    detail = (
        f"n_cells <= {max_cells:,} must hold, but this spec has {n_cells:,} cells "
        f"({n_seeds:,} seeds x configurations {parts}{more}). Use fewer points an axis or fewer seeds."
    )
    return [Problem("", detail)]


def _twins(grids: Iterable[Grid]) -> list[Problem]:
    """Return a problem for each grid that has a configuration in common with an earlier one."""
    problems: list[Problem] = []
    by_setting: dict[str, list[Grid]] = {}
    for grid in grids:
        earlier = by_setting.setdefault(grid.setting.key, [])
        twin = next((other for other in earlier if other.overlaps(grid)), None)
        if twin:
            detail = f"no configuration may stand twice, but '{twin.title}' and '{grid.title}' have one in common."
            problems.append(Problem("/optimizers" if twin.task == grid.task else "/tasks", detail))
        if len(problems) == MAX_TWINS:
            break
        earlier.append(grid)
    return problems


def _entries(spec: "Spec") -> list[tuple[OptimizerEntry, Place]]:
    """Return the optimizer entries with their places, `gd` among them unless the spec says no."""
    entries: list[tuple[OptimizerEntry, Place]] = [
        (entry, ("optimizers", index)) for index, entry in enumerate(spec.optimizers)
    ]
    if spec.gd and not any(entry.name == "gd" for entry in spec.optimizers):
        entries.insert(0, (OptimizerEntry(name="gd"), ("gd",)))
    return entries


def _controls(spec: "Spec", arm: _Arm) -> list[_Arm]:
    """Return the control of an arm, which has its points: the hyperparameters of the two rules are the same."""
    if not spec.controls or arm.rule != PARTNER:
        return []
    return [replace(arm, label=control_label(arm.label), rule=CONTROL, partner=arm.rule)]


def _grid(spec: "Spec", task: _Task, arm: _Arm, names: tuple[str, ...]) -> Grid:
    setting = Setting(task.name, task.version, task.params, arm.rule, arm.base, task.budget)
    search, design = spec.search, None
    if search.method != "grid" and arm.axes:  # an optimizer without axes has its one configuration under any search
        design = Design(search.method, search.n_configurations or 1, search.seed or 0, names)
    partner = replace(setting, rule=arm.partner) if arm.partner else None
    return Grid(task.label, arm.label, setting, arm.axes, arm.fixed, task.metric, task.tolerance, design, partner)


def _check_unique(labels: Iterable[tuple[str, Place]], kind: str, problems: list[Problem]) -> None:
    seen: set[str] = set()
    for label, place in labels:
        if label in seen:
            detail = f"{kind} labels must be unique, but got '{label}' twice; give one of them a label of its own."
            problems.append(Problem(pointer(*place), detail))
        seen.add(label)


def _task(spec: "Spec", entry: TaskEntry, place: Place, problems: list[Problem]) -> _Task | None:
    if entry.name not in task_names():
        problems.append(Problem(pointer(*place, "name"), unknown_name("task", entry.name, task_names())))
        return None
    kind = task_class(entry.name)
    params, found = kind.parse_params(entry.params)
    problems += [Problem(pointer(*place, "params") + problem.pointer, problem.detail) for problem in found]
    choice, metric_place = (entry.metric, (*place, "metric")) if entry.metric else (spec.metric, ("metric",))
    metrics = {metric.name: metric for metric in kind.metrics}
    name = choice.name or kind.metrics[0].name
    if name not in metrics:
        problems.append(Problem(pointer(*metric_place, "name"), unknown_name(f"metric of {entry.name}", name, metrics)))
        return None
    tolerance = metrics[name].tolerance if choice.tolerance is None else choice.tolerance
    budget, budget_place = (entry.budget, (*place, "budget")) if entry.budget else (spec.budget, ("budget",))
    if found:
        return None
    try:
        with task_faults(entry.name):
            task = kind(params)
            metric = replace(metrics[name], chance=task.chance(name))
            unfit = list(task_problems(task, budget, _within(budget_place)))
    except TaskFaultError as error:
        problems.append(Problem(pointer(*place, "params"), str(error)))
        return None
    problems += unfit
    if unfit:
        return None
    return _Task(entry.title, kind.name, kind.version, params, budget, budget_place, metric, tolerance)


def _arm(spec: "Spec", entry: OptimizerEntry, place: Place, max_cells: int, problems: list[Problem]) -> _Arm | None:
    n_before = len(problems)
    base_entry, base_place = (entry.base, (*place, "base")) if entry.base else (spec.base, ("base",))
    if entry.name not in optimizer_names():
        problems.append(Problem(pointer(*place, "name"), unknown_name("optimizer", entry.name, optimizer_names())))
    if base_entry.name not in base_names():
        detail = unknown_name("base optimizer", base_entry.name, base_names())
        problems.append(Problem(pointer(*base_place, "name"), detail))
    if entry.name not in optimizer_names() or base_entry.name not in base_names():
        return None
    if not optimizer_info(entry.name).has_base:
        if entry.base:
            detail = f"an optimizer that takes the descent step itself has no base, but '{entry.title}' got one."
            problems.append(Problem(pointer(*base_place), f"{detail} Remove it."))
        base_entry = BaseEntry(name=NO_BASE)  # that of the job is for the others
    base = base_info(base_entry.name)
    known = {**base.hyperparameters, **optimizer_info(entry.name).hyperparameters}
    base_sources = {name: _Source(value, (*base_place, name)) for name, value in base_entry.hyperparameters.items()}
    for name in base_sources.keys() - base.hyperparameters.keys():
        detail = unknown_name(f"hyperparameter of {base.name}", name, base.hyperparameters)
        problems.append(Problem(pointer(*base_place, name), detail))
    outer = _sources(spec.space, spec.fixed, () if entry.base else base_sources, (), problems)
    inner = _sources(entry.space, entry.fixed, base_sources if entry.base else (), place, problems)
    for name in inner.keys() - known.keys() - base_sources.keys():
        over = "" if base.name == NO_BASE else f" over {base.name}"
        detail = unknown_name(f"hyperparameter of {entry.name}{over}", name, known)
        problems.append(Problem(pointer(*inner[name].place), detail))
    sources = {**outer, **inner}
    swept = [source.values for name, source in sources.items() if name in known and isinstance(source.values, Axis)]
    n_points = math.prod(axis.n_points for axis in swept)
    axes: list[GridAxis] = []
    fixed: dict[str, Scalar] = {}
    for name, hyperparameter in known.items():
        source = sources.get(name)
        if source is None and hyperparameter.default is None:
            detail = f"{name} of '{entry.title}' must be given: as an axis in space, or as one value in fixed."
            problems.append(Problem(pointer(*place) if place != ("gd",) else "/space", detail))
        elif source is None:
            fixed[name] = hyperparameter.check(hyperparameter.default)
        elif isinstance(source.values, Axis):
            problems += _unfit(source.values, source.place, spec.search.method)
            axis = source.values if n_points <= max_cells else source.values.of_ends()
            points = _typed_points(axis, source.place, hyperparameter, problems)
            axes.append(GridAxis(name, source.values.scale, points))
        else:
            fixed |= _typed_value(source.values, source.place, hyperparameter, problems)
    if len(problems) == n_before and spec.search.method != "grid":
        problems += _too_few(entry.title, axes, place)
    if len(problems) > n_before:
        return None
    problems += _refusals(
        entry.name, base, axes, fixed, {name: source.place for name, source in sources.items()}, place
    )
    order = {name: index for index, name in enumerate(sources)}
    in_order = tuple(sorted(axes, key=lambda axis: order[axis.name]))
    return _Arm(entry.title, entry.name, base.name, in_order, fixed, n_points)


def _sources(
    space: Mapping[str, Axis],
    fixed: Mapping[str, Scalar],
    base: Mapping[str, _Source] | tuple[()],
    place: Place,
    problems: list[Problem],
) -> dict[str, _Source]:
    """Return what one level of the spec, the job's or an entry's, says of each hyperparameter."""
    sources = dict(base)
    for key, values in (("fixed", fixed), ("space", space)):
        for name, value in values.items():
            if name in sources:
                other = pointer(*sources[name].place)
                detail = f"'{name}' may be given once in an entry, but {other} gives it as well; remove one of the two."
                problems.append(Problem(pointer(*place, key, name), detail))
            sources[name] = _Source(value, (*place, key, name))
    return sources


def _refusals(
    rule: str,
    base: BaseInfo,
    axes: Iterable[GridAxis],
    fixed: Mapping[str, Scalar],
    places: Mapping[str, Place],
    place: Place,
) -> list[Problem]:
    """Return why the optimizer cannot be built although each value alone is fine: a condition on several of the base's.

    Such conditions are on an end of a range (a momentum of 0), so the corners of the base's axes show them.
    """
    ends = {axis.name: sorted({min(axis.values), max(axis.values)}) for axis in axes}
    corners = {name: values if name in base.hyperparameters else values[:1] for name, values in ends.items()}
    parameter = torch.zeros(1, requires_grad=True)
    for corner in itertools.product(*corners.values()):
        try:
            build(rule, [parameter], base.name, {**fixed, **dict(zip(corners, corner, strict=True))}, total_steps=1)
        except HyperparameterError as error:
            return [Problem(pointer(*places.get(error.name, place)), str(error))]
    return []


def _unfit(axis: Axis, place: Place, method: str) -> list[Problem]:
    """Return why an axis does not go with a search: a grid needs the points of an interval, and nothing else does."""
    if axis.values is not None or (axis.n is not None) == (method == "grid"):
        return []
    if axis.n is None:
        return [Problem(pointer(*place), f"n, the number of points, must be given with {axis.scale} in a grid.")]
    detail = f"n goes with a grid only, but the search is {method} and puts its own points into the interval; remove n."
    return [Problem(pointer(*place, "n"), detail)]


def _too_few(title: str, axes: Iterable[GridAxis], place: Place) -> list[Problem]:
    """Return a problem where the axes of an optimizer hold too few values for configurations that all differ."""
    spans = [axis.values for axis in axes if axis.scale != "values"]
    narrow = [span for span in spans if span[1] - span[0] <= max(MIN_WIDTH * _largest(span), LEAST_END)]
    if narrow:
        detail = f"low < high must hold by a millionth and more, but '{title}' has {list(narrow[0])}."
        return [Problem(pointer(*place), detail)]
    if not list(axes) or any(isinstance(span[0], float) for span in spans):
        return []
    detail = f"a search that is no grid needs an interval of real numbers to choose from, but '{title}' has none."
    return [Problem(pointer(*place), detail)]


def _largest(span: Iterable[Scalar]) -> float:
    return max(abs(float(end)) for end in span)


def _typed_points(
    axis: Axis, place: Place, hyperparameter: Hyperparameter, problems: list[Problem]
) -> tuple[Scalar, ...]:
    points: list[Scalar] = []
    for index, point in enumerate(axis.points()):
        try:
            points.append(_typed(point, hyperparameter))
        except HyperparameterError as error:
            problems.append(axis.problem(index, place, str(error)))
            if axis.values is None:  # one out of range tells enough of an interval
                break
    return tuple(points)


def _typed_value(
    value: Scalar, place: Place, hyperparameter: Hyperparameter, problems: list[Problem]
) -> dict[str, Scalar]:
    try:
        return {hyperparameter.name: _typed(value, hyperparameter)}
    except HyperparameterError as error:
        problems.append(Problem(pointer(*place), str(error)))
        return {}


def _typed(value: Scalar, hyperparameter: Hyperparameter) -> Scalar:
    """Return a value in the hyperparameter's type, rounded; a float without a fraction is a fine integer."""
    if hyperparameter.kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    typed = hyperparameter.check(value)
    return round_significant(typed) if isinstance(typed, float) else typed


def _check_used(spec: "Spec", entries: list[tuple[OptimizerEntry, Place]], problems: list[Problem]) -> None:
    """Report a name in the job's own space or fixed that no optimizer of the job has."""
    known: set[str] = set()
    for entry, _ in entries:
        base_name = (entry.base or spec.base).name
        if entry.name not in optimizer_names() or base_name not in base_names():
            return  # a name that is wrong already would make this a second complaint
        known |= {*optimizer_info(entry.name).hyperparameters}
        known |= {*base_info(base_name if optimizer_info(entry.name).has_base else NO_BASE).hyperparameters}
    for key, values in (("space", spec.space), ("fixed", spec.fixed)):
        for name in values:
            if name not in known:
                problems.append(Problem(pointer(key, name), unknown_name("hyperparameter", name, known)))
