"""`rhobust rerun` and `Job.rerun`: the answer, its forms, and the exit code of each verdict."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from benchmark import Outcome
from benchmark.regression import Sameness
from benchmark.spec import Cell
from service.cli.exits import ExitCode
from service.client import Client, NotFoundError, ProblemError
from service.states import JobState
from service.store import JobQuery, Store
from tests.service.cli.conftest import Cli
from tests.service.filling import completed, diverged, failed, run_made_up, submit, timed_out
from tests.service.processes import until

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def trained_again(
    store: Store, outcome_of: Callable[[Cell], Outcome], state: JobState = JobState.COMPLETED
) -> Iterator[None]:
    """Have the next job run with made-up records as soon as there is one."""

    def run() -> None:
        until(lambda: bool(store.jobs(JobQuery(states={JobState.QUEUED}))), "a job waits", 30)
        run_made_up(store, store.jobs(JobQuery(states={JobState.QUEUED}))[0], outcome_of, state=state)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def nearly(cell: Cell) -> Outcome:
    outcome = completed(cell)
    return replace(outcome, metrics={**outcome.metrics, "train_loss": 0.25})


@pytest.mark.parametrize(
    ("outcome_of", "code", "verdict", "facts"),
    [
        (completed, ExitCode.FINE, "identical", "identical: 20 identical"),
        (
            nearly,
            ExitCode.FINE,
            "within_noise",
            "within noise: 20 within noise. 20 of 20 records are only within noise",
        ),
        (
            diverged,
            ExitCode.REGRESSION,
            "different",
            "different: 20 different. 20 of 20 records are different; the fir",
        ),
        (timed_out, ExitCode.JOB_FAILED, None, "not known: 20 not compared. 20 of 20 records cannot be compared"),
    ],
)
def test_the_exit_code_is_the_verdict(
    cli: Cli,
    url: str,
    store: Store,
    outcome_of: Callable[[Cell], Outcome],
    code: ExitCode,
    verdict: str | None,
    facts: str,
) -> None:
    job = run_made_up(store, submit(store))
    with trained_again(store, outcome_of):
        result = cli("rerun", job.id, "-o", "json")
    assert result.code == code, result.err
    document = json.loads(result.out)
    assert (document["verdict"], document["rerun_of"], len(document["records"])) == (verdict, job.id, 20)
    assert " ".join(result.err.split()).find(facts) > 0, result.err


def test_one_record_is_shown_as_a_row(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store))
    one = store.records(job.id, limit=1)[0].record
    with trained_again(store, completed):
        result = cli("rerun", job.id, "--record", one.id, "-o", "csv")
    head, row = result.out.splitlines()
    assert head == "task,optimizer,hyperparameters,seed,verdict,reason,before,again"
    assert "identical" in row
    assert one.id in row
    again = store.jobs()[0]
    assert (again.rerun_of, again.rerun and again.rerun["records"]) == (job.id, [one.id])


def test_a_rerun_that_fails_ends_as_a_failed_job(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store))
    with trained_again(store, failed, JobState.FAILED):
        result = cli("rerun", job.id)
    assert (result.code, result.out) == (ExitCode.JOB_FAILED, "")
    assert "is failed" in result.err


def test_a_job_that_cannot_be_trained_again_is_said(cli: Cli, url: str, store: Store) -> None:
    result = cli("rerun", submit(store).id)
    assert (result.code, result.out) == (ExitCode.USAGE, "")
    assert "cannot rerun a job that is queued" in result.err


def test_the_client_trains_again_and_reads_the_answer(url: str, store: Store) -> None:
    job_id = run_made_up(store, submit(store)).id
    with Client(url) as client:
        job = client.job(job_id)
        assert job.rerun_of is None
        again = job.rerun()
        assert (again.rerun_of, again.progress.total, again.state) == (job_id, 20, "queued")
        answer = again.rerun_answer()
        assert (answer.verdict, answer.counts["not_compared"]) == (None, 20)
        run_made_up(store, store.job(again.id))
        answer = again.rerun_answer()
        assert answer.verdict is Sameness.IDENTICAL
        assert set(answer.to_pandas()["verdict"]) == {"identical"}
        assert "identical: 20 identical" in answer._repr_html_()
        with pytest.raises(NotFoundError, match="trains no other job again"):
            job.rerun_answer()
        with pytest.raises(ProblemError, match="must be one of job"):
            job.rerun(["0" * 32])
