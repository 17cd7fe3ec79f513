"""The client while its server is killed and comes back on the same port."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.client import Client, Job
from service.settings import Settings
from service.states import JobState
from service.store import JobQuery, Store
from tests.service.filling import run_made_up, small_spec
from tests.service.processes import answers, environment, free_port, running, until

pytestmark = [pytest.mark.slow, pytest.mark.long]
N_CLIENTS = 4
PATIENCE_S = 180.0  # a server starts slowly on a busy machine


@pytest.fixture
def backend() -> str:
    """One database is enough here."""
    return "sqlite"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def embedded(data_dir: Path) -> Iterator[Store]:
    data_dir.mkdir()
    with Store.open(Settings(data_dir=data_dir).store_url, create=True) as store:
        yield store


def test_a_server_killed_while_clients_submit_and_wait(embedded: Store, data_dir: Path, tmp_path: Path) -> None:
    """Submissions that meet the dead server give one job each key, and a wait goes on to the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("serve", "--port", str(port), "--no-dispatcher")
    is_killed, begun = threading.Event(), [threading.Event() for _ in range(N_CLIENTS)]

    def submit(number: int) -> list[tuple[str, str]]:
        with Client(url, patience_s=PATIENCE_S) as client:
            made = []
            for count in range(40):
                key = f"key-{number}-{count}"
                job = client.submit(small_spec(name=key), idempotency_key=key)
                made.append((key, job.id))
                if count:
                    begun[number].set()  # a client that was never answered is not patient
                if is_killed.is_set() and len(made) >= 5:
                    break
            return made

    def wait(job: Job) -> str:
        return job.wait(timeout_s=PATIENCE_S).state

    with running(*command, env=environment(data_dir), log=tmp_path / "first.log") as server:
        until(lambda: answers(url), "the first server")
        with Client(url, patience_s=PATIENCE_S) as client, ThreadPoolExecutor(N_CLIENTS + 1) as pool:
            watched = client.submit(small_spec(name="watched"))
            waiting = pool.submit(wait, watched)
            submitting = [pool.submit(submit, number) for number in range(N_CLIENTS)]
            assert all(one.wait(PATIENCE_S) for one in begun)
            server.send_signal(signal.SIGKILL)
            server.wait()
            is_killed.set()
            assert not answers(url)
            with running(*command, env=environment(data_dir), log=tmp_path / "second.log"):
                until(lambda: answers(url), "the second server")
                made = [pair for one in submitting for pair in one.result(PATIENCE_S)]
                run_made_up(embedded, embedded.job(watched.id))
                assert waiting.result(PATIENCE_S) == JobState.COMPLETED
                stored = {job.name: job.id for job in embedded.jobs(JobQuery(limit=1_000)) if job.name != "watched"}
                assert stored == dict(made), "one job each key"
                assert len(embedded.jobs(JobQuery(limit=1_000))) == len(made) + 1
