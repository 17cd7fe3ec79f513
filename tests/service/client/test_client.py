"""The client against a real server that comes and goes."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from benchmark import Spec, SpecError
from service.client import Client, ClientError, NotFoundError, ProblemError, ServerUnreachableError, WaitTimeoutError
from service.states import JobState
from service.store import Store
from tests.service.filling import failed, mixed, run_made_up, small_spec, submit
from tests.service.processes import free_port
from tests.service.serving import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def backend() -> str:
    """One database is enough here."""
    return "sqlite"


@pytest.fixture
def client(served: str) -> Iterator[Client]:
    with Client(served) as opened:
        yield opened


def test_submit_takes_a_mapping_a_spec_and_a_file(client: Client, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text('{"name": "from a file", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [0.1]}}}')
    jobs = [
        client.submit(spec) for spec in (small_spec(), Spec.from_mapping(small_spec(name="a spec")), path, str(path))
    ]
    assert [job.name for job in jobs] == ["small", "a spec", "from a file", "from a file"]
    assert len({job.id for job in jobs}) == 4
    assert [job.id for job in client.jobs()] == [job.id for job in reversed(jobs)]
    assert [job.name for job in client.jobs(text="spec")] == ["a spec"]


def test_a_refusal_says_what_and_where(client: Client, store: Store, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="did you mean 'msam'") as caught:
        client.submit(small_spec(optimizers=[{"name": "smam"}]))
    assert caught.value.status == 422
    assert caught.value.errors[0].pointer == "/optimizers/0/name"
    assert caught.value.request_id
    with pytest.raises(SpecError, match="cannot read"):
        client.submit(tmp_path / "nothing.yaml")
    for job_id in ("nothing", "a?b", "a/table", "../jobs"):
        with pytest.raises(ProblemError):
            client.job(job_id)
    with pytest.raises(ClientError, match="must not be empty"):
        client.job("")
    with pytest.raises(ProblemError, match=r"the request is not valid\n  /query/state(/0)?: Input should be"):
        list(client.jobs(state="foo"))
    assert store.jobs() == []


def test_the_server_judges_a_spec_and_not_the_client(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "name: big\ntasks: [{name: digits-mlp}]\nspace: {lr: {linear: [0.1, 1], n: 900}}\nseeds: {count: 900}"
    )
    with pytest.raises(ProblemError, match="n_cells <= 1,000 must hold, but this spec has 810,000 cells"):
        client.submit(path)


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with serving(store) as url, Client(url) as client:
        assert list(client.jobs()) == []


def test_plan_prices_without_storing(client: Client, store: Store) -> None:
    assert client.plan(small_spec()).cells == 20
    assert store.jobs() == []


def test_results_come_out_as_table_frame_and_surface(client: Client, store: Store) -> None:
    job = client.submit(small_spec())
    run_made_up(store, store.job(job.id))
    assert job.wait().state == "completed"
    table = job.table()
    assert table.complete
    assert {row.optimizer for row in table.rows} == {"gd", "sam", "msam"}
    assert job.table(view="equal_gradient_evaluations").readings[0].last_step == 16
    assert {one["axis"] for one in job.slices()} == {"rho", "lr"}
    assert [one["trials"][-1] for one in job.tuning()] == [2, 4, 4]
    frame = job.records()
    assert isinstance(frame, pd.DataFrame)
    assert (len(frame), set(frame["status"])) == (20, {"completed"})
    assert len(list(job.iter_records(optimizer="sam"))) == 8
    assert [record.seed for record in job.iter_records(optimizer="sam", at={"lr": 0.1, "rho": 1.0})] != []
    assert {record.hyperparameters["lr"] for record in job.iter_records(at={"lr": 0.1})} == {0.1}
    assert set(job.surface("validation")["optimizer"]) == {"gd", "sam", "msam"}
    figure = job.figure("difference", optimizers=["msam", "sam"], image_format="png")
    assert figure.startswith(b"\x89PNG")
    assert job.figure("profiles", image_format="csv").startswith(b"panel,line,")
    assert "completed 20/20" in repr(job)
    assert httpx.get(job.url).status_code == 200


def test_a_table_of_several_jobs(client: Client, store: Store) -> None:
    specs = [small_spec(name=name, optimizers=[{"name": name, "fixed": {"rho": 0.1}}]) for name in ("sam", "msam")]
    jobs = [client.submit(spec) for spec in specs]
    for job in jobs:
        run_made_up(store, store.job(job.id))
    table = client.table([job.id for job in jobs])
    assert [row.optimizer for row in table.rows] == ["gd", "sam", "msam"]
    assert "Jobs: sam, msam." in table.notes["digits-mlp"]


def test_steering(client: Client) -> None:
    job = client.submit(small_spec())
    assert job.pause().state == "paused"
    assert job.wait().state == "paused", "a paused job is not waited for without end"
    assert job.resume().state == "queued"
    assert job.cancel().state == "cancelled"
    assert job.retry({"cell_s": 7}).values["spec"]["limits"]["cell_s"] == 7
    assert job.cancel().plan_extension(small_spec(seeds={"count": 3})).cells == 30
    assert job.refresh().state == "cancelled"
    assert job.extend(small_spec(seeds={"count": 3})).state == "queued"
    assert job.progress.total == 30
    job.cancel().delete()
    assert list(client.jobs()) == []


def test_a_job_is_extended_by_what_is_proposed(client: Client, store: Store) -> None:
    job = client.submit(small_spec())
    run_made_up(store, store.job(job.id))
    assert job.refresh().actions == ("extend", "rerun", "delete")
    assert "space: {rho: {values: [0.1, 1.0]}}" in job.spec_text()
    assert "refine:rho" in [one["name"] for one in job.extensions()["proposals"]]
    assert job.extend(job.extensions("seeds", "refine:rho")["spec"]).progress.total == 4 * (2 + 6 + 6)
    scores = client.scores([job.id])
    assert scores[0]["rows"] == [], "it is trained again"


def test_wait_gives_up_in_time(client: Client) -> None:
    with pytest.raises(WaitTimeoutError, match=r"is queued after 0\.1 s"):
        client.submit(small_spec()).wait(timeout_s=0.1)


def test_wait_shows_progress(client: Client, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    job = client.submit(small_spec())
    claimed = run_made_up(store, store.job(job.id), n=10, state=None)

    def finish() -> None:
        run = store.job(job.id)
        assert run.attempt == claimed.attempt
        store.finish(job.id, run.attempt, JobState.CANCELLED)

    timer = threading.Timer(0.7, finish)
    timer.start()
    assert job.wait(progress=True).state == "cancelled"
    timer.join()
    captured = capsys.readouterr()
    assert "small: 10 of 20 cells" in captured.err
    assert captured.out == "", "standard output is for data"


def test_no_server_is_said_in_one_line() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(ServerUnreachableError) as caught:
        client.job("x").refresh()
    assert "Is `rhobust serve` running?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_comes_back_is_waited_for_and_nothing_is_submitted_twice(store: Store) -> None:
    port = free_port()

    def serve_later() -> None:
        time.sleep(0.5)
        with serving(store, port=port):
            stop.wait(20)

    stop = threading.Event()
    thread = threading.Thread(target=serve_later)
    thread.start()
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            job = client.submit(small_spec())
            assert [found.id for found in store.jobs()] == [job.id]
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "response", [httpx.Response(200, text="<html>"), httpx.Response(200, json=[]), httpx.Response(302)]
)
def test_an_answer_that_is_not_ours(response: httpx.Response) -> None:
    transport = httpx.MockTransport(lambda _: response)
    with Client("http://a.test", transport=transport) as client, pytest.raises(ProblemError, match="a Rhobust server"):
        client.job("x")


def test_the_log_is_read_and_followed(client: Client, store: Store, tmp_path: Path) -> None:
    job = client.submit(small_spec())
    with pytest.raises(ProblemError, match="has no log yet: no driver of it has started"):
        job.logs()
    path = tmp_path / "data" / "logs" / f"{job.id}.log"
    path.parent.mkdir(parents=True)
    path.write_text("one\ntwo\nthree\n")
    assert (job.logs(), job.logs(tail=1)) == ("one\ntwo\nthree\n", "three\n")
    lines = job.follow_logs(tail=2)
    assert (next(lines), next(lines)) == ("two", "three")
    with path.open("a") as log:
        log.write("four\n")
    assert next(lines) == "four"
    job.cancel()
    assert list(lines) == []
    with pytest.raises(ProblemError, match="the request is not valid"):
        next(job.follow_logs(tail=-1))


def test_a_log_is_not_followed_where_nobody_serves_it(store: Store, tmp_path: Path) -> None:
    port = free_port()
    with Client(f"http://127.0.0.1:{port}") as client:
        with serving(store, port=port):
            job = client.submit(small_spec())
        with pytest.raises(ServerUnreachableError, match="Is `rhobust serve` running"):
            next(job.follow_logs())


def test_a_job_of_a_list_tells_as_much_as_any(client: Client, store: Store) -> None:
    run_made_up(store, store.job(client.submit(small_spec()).id), failed, state=None)
    (job,) = client.jobs()
    assert job.missing.failed == 20
    assert job.missing.first[0].error == "RuntimeError: no luck"
    assert job.owner is not None
    assert job.owner.id == "a-dispatcher"


def test_a_job_tells_itself_in_typed_words(client: Client, store: Store) -> None:
    job = client.submit(small_spec(tags=["nightly"], priority=3))
    assert (job.state, job.requested, job.tags, job.priority) == (JobState.QUEUED, None, ("nightly",), 3)
    assert (job.attempt, job.crashes, job.submitted_by, job.owner) == (0, 0, "local", None)
    assert job.created_at.tzinfo is not None
    assert (job.started_at, job.finished_at, job.has_ended) == (None, None, False)
    assert job.spec["seeds"]["count"] == 2
    run_made_up(store, store.job(job.id), mixed)
    progress = job.refresh().progress
    assert (progress.total, progress.n_done, progress.diverged, progress.failed) == (20, 20, 4, 4)
    assert job.finished_at is not None
    assert job.finished_at > job.created_at
    record = next(job.iter_records(status="diverged", curves=True))
    assert (record.status, record.optimizer, record.seed, record.diverged_at_step) == ("diverged", "msam", 1, 7)
    assert record.curve["step"] == (5.0,)
    assert next(job.iter_records()).curve == {}


def test_a_record_is_read_alone_with_its_curve(client: Client, store: Store) -> None:
    job = client.submit(small_spec())
    run_made_up(store, store.job(job.id))
    listed = next(job.iter_records(curves=True))
    alone = client.record(listed.id)
    assert (alone.config_key, alone.metrics, alone.reused) == (listed.config_key, listed.metrics, None)
    assert alone.curve == listed.curve
    with pytest.raises(NotFoundError, match="no record"):
        client.record("0" * 32)
    with pytest.raises(ClientError, match="id of a record must not be empty"):
        client.record("")


def test_what_there_is_is_listed(client: Client) -> None:
    assert {"sam", "gd"} < {one["name"] for one in client.optimizers()}
    assert "digits-mlp" in {one["name"] for one in client.tasks()}
    assert "grid_mean" in {one["name"] for one in client.measures()}
    assert "heatmap" in {one["name"] for one in client.figures()}


def test_a_surface_is_a_frame(client: Client, store: Store) -> None:
    job = client.submit(small_spec())
    run_made_up(store, store.job(job.id), mixed)
    surface = job.surface()
    head = ["task", "optimizer", "lr", "rho", "metric", "mean", "sd", "n_seeds"]
    assert sorted(surface.columns[:8]) == sorted(head)
    assert len(surface) == 10
    ended = surface.groupby("optimizer")[["n_diverged", "n_missing"]].sum()
    assert ended.to_dict("index")["msam"] == {"n_diverged": 4, "n_missing": 4}
    assert ended.to_dict("index")["gd"] == {"n_diverged": 0, "n_missing": 4}
    assert surface[surface["optimizer"] == "gd"]["rho"].isna().all()
    sam = surface[(surface["optimizer"] == "sam") & (surface["rho"] == 0.1) & (surface["lr"] == 0.1)]
    assert sam["mean"].item() == pytest.approx(0.9 + 0.01 - 0.02 + 0.0005 - 0.01)


def test_lists_are_read_as_far_as_somebody_looks(client: Client, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [submit(store, small_spec(name=f"job {number}", tags=["<i>"])).id for number in range(52)]
    asked: list[str] = []
    request = client.request

    def counted(method: str, path: str, **options: Any) -> httpx.Response:
        asked.append(path)
        return request(method, path, **options)

    monkeypatch.setattr(client, "request", counted)
    jobs = client.jobs()
    assert asked == []
    assert [job.id for job in jobs.first(2)] == ids[:-3:-1]
    assert len(asked) == 1
    html = jobs._repr_html_()
    assert html.count("<tr>") == 21
    assert "&lt;i&gt;" in html
    assert "The first 20; iterate for all." in html
    assert len(asked) == 2
    assert [job.id for job in jobs] == ids[::-1]
    assert len(asked) == 4
    frame = client.jobs(text="job 5").to_pandas()
    assert (frame["name"].tolist(), frame["cells"].tolist()) == (["job 51", "job 50", "job 5"], [20] * 3)
    assert client.jobs(tag="none").to_pandas().empty


def test_a_notebook_shows_a_job_with_everything_escaped(client: Client, store: Store) -> None:
    job = client.submit(small_spec(name="<script>alert(1)</script>"))
    run_made_up(store, store.job(job.id), mixed, state=None)
    store.finish(job.id, 1, JobState.FAILED, error="<img>")
    html = job.refresh()._repr_html_()
    assert "<script>" not in html
    assert "<img>" not in html
    assert '<progress value="20" max="20">' in html
    assert f'<a href="{job.url}">{job.id}</a>' in html
    assert "4 diverged, 4 timed out, 4 failed" in html
