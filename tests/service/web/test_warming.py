"""The table and the maps of a large job are there before anybody asks."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings
from service.store import Job, Store
from service.web import warming as module
from service.web.rendered import Rendered
from service.web.results import table_of
from service.web.state import AppState
from service.web.warming import warming
from tests.service.filling import run_made_up, small_spec, submit

DEADLINE_S = 30.0


@pytest.fixture
def backend() -> str:
    """The store's own tests run on both databases."""
    return "sqlite"


def is_there(state: AppState, job: Job, *key: object) -> bool:
    return (job.id, state.store.job(job.id).revision, *key) in state.rendered


def test_a_large_job_that_ends_is_rendered_and_no_other(store: Store, tmp_path: Path) -> None:
    before = run_made_up(store, submit(store, small_spec(name="before")))
    state = AppState(store, Settings(data_dir=tmp_path))
    table = ("table", "json", None)
    heatmap = ("figure", "heatmap", "digits-mlp", (), "json")

    async def run() -> None:
        async with warming(state, look_every_s=0.01, large=20), asyncio.timeout(DEADLINE_S):
            small = run_made_up(store, submit(store, small_spec(name="small", seeds={"base": 50, "count": 1})))
            large = run_made_up(store, submit(store, small_spec(name="large", seeds={"base": 70, "count": 2})))
            while not (is_there(state, large, *heatmap) and is_there(state, large, *table)):
                await asyncio.sleep(0.01)
            assert not is_there(state, small, *table)
            assert not is_there(state, before, *table)

    asyncio.run(run())


def test_a_fault_is_told_once_and_the_next_job_is_rendered(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = AppState(store, Settings(data_dir=tmp_path))
    bad: set[str] = set()
    tried: set[str] = set()

    async def table(state: AppState, job_id: str) -> Rendered:
        if job_id in bad:
            tried.add(job_id)
            raise RuntimeError("no luck")
        return await table_of(state, job_id)

    def loading() -> None:
        raise RuntimeError("not to be loaded")

    monkeypatch.setattr(module, "table_of", table)
    monkeypatch.setattr(module, "_load", loading)

    async def run() -> None:
        async with warming(state, look_every_s=0.01, large=20), asyncio.timeout(DEADLINE_S):
            for number in range(3):
                job = submit(store, small_spec(name=str(number), seeds={"base": 10 * number, "count": 2}))
                bad.update([job.id] if number < 2 else [])
                run_made_up(store, job)
            while not (tried == bad and is_there(state, job, "table", "json", None)):  # whichever of them comes first
                await asyncio.sleep(0.01)

    asyncio.run(run())
    told = [record.getMessage() for record in caplog.records if record.name == "rhobust.web"]
    assert told.count("warming does not work: RuntimeError: no luck") == 1
    assert told.count("warming does not work: RuntimeError: not to be loaded") == 1


LOADED = """
import asyncio, sys
from pathlib import Path
from service.settings import Settings
from service.store import Store
from service.web.state import AppState
from service.web.warming import warming

async def load(state: AppState) -> None:
    async with warming(state), asyncio.timeout(60):
        while not {"scipy.stats", "torch._dynamo"} <= sys.modules.keys():
            await asyncio.sleep(0.01)

with Store.open(f"sqlite:///{sys.argv[1]}/a.db", create=True) as store:
    assert not {"scipy.stats", "torch._dynamo"} & sys.modules.keys()
    asyncio.run(load(AppState(store, Settings(data_dir=Path(sys.argv[1])))))
"""


@pytest.mark.slow
def test_what_the_first_table_loads_is_loaded_before(tmp_path: Path) -> None:
    """Else whoever asks first waits seconds for it."""
    command = [sys.executable, "-c", LOADED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
