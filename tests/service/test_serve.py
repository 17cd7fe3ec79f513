"""The server and the dispatcher beside it: stopped in order, and started again."""

import signal
from pathlib import Path

import psutil
import pytest

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


def test_the_dispatcher_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    port, data_dir, log = free_port(), tmp_path / "data", tmp_path / "log"
    with running("serve", "--port", str(port), env=environment(data_dir), log=log) as process:
        until(lambda: "is ready" in log.read_text(), "the dispatcher is ready")
        process.kill()
        until(lambda: processes_of(data_dir) == [], "nothing is left", 10)
