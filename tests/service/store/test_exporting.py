"""Records read by columns."""

import math

import pytest

from benchmark.records import Status
from service.states import JobState
from service.store import NotFoundError, RecordFilter, Store, exporting
from tests.service.store.samples import CURVE, make_record, place, running, write

N = 7


@pytest.fixture
def job_id(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job with records of two shapes, read in pages of 3."""
    monkeypatch.setattr(exporting, "EXPORT_PAGE", 3)
    monkeypatch.setattr(exporting, "CURVES_PAGE", 3)
    job = running(store, n_cells=N)
    records = [make_record(cell, Status.DIVERGED if cell == 4 else Status.COMPLETED) for cell in range(N - 1)]
    write(store, job, records)
    store.write_records(job.id, job.attempt, place(make_record(N - 1, hyperparameters={"k": 2}), optimizer="gd"), 60)
    return job.id


def known(value: float | None) -> float | None:
    """Return a number; None for NaN."""
    return None if value is None or math.isnan(value) else value


def test_columns_are_what_records_hold(store: Store, job_id: str) -> None:
    pages = list(store.iter_columns(job_id, curves=True))
    assert [len(page["id"]) for page in pages] == [3, 3, 1]
    rows = [
        {name: values.tolist()[at] for name, values in page.items()}
        for page in pages
        for at in range(len(page["config_key"]))
    ]
    stored = store.records(job_id)
    assert len(rows) == N
    for row, one in zip(rows, stored, strict=True):
        record, outcome = one.record, one.record.outcome
        assert (row["config_key"], row["id"], row["fingerprint"]) == (record.config_key, record.id, record.fingerprint)
        assert (row["task"], row["optimizer"], row["reused"], row["seed"]) == (
            one.task,
            one.optimizer,
            one.reused,
            record.seed,
        )
        assert (row["status"], known(row["diverged_at_step"])) == (outcome.status, outcome.diverged_at_step)
        assert (row["execution"], row["device"], row["steps"]) == ("fused", "cpu", 30)
        assert row["curve"] == CURVE
        for name in ("lr", "rho", "nesterov", "k"):
            assert known(row.get(name)) == record.hyperparameters.get(name)
        for name in ("train_loss", "test_accuracy"):
            assert known(row.get(name)) == outcome.metrics.get(name)
        assert (row["grad_norm"], known(row["delta_over_rho"])) == (1.5, None)
        assert (row["setting"], row["error"], row["collapsed"]) == (record.setting, outcome.error, outcome.collapsed)


def test_columns_are_filtered(store: Store, job_id: str) -> None:
    def count(status: Status | None = None, optimizer: str | None = None, task: str | None = None) -> int:
        which = RecordFilter(status=status, optimizer=optimizer, task=task)
        return sum(len(page["id"]) for page in store.iter_columns(job_id, which))

    assert (count(), count(Status.DIVERGED), count(optimizer="gd"), count(task="other")) == (N, 1, 1, 0)


def test_no_transaction_is_held_between_pages(store: Store, job_id: str) -> None:
    pages = store.iter_columns(job_id)
    next(pages)
    store.finish(job_id, 1, JobState.COMPLETED)
    store.delete(job_id)
    with pytest.raises(NotFoundError, match="there is no job"):
        next(pages)
    with pytest.raises(NotFoundError, match="there is no job 'nothing'"):
        next(store.iter_columns("nothing"))
