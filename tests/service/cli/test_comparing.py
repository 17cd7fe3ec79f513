"""`rhobust baseline` and `rhobust compare`: reports and exit codes, against stored records."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark import Outcome
from benchmark.spec import Cell
from service.client import Client, ConflictError, NotFoundError
from service.states import JobState
from service.store import Job, Store
from tests.service.cli.conftest import Cli
from tests.service.filling import completed, diverged, failed, run_made_up, small_spec, submit, timed_out
from tests.service.test_comparing import N_SEEDS, better, finished, worse

DEADLINE_S = 60.0
SPEC = small_spec(name="pull-request", seeds={"count": N_SEEDS})


@pytest.fixture
def main_job(url: str, store: Store) -> Job:
    """A job that the baseline `main` names, on the server that RHOBUST_URL names."""
    job = finished(store)
    with Client(url) as client:
        client.baselines.set("main", job.id)
    return job


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.json"
    path.write_text(json.dumps(SPEC))
    return path


Ending = Callable[..., None]


@pytest.fixture
def ending(store: Store) -> Iterator[Ending]:
    """Have the next job that is submitted end, with these outcomes, in this state."""
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def run(outcome_of: Callable[[Cell], Outcome], state: JobState) -> None:
        while not stopping.wait(0.02):
            queued = [job for job in store.jobs() if job.state is JobState.QUEUED]
            if queued:
                run_made_up(store, queued[0], outcome_of, state=state)
                return

    def start(outcome_of: Callable[[Cell], Outcome], state: JobState = JobState.COMPLETED) -> None:
        threads.append(threading.Thread(target=run, args=(outcome_of, state)))
        threads[-1].start()

    yield start
    stopping.set()
    for thread in threads:
        thread.join()


def test_the_life_of_a_baseline(cli: Cli, url: str, store: Store) -> None:
    job = finished(store)
    made = cli("baseline", "set", "main", job.id)
    assert (made.code, made.out) == (0, "")
    assert f"main is job {job.id} (small)" in made.err
    assert json.loads(cli("baseline", "ls", "-o", "json").out)[0]["job_id"] == job.id
    listed = cli("baseline", "ls", "-o", "csv").out.splitlines()
    assert listed[0] == "name,job,job name,limits,set,by"
    assert listed[1].startswith(f"main,{job.id},small,not calibrated,")
    assert cli("baseline", "rm", "main").code == 0
    assert store.baselines() == []
    gone = cli("baseline", "rm", "main")
    assert (gone.code, gone.out) == (2, "")
    assert "there is no baseline 'main'" in gone.err


def test_a_job_that_lacks_cells_is_refused_with_what_to_do(cli: Cli, url: str, store: Store) -> None:
    lacking = run_made_up(store, submit(store), timed_out)
    refused = cli("baseline", "set", "main", lacking.id)
    assert refused.code == 2
    assert "retry it, which trains what is missing" in refused.err


@pytest.mark.parametrize(
    ("outcome_of", "fail_on", "code", "says"),
    [
        (worse, "regressed", 1, "regressed"),
        (worse, "undecided", 1, "regressed"),
        (completed, "regressed", 0, "the same"),
        (completed, "undecided", 0, "the same"),
        (better, "regressed", 0, "improved"),
    ],
)
def test_the_exit_code_says_whether_a_job_regressed(
    cli: Cli,
    main_job: Job,
    store: Store,
    outcome_of: Callable[[Cell], Outcome],
    fail_on: str,
    code: int,
    says: str,
) -> None:
    candidate = finished(store, outcome_of)
    found = cli("compare", candidate.id, "--baseline", "main", "--fail-on", fail_on)
    assert found.code == code, found
    assert says in found.err
    assert ("msam" in found.out) == (outcome_of is not completed)


def unsure(cell: Cell) -> Outcome:
    """Return an outcome that is as often far better as far worse: more seeds would tell."""
    return better(cell) if cell.seed % 2 else worse(cell)


def test_what_is_undecided_fails_only_on_demand(cli: Cli, main_job: Job, store: Store) -> None:
    candidate = finished(store, unsure)
    lenient = cli("compare", candidate.id, "--baseline", "main")
    assert (lenient.code, "undecided" in lenient.out) == (0, True)
    assert "seeds would decide" in cli("compare", candidate.id, "--baseline", "main", "-o", "csv").out
    assert cli("compare", candidate.id, "-b", "main", "--fail-on", "undecided").code == 1


def test_a_spec_is_trained_anew_as_the_baseline_was(
    cli: Cli, main_job: Job, store: Store, spec_path: Path, ending: Ending
) -> None:
    ending(worse)
    found = cli("compare", spec_path, "--baseline", "main", "-o", "md")
    assert found.code == 1
    assert found.out.startswith("### Rhobust: regressed\n\n- **msam** on digits-mlp is harder to tune: best,")
    assert "\npull-request (job " in found.out
    (candidate,) = [job for job in store.jobs() if job.id != main_job.id]
    assert (candidate.name, candidate.spec["reuse"]) == ("pull-request", False)
    assert f"/jobs/{candidate.id}" in found.err


@pytest.mark.parametrize("output", ["md", "table", "json"])
def test_a_run_that_failed_is_an_exit_code_of_its_own(
    cli: Cli, main_job: Job, spec_path: Path, ending: Ending, output: str
) -> None:
    ending(failed, JobState.FAILED)
    found = cli("compare", spec_path, "--baseline", "main", "-o", output)
    assert found.code == 3
    assert "is failed" in found.err
    assert found.out.startswith("### Rhobust: the run failed\n\npull-request (job ") == (output == "md")
    assert bool(found.out) == (output == "md")


def test_a_run_that_was_cancelled_is_a_run_that_failed(
    cli: Cli, main_job: Job, spec_path: Path, ending: Ending
) -> None:
    ending(completed, JobState.CANCELLED)
    found = cli("compare", spec_path, "--baseline", "main")
    assert (found.code, "is cancelled: somebody asked for it" in found.err) == (3, True)


def slow_msam(cell: Cell) -> Outcome:
    return timed_out(cell) if cell.optimizer == "msam" else completed(cell)


def lost_msam(cell: Cell) -> Outcome:
    return timed_out(cell) if cell.optimizer == "msam" else diverged(cell)


def test_a_run_that_lacks_cells_is_not_taken_for_fine(cli: Cli, main_job: Job, store: Store) -> None:
    lacking = cli("compare", finished(store, slow_msam).id, "--baseline", "main")
    assert (lacking.code, "40 cells have no result" in lacking.err) == (3, True)
    worse_too = cli("compare", finished(store, lost_msam).id, "--baseline", "main")
    assert worse_too.code == 1


def test_a_run_of_other_cells_is_not_taken_for_fine(cli: Cli, main_job: Job, store: Store) -> None:
    other = finished(store, space={"lr": {"values": [0.02, 0.2]}})
    found = cli("compare", other.id, "--baseline", "main")
    assert (found.code, "no measure could be tested" in found.err) == (3, True)


def test_a_comparison_as_json_and_csv_has_every_measure(cli: Cli, main_job: Job, store: Store) -> None:
    candidate = finished(store, worse)
    document = json.loads(cli("compare", candidate.id, "--baseline", "main", "-o", "json").out)
    assert (document["baseline_name"], document["candidate"]["id"]) == ("main", candidate.id)
    lines = cli("compare", candidate.id, "--baseline", "main", "-o", "csv").out.splitlines()
    assert lines[0] == "verdict,task,optimizer,measure,before,after,change,margin,note"
    assert len(lines) == len(document["measures"]) + 1


def test_what_cannot_be_compared_is_said(cli: Cli, main_job: Job, tmp_path: Path, store: Store) -> None:
    unknown = cli("compare", main_job.id, "--baseline", "nope")
    assert (unknown.code, "there is neither a baseline nor a job 'nope'" in unknown.err) == (2, True)
    assert cli("compare", "nope", "--baseline", "main").code == 2
    assert cli("compare", main_job.id).code == 2
    assert cli("compare", main_job.id, "--baseline", "main", "--fail-on", "never").code == 2
    assert "no such file" in cli("compare", tmp_path / "none.yaml", "--baseline", "main").err.lower()
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [")
    assert cli("compare", bad, "--baseline", "main").code == 2
    sent = tmp_path / "sent.json"
    sent.write_text(json.dumps(SPEC))
    assert cli("compare", sent, "--baseline", "nope").code == 2
    assert len(store.jobs()) == 1


def test_the_client_has_typed_answers(url: str, main_job: Job, store: Store) -> None:
    candidate = finished(store, worse)
    with Client(url) as client:
        baseline = client.baselines.get("main")
        assert (baseline.job_id, baseline.limits, baseline.set_by) == (main_job.id, None, "local")
        assert list(client.baselines.list().to_pandas()["name"]) == ["main"]
        compared = client.compare("main", candidate.id)
        assert compared.comparison.verdict == "regressed"
        assert (compared.baseline.id, compared.candidate.is_whole) == (main_job.id, True)
        assert compared.report().startswith("### Rhobust: regressed")
        with pytest.raises(ConflictError, match="a baseline names it: main"):
            client.job(main_job.id).delete()
        client.baselines.remove("main")
        with pytest.raises(NotFoundError, match="there is no baseline 'main'"):
            client.baselines.get("main")
