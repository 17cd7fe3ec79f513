"""The baselines of a server."""

from datetime import datetime

from benchmark.regression import DEFAULT_ALARM_RATE
from service.client.answers import Answer
from service.client.connection import path_of, repeatable
from service.client.listing import Listing
from service.client.server import Server


class BaselineLimits(Answer):
    """How far measures move when nothing but rounding changes.

    Attributes:
        factor: yardsticks beyond which a worsening is an alarm.
        alarm_rate: of false alarms a run, that was asked for.
        rank: place of the replay that set the factor, 1 the largest.
        statistics: of the replays, ascending: the largest lower end of an interval of a worsening, in yardsticks.
        kept_rate: of false alarms a run, that the limits keep.
        rate_at_worst: that nineteen of twenty sets of so many replays stay below.
        alarms_a_year: false ones to be expected at most, with one run a day.
    """

    factor: float
    alarm_rate: float
    rank: int
    statistics: tuple[float, ...]
    kept_rate: float
    rate_at_worst: float
    alarms_a_year: float


class ReplayProblem(Answer):
    """A replay that will tell nothing unless somebody does something.

    Attributes:
        number: of the replay.
        job_id: of its job; None where that was deleted.
        problem: what is wrong, and what to do.
    """

    number: int
    job_id: str | None
    problem: str


class Calibration(Answer):
    """How far the replays of a baseline's job are.

    Attributes:
        alarm_rate: of false alarms a run, that was asked for.
        n_replays: how many there are.
        n_done: how many have told how far they got from the baseline.
        problems: those that wait for somebody.
    """

    alarm_rate: float
    n_replays: int
    n_done: int
    problems: tuple[ReplayProblem, ...]

    @property
    def is_stuck(self) -> bool:
        """Whether nothing more will come of it unless somebody does something."""
        return bool(self.problems) and self.n_done + len(self.problems) == self.n_replays


class Baseline(Answer):
    """A completed job under a name, as others are compared with it.

    Attributes:
        name: as people call it.
        job_id: of the job.
        job_name: of the job.
        y_ref: by task, the reference against which scores are measured, in raw units.
        limits: None while it is not calibrated.
        calibration: None where nobody has asked for one.
        revision: grows with every change.
        set_at: when it was given this job.
        set_by: by whom.
    """

    name: str
    job_id: str
    job_name: str
    y_ref: dict[str, float]
    limits: BaselineLimits | None
    calibration: Calibration | None
    revision: int
    set_at: datetime
    set_by: str

    @property
    def is_calibrated(self) -> bool:
        """Whether it has the limits that were asked for last."""
        limits, asked = self.limits, self.calibration
        if limits is None or asked is None:
            return False
        return (limits.alarm_rate, len(limits.statistics)) == (asked.alarm_rate, asked.n_replays)


class Baselines:
    """The baselines of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def set(self, name: str, job_id: str) -> Baseline:
        """Give a completed job a name, or the name another job: the limits of the one that it named before go.

        Raises:
            NotFoundError: when there is no job of that id.
            ConflictError: when the job has not completed, lacks cells, or is mixed.
            ProblemError: when a path cannot hold the name.
        """
        return Baseline.of(self._server.json("PUT", path_of("baseline", name), json={"job_id": job_id}))

    def list(self) -> Listing[Baseline]:
        """Return the baselines, oldest first."""
        columns = ("name", "job", "job name", "limits", "set", "by")
        return Listing(lambda: map(Baseline.of, self._server.pages("/baselines", {})), columns, _row)

    def get(self, name: str) -> Baseline:
        """Return a baseline; raises NotFoundError when there is none of that name."""
        return Baseline.of(self._server.json("GET", path_of("baseline", name)))

    def calibrate(self, name: str, *, alarm_rate: float = DEFAULT_ALARM_RATE, n_replays: int | None = None) -> Baseline:
        """Have the baseline's job replayed, which sets its limits once all replays have ended; see `get` for how far.

        Args:
            name: of the baseline.
            alarm_rate: of false alarms a run, over all measures together.
            n_replays: the least number that the rate needs when None; those that are there count.

        Raises:
            NotFoundError: when there is no baseline of that name.
            ProblemError: when the rate needs more replays.
        """
        body = {"alarm_rate": alarm_rate, "n_replays": n_replays}
        headers = repeatable()
        path = f"{path_of('baseline', name)}/calibrate"
        return Baseline.of(self._server.json("POST", path, json=body, headers=headers))

    def remove(self, name: str) -> None:
        """Take the name away; its job stays, and may be deleted again."""
        self._server.request("DELETE", path_of("baseline", name))


def _row(baseline: Baseline) -> tuple[object, ...]:
    limits = baseline.limits
    asked = baseline.calibration
    told = "not calibrated" if limits is None else f"{100 * limits.kept_rate:.3g} % false alarms a run"
    if asked is not None and not baseline.is_calibrated:
        told = f"{asked.n_done} of {asked.n_replays} replays" + (", some failed" if asked.problems else "")
    return baseline.name, baseline.job_id, baseline.job_name, told, baseline.set_at, baseline.set_by
