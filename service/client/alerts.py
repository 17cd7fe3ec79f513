"""The alerts of a server."""

from collections.abc import Sequence
from datetime import datetime

from benchmark.regression import Change, Verdict
from service.client.answers import Answer
from service.client.connection import path_of
from service.client.listing import Listing
from service.client.server import Server


class Alert(Answer):
    """A regression of an optimizer on a task, for as long as it lasts.

    Attributes:
        id: its id.
        schedule_id: of the schedule whose runs show it.
        schedule_name: its name.
        task: label of the task.
        optimizer: label of the optimizer.
        state: open, acknowledged or closed.
        measures: each that was worse in one of its runs, as the last run that was compared found it.
        first_run_id: the run that opened it.
        last_run_id: the last that was compared; of a closed one the one that closed it.
        first_job_id: the job of the first run; None where that was deleted.
        job_id: the job of the last run, likewise.
        baseline_job_id: what the last run was compared with, likewise.
        baseline_name: of that, where it is a named baseline.
        opened_at: when it was opened.
        acknowledged_at: when somebody said last that they know; None where nobody has.
        acknowledged_by: who.
        note: what they said.
        closed_at: when it was over.
    """

    id: str
    schedule_id: str
    schedule_name: str
    task: str
    optimizer: str
    state: str
    measures: tuple[Change, ...]
    first_run_id: str
    last_run_id: str
    first_job_id: str | None
    job_id: str | None
    baseline_job_id: str | None
    baseline_name: str | None
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None
    closed_at: datetime | None


class Alerts:
    """The alerts of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def list(self, *, state: str | Sequence[str] | None = None, schedule: str | None = None) -> Listing[Alert]:
        """Return alerts, newest first.

        Args:
            state: only those in this state, or in any of these.
            schedule: only those of the schedule of this id or name.
        """
        params = {name: value for name, value in (("state", state), ("schedule", schedule)) if value is not None}
        columns = ("id", "state", "schedule", "task", "optimizer", "worse", "opened", "note")
        return Listing(lambda: map(Alert.of, self._server.pages("/alerts", params)), columns, _row)

    def get(self, alert_id: str) -> Alert:
        """Return an alert; raises NotFoundError when there is none of that id."""
        return Alert.of(self._server.json("GET", path_of("alert", alert_id)))

    def acknowledge(self, alert_id: str, note: str = "") -> Alert:
        """Say that somebody knows of an alert: its runs then count as successes.

        Args:
            alert_id: of one that lasts.
            note: for people; it replaces an earlier one.

        Raises:
            NotFoundError: when there is none of that id.
            ConflictError: when it is closed.
        """
        return Alert.of(self._server.json("POST", f"{path_of('alert', alert_id)}/acknowledge", json={"note": note}))


def _row(alert: Alert) -> tuple[object, ...]:
    worse = ", ".join(measure.name for measure in alert.measures if measure.verdict is Verdict.REGRESSED)
    named = alert.id, alert.state, alert.schedule_name, alert.task, alert.optimizer
    return *named, worse, alert.opened_at, alert.note
