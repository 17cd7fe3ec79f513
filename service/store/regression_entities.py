"""Baselines, their replays, and the states of runs and alerts: plain frozen records that know no row."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from service.states import JobState

BASELINE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A completed job under a name, as others are compared with it.

    Attributes:
        seq: its place in the order of making; the cursor of a list.
        id: of the name as long as it lives, whichever job it names.
        name: as people call it.
        job_seq: number of the job.
        job_id: of the job; it can be neither extended nor deleted meanwhile.
        job_name: of the job.
        y_ref: the reference of each task in the job's table when the name was set, by label, in raw units.
        alarm_rate: rate of false alarms a run that was asked for; None where it is not calibrated.
        limits: as replays of the job set them; None until all have.
        revision: grows with every change.
        set_at: when it was given this job, in seconds since 1970 by the database's clock.
        set_by: by whom.
    """

    seq: int
    id: str
    name: str
    job_seq: int
    job_id: str
    job_name: str
    y_ref: Mapping[str, float]
    alarm_rate: float | None
    limits: Mapping[str, Any] | None
    revision: int
    set_at: float
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One of the jobs that train the job of a baseline again after a harmless numerical change.

    Attributes:
        number: of the change, from 1.
        job_id: None where the job was deleted.
        state: of the job.
        statistic: how far it got from the baseline, as `worst_change` has it; None while that is not known.
        problem: why it will have none unless somebody does something; None where nothing is wrong.
    """

    number: int
    job_id: str | None
    state: JobState | None
    statistic: float | None
    problem: str | None


class RunState(StrEnum):
    """Where a run of a schedule is in its life.

    Attributes:
        TRAINING: its job has not ended.
        JUDGED: it was compared, or there was nothing to compare it with; `reason` says so.
        FAILED: its job did not end well, or it cannot be compared.
    """

    TRAINING = "training"
    JUDGED = "judged"
    FAILED = "failed"


class AlertState(StrEnum):
    """Where an alert is in its life.

    Attributes:
        OPEN: something is worse, and nobody has said that they know.
        ACKNOWLEDGED: somebody knows; it is not told again while it lasts.
        CLOSED: what was worse is no longer.
    """

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
