"""What came of training again."""

from typing import TYPE_CHECKING

from benchmark.records import Scalar
from benchmark.regression import Sameness
from service.client.answers import Answer
from service.client.display import html_table
from service.states import JobState

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("task", "optimizer", "hyperparameters", "seed", "verdict", "reason", "before", "again")


class RepeatedRecord(Answer):
    """A record, and the one of the same cell that was trained again.

    Attributes:
        config_key: hash of configuration and seed.
        task: label of the task; None where the spec has the cell no more.
        optimizer: label of the optimizer.
        hyperparameters: all of the rule and its base.
        seed: of all randomness.
        before: id of the first record.
        again: id of the new record; None while there is none.
        verdict: None where there is nothing to compare.
        reason: why it is not identical, or there is no verdict.
        differences: of each score, again less before, in raw units.
    """

    config_key: str
    task: str | None
    optimizer: str | None
    hyperparameters: dict[str, Scalar]
    seed: int
    before: str
    again: str | None
    verdict: Sameness | None
    reason: str | None
    differences: dict[str, float]


class RerunAnswer(Answer):
    """What came of training again, of what was recorded when it was asked for.

    Attributes:
        job_id: the job that trained again.
        rerun_of: the job whose packs it trained.
        state: of the job that trained again.
        verdict: on all records; None while it is not known.
        reason: why it is not identical, or there is no verdict.
        baseline: name of the baseline whose limits decided on all of them; None where the tolerances did.
        tolerances: by how much the scores of a record may be off, by task, in raw units.
        counts: records by verdict, and those that are not compared.
        records: by config_key; those that are still there.
    """

    job_id: str
    rerun_of: str
    state: JobState
    verdict: Sameness | None
    reason: str | None
    baseline: str | None = None
    tolerances: dict[str, float]
    counts: dict[str, int]
    records: tuple[RepeatedRecord, ...]

    @property
    def facts(self) -> str:
        """The whole answer in a line."""
        counts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in self.counts.items() if n)
        word = "not known" if self.verdict is None else self.verdict.replace("_", " ")
        return f"{word}: {counts}" + (f". {self.reason}" if self.reason else "")

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """The records as rows under `COLUMNS`, the worst first."""
        order = [Sameness.DIFFERENT, None, Sameness.WITHIN_NOISE, Sameness.IDENTICAL]
        return [_row(one) for one in sorted(self.records, key=lambda one: order.index(one.verdict))]

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row a record, the worst first."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def _repr_html_(self) -> str:
        """Return the answer for a notebook."""
        return html_table(COLUMNS, self.rows, notes=[self.facts])


def _row(one: RepeatedRecord) -> tuple[object, ...]:
    values = ", ".join(f"{name}={value:g}" for name, value in one.hyperparameters.items())
    verdict = None if one.verdict is None else str(one.verdict)
    return one.task, one.optimizer, values, one.seed, verdict, one.reason, one.before, one.again
