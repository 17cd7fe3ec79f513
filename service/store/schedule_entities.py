"""Schedules and their runs: plain frozen records that know no row."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from service.store.errors import InvalidValueError
from service.store.regression_entities import BASELINE_NAME, RunState

SCHEDULE_NAME = BASELINE_NAME
MAX_BEST_OF = 100


class PolicyKind(StrEnum):
    """What a run of a schedule is compared with.

    Attributes:
        NAMED: a named baseline.
        PREVIOUS: the newest run that succeeded.
        BEST_OF: the best of the newest runs that succeeded.
    """

    NAMED = "named"
    PREVIOUS = "previous"
    BEST_OF = "best_of"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePolicy:
    """What a run of a schedule is compared with.

    Attributes:
        kind: how it is chosen when the run starts.
        name: of the baseline, where it is a named one.
        n: of how many runs it is the best, where it is the best of the last ones.

    Raises:
        InvalidValueError: for a name or a number that is missing, or that the kind does not take.
    """

    kind: PolicyKind
    name: str | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        takes = {PolicyKind.NAMED: "name", PolicyKind.BEST_OF: "n"}.get(self.kind)
        given = [word for word in ("name", "n") if getattr(self, word) is not None]
        if given != [takes] * (takes is not None):
            needed = f"takes {takes} and nothing else" if takes else "takes neither name nor n"
            raise InvalidValueError(f"the policy {self.kind} {needed}, but got {', '.join(given) or 'neither'}.")
        if self.n is not None and not 1 <= self.n <= MAX_BEST_OF:
            raise InvalidValueError(f"1 <= n <= {MAX_BEST_OF} must hold, but got n={self.n!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as plain values, without what it does not take."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the policy that `to_dict` wrote."""
        return cls(**{**document, "kind": PolicyKind(document["kind"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a change is an alarm.

    Attributes:
        factor: yardsticks beyond which a worsening is one; None for what the calibration of a named baseline has set,
            and one yardstick without.
        measures: names of those that raise an alarm; None for all that can be judged.

    Raises:
        InvalidValueError: for a factor that is no positive number, and for no measure at all.
    """

    factor: float | None = None
    measures: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.factor is not None and not 0 < self.factor < math.inf:
            raise InvalidValueError(f"the factor must be positive and finite, but got factor={self.factor!r}.")
        if self.measures is not None and not self.measures:
            raise InvalidValueError("at least one measure must raise an alarm; leave measures out for all of them.")

    def to_dict(self) -> dict[str, Any]:
        """Return the thresholds as plain values, without what is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the thresholds that `to_dict` wrote."""
        measures = document.get("measures")
        return cls(factor=document.get("factor"), measures=None if measures is None else tuple(measures))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule to be made.

    Attributes:
        name: by which people know it, unique; as `SCHEDULE_NAME` has it.
        cron: when a run is due, as `service.schedules.Cron` reads it.
        timezone: in which.
        spec: what is run, as plain values.
        n_cells: number of cells in its grid.
        policy: what a run is compared with.
        thresholds: when a change is an alarm.
        webhooks: ids of those that hear of it; None for all that want to hear of such events.
    """

    name: str
    cron: str
    timezone: str = "UTC"
    spec: Mapping[str, Any]
    n_cells: int
    policy: BaselinePolicy
    thresholds: Thresholds = field(default_factory=Thresholds)
    webhooks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(NewSchedule):
    """A schedule as it is now. Times are seconds since 1970 by the database's clock.

    Attributes:
        seq: its place in the order of making, the cursor of a list.
        next_due_at: when its next run is due; None while it is paused.
        revision: grows with every change.
    """

    seq: int
    id: str
    next_due_at: float | None
    revision: int
    created_at: float
    created_by: str

    @property
    def is_paused(self) -> bool:
        """Whether no run is due until somebody resumes it."""
        return self.next_due_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """A run of a schedule as it is now.

    Attributes:
        seq: its place in the order of starts; the cursor of a list.
        schedule_id: whose it is.
        due_at: the first time that it was due; of one that somebody asked for, when that was.
        n_missed: later times that were due too when it started, and for which there is no other run.
        is_manual: whether somebody asked for it.
        job_id: the job that trains it; None where that could not be submitted, or was deleted.
        baseline_job_id: the job that it is compared with, fixed when it started.
        baseline_name: the named baseline through which that was found.
        verdict: on its comparison; None until it is judged, and where there was nothing to compare with.
        comparison: as `benchmark.regression.Comparison.to_dict` writes it; None too in a list that leaves it out.
        measures: values by task, optimizer and measure, in the measure's unit; null where it is not defined.
        reference: what the measures are measured by: the spec, the reference of each task, and margins.
        made_by: what its records were made by: versions and revisions by name, and the fingerprints.
        reason: why it failed, or why it has no verdict.
        created_at: when it started.
        judged_at: when it was judged, or failed.
    """

    seq: int
    id: str
    schedule_id: str
    due_at: float
    n_missed: int
    is_manual: bool
    state: RunState
    job_id: str | None
    baseline_job_id: str | None
    baseline_name: str | None
    verdict: str | None
    comparison: Mapping[str, Any] | None = None
    measures: Mapping[str, Any] | None
    reference: Mapping[str, Any] | None
    made_by: Mapping[str, Any] | None
    reason: str | None
    created_at: float
    judged_at: float | None
