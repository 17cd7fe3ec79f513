"""Alerts and what a judge found of a run: plain frozen records that know no row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.regression import Verdict
from service.store.regression_entities import AlertState, RunState

_OVER = frozenset({str(Verdict.SAME), str(Verdict.IMPROVED)})

Measure = Mapping[str, Any]  # a change, as `benchmark.regression.Change.to_dict` writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A regression of an optimizer on a task, for as long as it lasts. Times are seconds since 1970 by the database.

    Attributes:
        seq: its place in the order of opening; the cursor of a list.
        id: short and unique.
        schedule_id: whose runs show it.
        schedule_name: as people call it.
        task: label of the task.
        optimizer: label of the optimizer.
        state: open, acknowledged or closed.
        measures: each that was worse in one of its runs, as the last of them found it.
        first_run_id: the run that opened it.
        last_run_id: the last that was compared while it lasted; of a closed one the one that closed it.
        first_job_id: the job of the first run; None where that was deleted.
        job_id: the job of the last run, likewise.
        baseline_job_id: what the last run was compared with, likewise.
        baseline_name: the named baseline through which that was found.
        opened_at: when the first was judged.
        acknowledged_at: when somebody said last that they know; None where nobody has.
        acknowledged_by: who.
        note: what they said.
        closed_at: when it was over.
    """

    seq: int
    id: str
    schedule_id: str
    schedule_name: str
    task: str
    optimizer: str
    state: AlertState
    measures: tuple[Measure, ...]
    first_run_id: str
    last_run_id: str
    first_job_id: str | None
    job_id: str | None
    baseline_job_id: str | None
    baseline_name: str | None
    opened_at: float
    acknowledged_at: float | None
    acknowledged_by: str | None
    note: str | None
    closed_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run of a schedule whose job has ended, to be judged.

    Attributes:
        id: of the run.
        schedule_id: of its schedule.
        job_id: of its job; None where that was deleted.
        job_state: completed, failed or cancelled.
        job_revision: of the job as it was found.
        job_error: why it failed.
        baseline_job_id: what it is to be compared with; None where there is nothing, or that was deleted.
        baseline_name: the named baseline through which that was found.
        thresholds: of the schedule, as it has them now.
    """

    id: str
    schedule_id: str
    job_id: str | None
    job_state: str | None
    job_revision: int | None
    job_error: str | None
    baseline_job_id: str | None
    baseline_name: str | None
    thresholds: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge found of a run.

    Attributes:
        state: judged or failed.
        verdict: the worst of its comparison; None where there is none.
        comparison: as `benchmark.regression.Comparison.to_dict` writes it.
        measures: values by labels of task and optimizer, and by measure.
        reference: what the values are measured by, so that those of other runs can be laid beside them.
        made_by: versions and revisions by name.
        reason: why it failed, or why there is no verdict.
    """

    state: RunState
    verdict: str | None = None
    comparison: Mapping[str, Any] | None = None
    measures: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None
    made_by: Mapping[str, Any] | None = None
    reason: str | None = None


def after_run(known: Sequence[Measure], changes: Sequence[Measure]) -> tuple[Measure, ...]:
    """Return the measures of an alert after a run: those that it had, as the run found them, and what is worse since.

    Args:
        known: that it had, in their order; none where there was no alert.
        changes: of its optimizer on its task in the run, each measure once.
    """
    found = {change["name"]: change for change in changes}
    kept = {measure["name"]: found.get(measure["name"], measure) for measure in known}
    worse = {name: change for name, change in found.items() if change["verdict"] == str(Verdict.REGRESSED)}
    return tuple({**kept, **worse}.values())


def is_over(measures: Sequence[Measure]) -> bool:
    """Whether all of an alert's measures have recovered.

    An undecided one has where its difference lies within the margin: with few seeds and scattered scores hardly any
    measure is ever the same beyond doubt, and the alert would stay for ever.
    """
    return all(_has_recovered(measure) for measure in measures)


def _has_recovered(measure: Measure) -> bool:
    if measure["verdict"] == str(Verdict.UNDECIDED):
        return bool(abs(measure["difference"]) <= measure["margin"])
    return measure["verdict"] in _OVER
