"""History: where the levels of a schedule's measures changed, and what else changed with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from benchmark.regression import LevelChange, RunMeasures, level_changes
from service.store import ScheduledRun, Store

N_RUNS = 200  # back in time, at most


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A run from which on measures had another level.

    Attributes:
        run: the first of the new level.
        before: the last measured run of the old one.
        changes: of which measures.
        differs: what of the making of the two runs is not the same, by name: before and after, None where one lacks it.
    """

    run: ScheduledRun
    before: ScheduledRun
    changes: tuple[LevelChange, ...]
    differs: Mapping[str, tuple[Any, Any]]


def change_points(store: Store, schedule_id: str) -> tuple[ChangePoint, ...]:
    """Return where measures changed their level over the last runs of a schedule, oldest first.

    Only runs since the spec last changed count: another spec measures something else, by another reference.

    Args:
        store: where they are.
        schedule_id: id or name of the schedule.

    Raises:
        NotFoundError: if there is no such schedule.
    """
    runs = [run for run in reversed(store.scheduled_runs(schedule_id, N_RUNS)) if run.reference is not None]
    stretches = [list(group) for _, group in groupby(runs, key=_spec)]
    alike = stretches[-1] if stretches else []
    found = level_changes([_measures(run) for run in alike])
    return tuple(
        ChangePoint(alike[index], alike[index - 1], tuple(changes), _differs(alike[index - 1], alike[index]))
        for index, changes in groupby(found, key=lambda change: change.index)
    )


def _spec(run: ScheduledRun) -> object:
    return (run.reference or {})["spec"]


def _measures(run: ScheduledRun) -> RunMeasures:
    reference = run.reference or {}
    return RunMeasures(reference["y_ref"], run.measures or {}, reference["margins"])


def _differs(before: ScheduledRun, after: ScheduledRun) -> dict[str, tuple[Any, Any]]:
    one, other = before.made_by or {}, after.made_by or {}
    names = sorted(one.keys() | other.keys())
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}
