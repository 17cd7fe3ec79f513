"""Two jobs compared: what changed, with the names of what was compared, as the server tells it and people read it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmark.regression import Comparison, render_report
from service.states import JobState


@dataclass(frozen=True, slots=True)
class ComparedJob:
    """A job that was compared.

    Attributes:
        id: of the job.
        name: of the job.
        state: where it was in its life.
        n_missing: cells without a result.
        made_by: versions and revisions by which its last attempt trained, by name; None before that began.
    """

    id: str
    name: str
    state: JobState
    n_missing: int
    made_by: Mapping[str, str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it has all that it will ever have: it is completed, and no cell is missing."""
        return self.state is JobState.COMPLETED and not self.n_missing


@dataclass(frozen=True, slots=True)
class JobsCompared:
    """What changed from one job to another.

    Attributes:
        baseline_name: name of the baseline; None where a job was named by its id.
        baseline: the job that was.
        candidate: the job that is.
        comparison: what changed.
    """

    baseline_name: str | None
    baseline: ComparedJob
    candidate: ComparedJob
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        jobs = {"baseline": asdict(self.baseline), "candidate": asdict(self.candidate)}
        return {"baseline_name": self.baseline_name, **jobs, **self.comparison.to_dict()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote."""
        own = {name: document[name] for name in ("baseline_name", "baseline", "candidate")}
        rest = {name: value for name, value in document.items() if name not in own}
        return cls(own["baseline_name"], _job(own["baseline"]), _job(own["candidate"]), Comparison.from_dict(rest))

    def report(self) -> str:
        """Return it as Markdown that fits a comment on a pull request."""
        notes = [
            f"job {one.id} is {one.state} and lacks {one.n_missing:,} cells" for one in self._jobs if not one.is_whole
        ]
        name = self.baseline.name if self.baseline_name is None else self.baseline_name
        return render_report(
            self.comparison,
            baseline=f"{name} (job {self.baseline.id})",
            candidate=f"{self.candidate.name} (job {self.candidate.id})",
            notes=notes,
        )

    @property
    def _jobs(self) -> tuple[ComparedJob, ComparedJob]:
        return self.baseline, self.candidate


def _job(values: Mapping[str, Any]) -> ComparedJob:
    return ComparedJob(
        str(values["id"]),
        str(values["name"]),
        JobState(values["state"]),
        int(values["n_missing"]),
        values.get("made_by"),
    )
