"""The robustness table and the surfaces of a spec and its records."""

from collections.abc import Mapping

from benchmark.frame import results_frame
from benchmark.records import Record
from benchmark.robustness import AxisInfo, GridInfo, RobustnessTable, TaskScoring, robustness_table
from benchmark.spec import Spec


def scorings(spec: Spec) -> tuple[TaskScoring, ...]:
    """Return how each task of a spec is scored, in the order of the spec."""
    found = {
        grid.task: TaskScoring(grid.task, grid.metric.name, grid.metric.goal, grid.tolerance, grid.metric.chance)
        for grid in spec.grids
    }
    return tuple(found.values())


def grid_infos(spec: Spec) -> tuple[GridInfo, ...]:
    """Return what each optimizer of a spec sweeps on each task."""
    return tuple(
        GridInfo(grid.task, grid.optimizer, tuple(AxisInfo(axis.name, axis.scale, axis.values) for axis in grid.axes))
        for grid in spec.grids
    )


def spec_table(spec: Spec, records: Mapping[str, Record]) -> RobustnessTable:
    """Return the robustness table of a spec.

    Args:
        spec: its cells, tasks and metrics.
        records: by config_key; cells without one are missing.
    """
    made_by = {(record.setting, record.fingerprint) for record in records.values()}
    return robustness_table(
        results_frame(spec, records),
        scorings(spec),
        grid_infos(spec),
        fingerprints={fingerprint for _, fingerprint in made_by},
        mixed=len(made_by) > len({setting for setting, _ in made_by}),
    )
