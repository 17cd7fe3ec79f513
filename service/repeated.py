"""What came of a rerun: each record beside the one of then, and all of them together."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark import ComparisonError, Record
from benchmark.known import known_cells
from benchmark.records import Scalar
from benchmark.regression import Repetition, Sameness, Side, overall, repetition, worst_change
from benchmark.spec import Cell, Grid
from benchmark.tasks import task_class
from service.comparing import limits_of_baseline
from service.rerunning import Rerun
from service.store import Job, Store
from service.stored_spec import spec_of


@dataclass(frozen=True, slots=True)
class RepeatedRecord:
    """A record that was trained again.

    Attributes:
        before: the record of then.
        again: id of the new one; None while there is none.
        cell: what was trained; None where the spec has it no more.
        repetition: how the two compare.
    """

    before: Record
    again: str | None
    cell: Cell | None
    repetition: Repetition

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        hyperparameters: dict[str, Scalar] = dict(self.before.hyperparameters)
        return {
            "config_key": self.before.config_key,
            "task": self.cell and self.cell.task,
            "optimizer": self.cell and self.cell.optimizer,
            "hyperparameters": hyperparameters,
            "seed": self.before.seed,
            "before": self.before.id,
            "again": self.again,
            "verdict": self.repetition.verdict and str(self.repetition.verdict),
            "reason": self.repetition.reason,
            "differences": dict(self.repetition.differences),
        }


@dataclass(frozen=True)
class RerunAnswer:
    """What came of a rerun so far.

    Attributes:
        job: that trained again.
        n_asked: records that are to be compared.
        records: those of them that are still there, by config_key.
        verdict: on all of them.
        reason: why it is that, or why there is none.
        tolerances: by how much the score of a record may be off, by task, in raw units.
        baseline: name of the baseline whose limits decided on all of them together; None where the tolerances did.
    """

    job: Job
    n_asked: int
    records: tuple[RepeatedRecord, ...]
    verdict: Sameness | None
    reason: str | None
    tolerances: dict[str, float] = field(default_factory=dict)
    baseline: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        counts = Counter(one.repetition.verdict for one in self.records)
        n_of = {str(one): counts[one] for one in Sameness}
        return {
            "job_id": self.job.id,
            "rerun_of": self.job.rerun_of,
            "state": str(self.job.state),
            "verdict": self.verdict and str(self.verdict),
            "reason": self.reason,
            "baseline": self.baseline,
            "tolerances": self.tolerances,
            "counts": {**n_of, "not_compared": self.n_asked - sum(n_of.values())},
            "records": [one.to_dict() for one in self.records],
        }


def rerun_answer(store: Store, job_id: str) -> RerunAnswer:
    """Return what came of a rerun so far.

    A record is within noise where its scores are within the tolerance of its task. All of them together are what the
    worst of them is; but where a whole calibrated baseline was trained again its limits decide, which are made for just
    that: how far the measures of a job move when nothing but rounding changes.

    Raises:
        NotFoundError: when there is no job of that id, or it repeats no other one.
        ForgottenNameError: when it names what is not known here.
    """
    job = store.job(job_id)
    rerun, spec = Rerun.of(job), spec_of(job)
    members = rerun.originals(store)
    wanted = None if rerun.records is None else set(rerun.records)
    counted = {
        record.config_key: record
        for pack in rerun.packs
        for record in pack.counted(members)
        if wanted is None or record.id in wanted
    }
    n_asked = job.n_cells if wanted is None else len(wanted)
    trained = {stored.record.config_key: stored.record for stored in store.iter_records(job.id)}
    cells = {cell.key: cell for cell in known_cells(spec, counted) if cell.key in counted}
    grids = {(grid.task, grid.optimizer): grid for grid in spec.grids}
    found = tuple(_compared(counted[key], trained.get(key), cells.get(key), grids) for key in sorted(counted))
    verdict, reason = _together(job, found, n_asked)
    answer = RerunAnswer(job, n_asked, found, verdict, reason, {grid.task: grid.tolerance for grid in spec.grids})
    is_whole = len(counted) == spec.n_cells and all(one.repetition.verdict for one in found)
    if verdict is Sameness.IDENTICAL or not is_whole:
        return answer
    return _by_limits(store, answer, Side(spec, counted), Side(spec, trained))


def _compared(
    before: Record, again: Record | None, cell: Cell | None, grids: dict[tuple[str, str], Grid]
) -> RepeatedRecord:
    if cell is None:
        return RepeatedRecord(
            before, None if again is None else again.id, None, Repetition(None, "its cell is none any more", {})
        )
    if again is None:
        return RepeatedRecord(before, None, cell, Repetition(None, "it was not trained again yet", {}))
    grid = grids[cell.task, cell.optimizer]
    scores = task_class(grid.setting.task).score_names(grid.metric.name)
    found = repetition(before, again, scores=scores, tolerance=grid.tolerance)
    return RepeatedRecord(before, again.id, cell, found)


def _together(job: Job, found: tuple[RepeatedRecord, ...], n_asked: int) -> tuple[Sameness | None, str | None]:
    """Return what is to be said of all records, and why."""
    verdict = overall([one.repetition.verdict for one in found])
    of_worst = [one for one in found if one.repetition.verdict is verdict]
    n_lost = n_asked - len(found)
    if verdict in (Sameness.DIFFERENT, Sameness.WITHIN_NOISE):
        word = "are different" if verdict is Sameness.DIFFERENT else "are only within noise"
        said = f"{len(of_worst):,} of {n_asked:,} records {word}; the first: {of_worst[0].repetition.reason}"
        return (verdict, said) if verdict is Sameness.DIFFERENT or not n_lost else (None, _lost(n_lost))
    if n_lost:
        return None, _lost(n_lost)
    if verdict is None:
        first = of_worst[0].repetition.reason
        return (
            None,
            f"{len(of_worst):,} of {n_asked:,} records cannot be compared; the first: {first} (job {job.state})",
        )
    return verdict, None


def _lost(n_lost: int) -> str:
    return f"{n_lost:,} of the first records are gone: the job that had them was deleted"


def _by_limits(store: Store, answer: RerunAnswer, before: Side, again: Side) -> RerunAnswer:
    """Return the answer as the limits of a baseline that names the first job decide.

    Of several the strictest counts. The statistic is that of a replay, in whichever direction the measures have moved.
    """
    named = store.baselines_of(answer.job.rerun_of or "")
    calibrated = [(limits.factor, one) for one in named if (limits := limits_of_baseline(one)) is not None]
    if not calibrated:
        return answer
    factor, baseline = min(calibrated, key=lambda pair: pair[0])
    try:
        moved = max(worst_change(*pair, y_ref=baseline.y_ref) for pair in ((before, again), (again, before)))
    except ComparisonError:  # none of the measures can be judged: an adaptive search, or a single seed
        return answer
    verdict = Sameness.WITHIN_NOISE if moved <= factor else Sameness.DIFFERENT
    reason = (
        f"beyond doubt its measures are off by {max(moved, 0.0):.3g} yardsticks at most, and the limits of baseline "
        f"{baseline.name} allow {factor:.3g}; of single records, {answer.reason}"
    )
    return replace(answer, verdict=verdict, reason=reason, baseline=baseline.name)
