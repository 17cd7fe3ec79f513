"""The whole path with real processes: HTTP, store, dispatcher, driver, Ray Tune, records, table."""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from service.client import Client, Job, ProblemError
from service.jobs.child import session_members
from tests.service.filling import small_spec
from tests.service.processes import environment, processes_of, rhobust, running, server, until

pytestmark = pytest.mark.slow
DIVERGING_LR = 1e38
SPEC = small_spec(name="end-to-end", space={"lr": {"values": [0.05, DIVERGING_LR]}}, budget={"epochs": 2})
JOB_S = 120.0


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder of the module's server."""
    return tmp_path_factory.mktemp("end-to-end") / "data"


@pytest.fixture(scope="module")
def client(data_dir: Path) -> Iterator[Client]:
    """Client of a server with a dispatcher."""
    with server(data_dir) as url, Client(url) as opened:
        yield opened


@pytest.fixture(scope="module")
def done(client: Client) -> Job:
    """A job that ran to its end."""
    return client.submit(SPEC).wait(timeout_s=JOB_S)


def test_every_cell_has_a_record_and_a_diverged_cell_does_not_stop_the_job(done: Job) -> None:
    assert (done.state, done.error) == ("completed", None)
    progress = done.progress
    assert (progress.total, progress.completed, progress.diverged) == (20, 10, 10)
    assert (progress.failed, progress.timed_out, progress.reused) == (0, 0, 0)
    records = list(done.iter_records(curves=True))
    assert len({record.config_key for record in records}) == 20
    for record in records:
        is_bad = record.hyperparameters["lr"] == DIVERGING_LR
        assert record.status == ("diverged" if is_bad else "completed")
        assert (record.diverged_at_step is not None) == is_bad
        assert record.cost.execution == "sequential"
        assert record.cost.device == "cpu"
    good = [record for record in records if record.status == "completed"]
    assert all(len(record.curve["step"]) == 20 for record in good)
    assert all(record.metrics["test_accuracy"] == record.curve["test_accuracy"][-1] for record in good)
    assert done.values["execution"] == {"digits-mlp": dict.fromkeys(("gd", "sam", "msam"), "sequential")}
    assert len(done.values["fingerprints"]) == 1


def test_the_numbers_of_the_table_are_those_of_the_records(done: Job) -> None:
    """Recompute every measure that plain means over the records give."""
    table = done.table()
    assert table.complete
    (task,) = table.tasks
    frame = done.records().fillna({"rho": 0.0})
    assert len(frame) == 20
    floor = 0.1
    scores = {split: frame[f"{split}_accuracy"].fillna(floor) for split in ("val", "test")}
    keys = ["optimizer", "lr", "rho"]
    val = scores["val"].groupby([frame[key] for key in keys]).mean()
    test = scores["test"].groupby([frame[key] for key in keys]).mean()
    assert task.y_ref is not None
    assert task.y_ref == pytest.approx(val.max())
    for optimizer in ("gd", "sam", "msam"):
        measures = table.row("digits-mlp", optimizer).measures
        mine, chosen = test[optimizer], val[optimizer]
        assert measures["best"].raw == pytest.approx(mine[chosen.idxmax()])
        assert measures["grid_mean"].raw == pytest.approx(mine.mean())
        assert measures["worst"].raw == pytest.approx(mine.min())
        assert measures["good_share"].value == pytest.approx((chosen >= task.y_ref - task.tolerance).mean())
        assert measures["diverged_rate"].value == pytest.approx(0.5)
        rows = frame[(frame["optimizer"] == optimizer) & (frame["status"] == "completed")]
        assert measures["gradient_evaluations"].value == pytest.approx(rows["gradient_evaluations"].median())
        assert measures["grad_norm"].value == pytest.approx(rows["grad_norm"].median(), rel=1e-6)


def test_the_views_are_read_off_the_curves_and_the_seconds_were_measured(done: Job) -> None:
    curves = list(done.iter_records(curves=True, optimizer="sam", status="completed"))
    equal = done.table(view="equal_gradient_evaluations")
    sam = next(one for one in equal.readings if one.optimizer == "sam")
    place = curves[0].curve["step"].index(sam.last_step)
    assert 0.4 * sam.n_steps < sam.last_step <= sam.n_steps / 2
    scores = [record.curve["test_accuracy"][place] for record in curves] + [0.1] * len(curves)
    assert equal.row("digits-mlp", "sam").measures["grid_mean"].raw == pytest.approx(statistics.fmean(scores))
    seconds = done.table(view="equal_seconds")
    assert {one.optimizer for one in seconds.readings} == {"gd", "sam", "msam"}
    assert 0 < seconds.readings[0].amount < 60


