"""The robustness table and the surfaces of a spec and its records."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from benchmark.records import Record
from benchmark.robustness import (
    AxisInfo,
    GridInfo,
    HeldEqual,
    Reading,
    RobustnessTable,
    TaskScoring,
    View,
    robustness_table,
)
from benchmark.seconds import NOTE, probed_seconds
from benchmark.spec import Grid, Spec
from benchmark.tasks import task_class
from benchmark.views import budget_view, view_frame


def scorings(spec: Spec) -> tuple[TaskScoring, ...]:
    """Return how each task of a spec is scored, in the order of the spec."""
    found = {
        grid.task: TaskScoring(grid.task, grid.metric.name, grid.metric.goal, grid.tolerance, grid.metric.chance)
        for grid in spec.grids
    }
    return tuple(found.values())


def grid_infos(spec: Spec) -> tuple[GridInfo, ...]:
    """Return what each optimizer of a spec sweeps on each task."""
    return tuple(_grid_info(grid, spec.seeds.count) for grid in spec.grids)


def _grid_info(grid: Grid, n_seeds: int) -> GridInfo:
    if grid.design is not None and not grid.is_adaptive:
        axes, points = [(axis.name, axis.scale) for axis in grid.axes], tuple(grid.points)
        return GridInfo.of_points(grid.task, grid.optimizer, axes, points, design=grid.design.method)
    axes_of = tuple(AxisInfo(axis.name, axis.scale, axis.values) for axis in grid.axes)
    if grid.design is None:
        return GridInfo(grid.task, grid.optimizer, axes_of)
    return GridInfo(grid.task, grid.optimizer, axes_of, "tpe", n_planned=grid.n_configurations * n_seeds)


def spec_table(
    spec: Spec,
    records: Mapping[str, Record],
    *,
    view: HeldEqual | None = None,
    step_s: Mapping[str, float] = MappingProxyType({}),
) -> RobustnessTable:
    """Return the robustness table of a spec.

    Args:
        spec: its cells, tasks and metrics.
        records: by config_key; cells without one are missing. They need their curves where a view is given.
        view: what is held equal between optimizers; by default what the budgets hold equal.
        step_s: seconds of a step of one cell alone, by the key of the setting: of these are the seconds of the table,
            as far as they are known, and the view `equal_seconds`.

    Raises:
        TableError: where the view cannot be read off the curves, with the reason and the remedy.
    """
    held = view or budget_view(spec)
    frame, readings = view_frame(spec, records, held, step_s)
    made_by = {(record.setting, record.fingerprint) for record in records.values()}
    return frame_table(spec, frame, made_by, view=held, readings=readings, step_s=step_s)


def frame_table(
    spec: Spec,
    frame: pd.DataFrame,
    made_by: Collection[tuple[str, str]],
    *,
    view: View | None = None,
    readings: Sequence[Reading] = (),
    step_s: Mapping[str, float] = MappingProxyType({}),
) -> RobustnessTable:
    """Return the robustness table of a spec whose records are a frame already.

    Args:
        spec: its cells, tasks and metrics.
        frame: as `benchmark.frame.results_frame` makes it.
        made_by: settings of the records, each with the fingerprints under which they were made.
        view: what the frame holds equal between optimizers; by default what the budgets do.
        readings: where the runs were read for that.
        step_s: as `spec_table` takes them.

    Raises:
        TableError: where the runs allow no table, with what is wrong and where.
    """
    frame, probed = probed_seconds(frame, ((one.task, one.optimizer, one.setting.key) for one in spec.grids), step_s)
    return robustness_table(
        frame,
        scorings(spec),
        grid_infos(spec),
        view=view or budget_view(spec),
        readings=readings,
        fingerprints={fingerprint for _, fingerprint in made_by},
        mixed=_is_mixed(made_by),
        notes={task: (*notes, *([NOTE] if task in probed else [])) for task, notes in about_tasks(spec).items()},
    )


def is_mixed(records: Iterable[Record]) -> bool:
    """Whether records that differ in nothing but hyperparameters and seed were made under different fingerprints."""
    return _is_mixed({(record.setting, record.fingerprint) for record in records})


def _is_mixed(made_by: Collection[tuple[str, str]]) -> bool:
    return len(made_by) > len({setting for setting, _ in made_by})


def about_tasks(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Return what was trained on each task, as a reader of its table must know: a sentence on all, and on some rows."""
    notes: dict[str, tuple[str, ...]] = {}
    for task in dict.fromkeys(grid.task for grid in spec.grids):
        grids = [grid for grid in spec.grids if grid.task == task]
        setting = grids[0].setting
        defaults = task_class(setting.task).Parameters()
        changed = {name: value for name, value in setting.task_params.items() if value != getattr(defaults, name)}
        budget = {name: value for name, value in setting.budget.model_dump(mode="json").items() if value}
        shared = set.intersection(*(set(_base(grid)) for grid in grids))
        whole = f"Task {setting.task} version {setting.task_version}{_texts(changed.items(), start=', ')}"
        own = {grid.optimizer: [item for item in _base(grid) if item not in shared] for grid in grids}
        notes[task] = (
            f"{whole}; {_texts(budget.items())}{_texts(sorted(shared), start='; ')}.",
            *(f"{optimizer}: {_texts(items)}." for optimizer, items in own.items() if items),
        )
    return notes


def _base(grid: Grid) -> list[tuple[str, object]]:
    """Return base and held hyperparameters, without those that are off."""
    held: list[tuple[str, object]] = [("base", grid.setting.base)]
    held += [(name, value) for name, value in grid.fixed.items() if value]
    if grid.partner is not None:
        held.append(("radius", f"of {grid.partner.rule} at the same point"))
    return held


def _texts(items: Iterable[tuple[str, object]], start: str = "") -> str:
    text = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in items)
    return start + text if text else ""
