"""What a job is and how far it is, as it was when it was last read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from service.client.answers import JobAnswer, JobDetails, Missing, Owner, Progress
from service.client.display import html_bar, html_link, html_text
from service.client.server import Server
from service.states import Action, JobState, Request


class JobFacts:
    """A job of a server, as it was when it was last read; `refresh` reads it again.

    Args:
        client: of the server.
        path: of the job in the API.
        values: the job as the server told it.
    """

    def __init__(self, client: Server, path: str, values: Mapping[str, Any]) -> None:
        self._client = client
        self._path = path
        self._take(values)

    def _take(self, values: Mapping[str, Any]) -> Self:
        self._answer = JobAnswer.of(values)
        self.values = dict(values)
        return self

    def __repr__(self) -> str:
        progress = self.progress
        return f"<Job {self.id} {self.name!r} {self.state} {progress.n_done}/{progress.total}>"

    def _repr_html_(self) -> str:
        """Return the job for a notebook."""
        progress = self.progress
        counts = ("reused", "collapsed", "diverged", "timed_out", "failed")
        noted = [f"{getattr(progress, name)} {name.replace('_', ' ')}" for name in counts if getattr(progress, name)]
        cells = html_text(f"{progress.n_done} of {progress.total} cells" + "".join(f", {note}" for note in noted))
        lines = [
            f"<b>{html_text(self.name)}</b> ({html_link(self.url, self.id)}): {html_text(self.state)}",
            f"{html_bar(progress.n_done, progress.total)} {cells}",
        ]
        lines += [html_text(self.error)] if self.error else []
        return "<br>".join(lines)

    @property
    def id(self) -> str:
        """Its id."""
        return self._answer.id

    @property
    def name(self) -> str:
        """Its name."""
        return self._answer.name

    @property
    def state(self) -> JobState:
        """Where it is in its life."""
        return self._answer.state

    @property
    def requested(self) -> Request | None:
        """What its owner has been asked to do and has not done yet."""
        return self._answer.requested

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self._answer.tags

    @property
    def priority(self) -> int:
        """Of two queued jobs the one with the higher goes first."""
        return self._answer.priority

    @property
    def attempt(self) -> int:
        """How often it was claimed by a dispatcher."""
        return self._answer.attempt

    @property
    def crashes(self) -> int:
        """How often its driver died since the last retry."""
        return self._answer.crashes

    @property
    def rerun_of(self) -> str | None:
        """The job whose packs it trains again; None for one that repeats none."""
        return self._answer.rerun_of

    @property
    def actions(self) -> tuple[Action, ...]:
        """What may be asked of it, as far as it alone tells."""
        return self._answer.actions

    @property
    def submitted_by(self) -> str:
        """Who submitted it."""
        return self._answer.submitted_by

    @property
    def created_at(self) -> datetime:
        """When it was submitted."""
        return self._answer.created_at

    @property
    def started_at(self) -> datetime | None:
        """When it was first claimed."""
        return self._answer.started_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return self._answer.finished_at

    @property
    def error(self) -> str | None:
        """Why it failed, or what went wrong last."""
        return self._answer.error

    @property
    def progress(self) -> Progress:
        """How far it is, counted in cells."""
        return self._answer.progress

    @property
    def owner(self) -> Owner | None:
        """Who runs it; None while nobody does."""
        return self._details.owner

    @property
    def missing(self) -> Missing:
        """How many cells have no result and why, and the first few of those tried."""
        return self._details.missing

    @property
    def max_crashes(self) -> int:
        """So many crashes since the last retry end it."""
        return self._details.max_crashes

    @property
    def retried_after(self) -> int:
        """The attempt that the last retry or extension came after; 0 when there was none."""
        return self._details.retried_after

    @property
    def spec(self) -> dict[str, Any]:
        """What it runs, defaults filled in."""
        return self._details.spec

    @property
    def url(self) -> str:
        """The page of the job in the dashboard."""
        return f"{self._client.url}/jobs/{self.id}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.state.is_terminal

    def refresh(self) -> Self:
        """Read the job again."""
        return self._take(self._client.json("GET", self._path))

    @property
    def _details(self) -> JobDetails:
        """What jobs of a list come without: they are read again."""
        return JobDetails.of((self if "missing" in self.values else self.refresh()).values)