def test_the_surface_is_that_of_the_records(done: Job) -> None:
    records = list(done.iter_records())
    points = done.surface()
    assert len(points) == 10
    for _, point in points.iterrows():
        swept = {name: point[name] for name in ("lr", "rho") if pd.notna(point[name])}
        scores = [
            record.metrics.get("test_accuracy", 0.1)
            for record in records
            if record.optimizer == point["optimizer"] and swept.items() <= record.hyperparameters.items()
        ]
        assert point["mean"] == pytest.approx(statistics.fmean(scores))
        assert point["sd"] == pytest.approx(statistics.stdev(scores))
        assert point["n_missing"] == 0


def test_the_same_cells_are_not_trained_again(client: Client, done: Job) -> None:
    again = client.submit({**SPEC, "name": "again", "tags": ["other"]}).wait(timeout_s=JOB_S)
    assert again.state == "completed"
    assert again.progress.reused == 20
    assert {record.id for record in again.iter_records()} == {record.id for record in done.iter_records()}
    assert again.table().to_dict()["rows"] == done.table().to_dict()["rows"]


@pytest.mark.long
def test_only_records_with_the_sharpness_that_is_asked_for_are_reused(client: Client, done: Job) -> None:
    """The ten diverged cells have none and need none; the ten others are trained again, once."""
    names = ["lambda_max", "trace", "sam", "monge", "adaptive"]
    sharp = client.submit({**SPEC, "name": "sharp", "sharpness": names}).wait(timeout_s=JOB_S)
    assert (sharp.state, sharp.progress.reused) == ("completed", 10)
    frame = sharp.records()
    columns = [name for name in frame.columns if name.startswith("sharpness_")]
    assert len(columns) == 7
    is_complete = frame["status"] == "completed"
    assert is_complete.sum() == 10
    assert frame[columns].notna().eq(is_complete, axis=0).all(axis=None)
    scores = ["config_key", "test_accuracy", "train_loss"]
    mine, theirs = (one.records().sort_values("config_key")[scores].reset_index(drop=True) for one in (sharp, done))
    assert mine.equals(theirs)
    for asked in (names, ["trace"]):
        again = client.submit({**SPEC, "name": "sharp again", "sharpness": asked}).wait(timeout_s=JOB_S)
        assert again.progress.reused == 20
    assert sharp.figure("sharpness", image_format="png").startswith(b"\x89PNG")


@pytest.mark.long
def test_trained_anew_they_give_the_same_bits(client: Client, done: Job) -> None:
    anew = client.submit({**SPEC, "reuse": False}).wait(timeout_s=JOB_S)
    assert (anew.state, anew.progress.reused) == ("completed", 0)
    first, second = ({r.config_key: r for r in job.iter_records(curves=True)} for job in (done, anew))
    assert first.keys() == second.keys()
    for key, record in first.items():
        assert record.metrics == second[key].metrics
        assert record.curve == second[key].curve
        assert record.id != second[key].id


def test_a_running_job_is_cancelled_and_retried(client: Client, data_dir: Path) -> None:
    job = client.submit({**SPEC, "name": "long", "budget": {"epochs": 2000}, "space": {"lr": {"values": [0.05]}}})
    until(lambda: job.refresh().state == "running" and driver_sessions(data_dir) != [], "the driver runs")
    (driver,) = driver_sessions(data_dir)
    scratch = Path(driver.environ()["TMPDIR"])
    assert scratch.is_dir()
    job.cancel()
    until(lambda: job.refresh().has_ended, "the job is cancelled", 15)
    assert job.state == "cancelled"
    assert list(session_members(driver.pid)) == []
    assert not scratch.exists()
    with pytest.raises(ProblemError, match="cannot cancel a job that is cancelled"):
        job.cancel()
    job.delete()
    with pytest.raises(ProblemError, match="there is no job"):
        job.refresh()


@pytest.mark.long
def test_a_killed_driver_loses_no_record(client: Client, data_dir: Path) -> None:
    job = client.submit({**SPEC, "name": "killed", "budget": {"epochs": 50}, "space": {"lr": {"values": [0.05]}}})
    until(lambda: job.refresh().progress.completed >= 1, "the first record", JOB_S)
    before = {record.id for record in job.iter_records()}
    (driver,) = driver_sessions(data_dir)
    driver.kill()
    job.wait(timeout_s=JOB_S)
    assert (job.state, job.attempt, job.crashes) == ("completed", 2, 1)
    after = [record.id for record in job.iter_records()]
    assert before < set(after)
    assert len(after) == 10


