"""The server and the dispatcher beside it: stopped in order, and started again."""

import json
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from service.client import Client
from tests.service.filling import landscape_spec, small_spec
from tests.service.processes import answers, environment, free_port, processes_of, running, until

pytestmark = pytest.mark.slow


def workers(data_dir: Path) -> list[psutil.Process]:
    return [process for process in processes_of(data_dir) if "worker" in process.cmdline()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_dispatcher_first_and_then_the_server(tmp_path: Path, number: signal.Signals) -> None:
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    with running("serve", "--port", str(port), env=environment(data_dir), log=log) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}"), "the server is ready")
        until(lambda: "is ready" in log.read_text(), "the dispatcher is ready")
        (worker,) = workers(data_dir)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert not psutil.pid_exists(worker.pid)
        assert "has ended" in log.read_text(), "the dispatcher was let finish"


def test_a_dispatcher_that_dies_is_started_again(tmp_path: Path) -> None:
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    with running("serve", "--port", str(port), env=environment(data_dir), log=log):
        until(lambda: log.read_text().count("is ready") == 1, "the dispatcher is ready")
        (worker,) = workers(data_dir)
        worker.kill()
        until(lambda: log.read_text().count("is ready") == 2, "another one is ready")
        assert [process.pid for process in workers(data_dir)] != [worker.pid]


@pytest.mark.long
def test_every_dispatcher_is_kept_by_itself_and_all_end_in_order(tmp_path: Path) -> None:
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    arguments = ("serve", "--port", str(port), "--jobs", "2", "--cpus", "3")
    with running(*arguments, env=environment(data_dir), log=log) as process:
        until(lambda: log.read_text().count("is ready") == 2, "both dispatchers are ready")
        first, second = workers(data_dir)
        assert sorted(worker.cmdline()[-1] for worker in (first, second)) == ["1", "2"], "CPUs"
        first.kill()
        until(lambda: log.read_text().count("is ready") == 3, "another one is ready")
        assert second.is_running()
        pids = {worker.pid for worker in workers(data_dir)}
        assert second.pid in pids
        assert len(pids) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)


def test_what_follows_a_log_does_not_hold_up_a_server_that_stops(tmp_path: Path) -> None:
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    with running("serve", "--port", str(port), "--no-dispatcher", env=environment(data_dir), log=log) as process:
        until(lambda: answers(url), "the server is ready")
        with Client(url) as client:
            job = client.submit(small_spec())
            path = data_dir / "logs" / f"{job.id}.log"
            path.parent.mkdir()
            path.write_text("a line\n")
            lines = job.follow_logs()
            assert next(lines) == "a line"
            process.send_signal(signal.SIGTERM)
            assert list(lines) == ["(the server stops; follow the log again when it is back)"]
        assert process.wait(30) == 0
    assert "Traceback" not in log.read_text()


def test_the_dispatcher_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    with running("serve", "--port", str(port), env=environment(data_dir), log=log) as process:
        until(lambda: "is ready" in log.read_text(), "the dispatcher is ready")
        process.kill()
        until(lambda: processes_of(data_dir) == [], "nothing is left", 10)


@pytest.mark.long
def test_every_role_says_everything_in_the_form_that_was_chosen(tmp_path: Path) -> None:
    """A server with its dispatcher and the driver of a job, whose password and key stand in no line of any."""
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    url, key = f"http://127.0.0.1:{port}", "rhb_0123456789_" + "S3cr3t-" * 6
    env = environment(data_dir, RHOBUST_LOG_FORMAT="json", RHOBUST_LOG_LEVEL="DEBUG", RHOBUST_API_KEY=key)
    with running("serve", "--port", str(port), env=env, log=log) as process:
        until(lambda: answers(url), "the server is ready")
        with Client(url) as client:
            job = client.submit(landscape_spec())
            job.wait(timeout_s=180.0)
            assert job.state == "completed", job.error
            of_driver = job.logs(tail=1000)
        httpx.get(f"{url}/api/v1/jobs", headers={"Authorization": f"Bearer {key}", "X-Request-ID": key})
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "S3cr3t" not in log.read_text() + of_driver
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in said))
    assert {"rhobust.access", "rhobust.dispatcher", "uvicorn.error"} <= {line["logger"] for line in said}
    (attempt,) = [one for one in said if one["message"] == f"job {job.id} (descents): attempt 1"]
    assert (attempt["job_id"], attempt["attempt"]) == (job.id, 1)
    driven = [json.loads(line) for line in of_driver.splitlines() if line.startswith("{")]
    assert any("are to be trained" in line["message"] for line in driven)
    assert {(line["job_id"], line["attempt"]) for line in driven} == {(job.id, 1)}