@pytest.mark.long
def test_an_adaptive_search_whose_driver_is_killed_goes_on_from_its_records(client: Client, data_dir: Path) -> None:
    spec = {
        **SPEC,
        "name": "tpe",
        "optimizers": [{"name": "sam", "space": {"rho": {"log": [0.01, 1.0]}}}],
        "space": {"lr": {"log": [0.01, 1.0]}},
        "search": {"method": "tpe", "n_configurations": 6},
        "budget": {"epochs": 20},
    }
    job = client.submit(spec)
    until(lambda: job.refresh().progress.completed >= 3, "the first records", JOB_S)
    before = {record.id for record in job.iter_records()}
    (driver,) = driver_sessions(data_dir)
    driver.kill()
    job.wait(timeout_s=JOB_S)
    assert (job.state, job.attempt, job.error) == ("completed", 2, None)
    records = list(job.iter_records())
    assert before < {record.id for record in records}
    assert len(records) == job.progress.total == 2 * 6 * 2
    table = job.table()
    assert table.complete
    for optimizer in ("gd", "sam"):
        configurations = {tuple(record.hyperparameters.items()) for record in records if record.optimizer == optimizer}
        assert len(configurations) == 6
        trace = table.row("digits-mlp", optimizer).grid.trace
        assert trace is not None
        assert len(trace) == 6
    assert len(job.records()) == 24


@pytest.mark.long
def test_an_extended_job_trains_what_is_new_and_keeps_what_it_has(client: Client) -> None:
    space = {"lr": {"log": [0.01, 1.0], "n": 2}}
    spec = {**SPEC, "name": "extended", "space": space, "budget": {"epochs": 1}}
    job = client.submit(spec).wait(timeout_s=JOB_S)
    before = {record.config_key: record.id for record in job.iter_records()}
    with pytest.raises(ProblemError, match="every cell of the job must stay"):
        job.extend({**spec, "space": {"lr": {"log": [0.01, 0.5], "n": 2}}})
    denser = {**spec, "name": "ignored", "space": {"lr": {"log": [0.01, 1.0], "n": 3}}, "seeds": {"count": 3}}
    job.extend(denser).wait(timeout_s=JOB_S)
    assert (job.state, job.name, job.attempt) == ("completed", "extended", 2)
    after = {record.config_key: record.id for record in job.iter_records()}
    assert len(after) == job.progress.total == 5 * 3 * 3
    assert before.items() <= after.items()
    assert job.table().complete


@pytest.mark.long
def test_worker_alone_takes_jobs_of_a_server_without_dispatcher(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with server(data_dir, "--no-dispatcher") as url, Client(url) as client:
        job = client.submit(SPEC)
        assert job.refresh().state == "queued"
        with running("worker", "--cpus", "1", env=environment(data_dir), log=tmp_path / "worker.log"):
            job.wait(timeout_s=JOB_S)
        assert job.state == "completed", (tmp_path / "worker.log").read_text()


@pytest.mark.long
def test_run_needs_no_server_and_keeps_what_it_recorded(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    env = environment(tmp_path / "data")
    first = rhobust("run", str(path), "-o", "csv", env=env)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("task,")
    assert "20 of 20 cells" in first.stderr
    again = rhobust("run", str(path), "-o", "csv", env=env)
    assert again.stdout == first.stdout
    assert "20 reused" in again.stderr


def driver_sessions(data_dir: Path) -> list[psutil.Process]:
    """Return the drivers that work on a data folder: they have its log open."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "service.jobs.driver" in (process.info["cmdline"] or []):
            try:
                log = str(Path(f"/proc/{process.pid}/fd/2").readlink())
            except OSError:
                continue
            if log.startswith(str(data_dir)):
                found.append(process)
    return found


@pytest.mark.long
def test_demo_ends_by_itself_where_nobody_watches(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    result = rhobust("demo", str(path), "--port", "0", env=environment(tmp_path / "data"))
    assert result.returncode == 0, result.stderr
    assert "msam" in result.stdout
    assert "-m webbrowser http://127.0.0.1:" in result.stdout
    assert processes_of(tmp_path / "data") == []
