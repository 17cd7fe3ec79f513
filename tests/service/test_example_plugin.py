"""The example of a plug-in: built, installed, and benchmarked by real processes, in two versions of its source."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark import Spec, load_plugins
from service.client import Client, Job
from service.jobs import Dispatcher
from service.settings import Settings
from service.states import JobState
from service.store import Job as StoredJob
from service.store import Progress, Store
from service.submission import new_job
from tests.benchmark.packages import fresh_process
from tests.service.processes import server

pytestmark = [pytest.mark.slow, pytest.mark.long]
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
NAME = "rhobust-example"
JOB_S = 180.0
SPEC: dict[str, Any] = {
    "name": "plugged",
    "tasks": [{"name": "spirals", "params": {"hidden": 4}}, {"name": "breast-cancer-mlp"}],
    "budget": {"epochs": 1, "batch_size": 50},
    "optimizers": [{"name": "sign_sam", "fixed": {"rho": 0.1}}, {"name": "normalized_gd"}],
    "space": {"lr": {"values": [0.05]}},
    "seeds": {"count": 2},
}


def installed(source: Path, target: Path) -> Path:
    """Build a package and install it into a folder, without the network."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the example as it is, and with another source under the same version number."""
    root = tmp_path_factory.mktemp("versions")
    changed = root / "changed"
    shutil.copytree(EXAMPLE, changed)
    rules = changed / "src" / "rhobust_example" / "optimizers.py"
    rules.write_text(rules.read_text().replace("clamp(min=1e-12)", "clamp(min=1e-9)"))
    return installed(EXAMPLE, root / "one"), installed(changed, root / "two")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plugged") / "data"


def made_by(job: Job) -> dict[tuple[str, str], set[str]]:
    """Return the fingerprints of a job's records, by task and optimizer."""
    found: dict[tuple[str, str], set[str]] = {}
    for record in job.iter_records():
        assert (record.status, record.error) == ("completed", None)
        found.setdefault((str(record.task), str(record.optimizer)), set()).add(record.fingerprint)
    return found


@pytest.fixture(scope="module")
def first(data_dir: Path, versions: tuple[Path, Path]) -> dict[tuple[str, str], set[str]]:
    """The fingerprints of a job in a service that allows the plug-in."""
    with server(data_dir, PYTHONPATH=str(versions[0]), RHOBUST_PLUGINS=NAME) as url, Client(url) as client:
        job = client.submit(SPEC).wait(timeout_s=JOB_S)
        assert (job.state, job.error) == ("completed", None)
        assert (job.progress.total, job.progress.completed, job.progress.reused) == (12, 12, 0)
        assert job.table().complete
        return made_by(job)


def dispatched(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, site: Path, plugins: tuple[str, ...], spec: dict[str, Any]
) -> tuple[StoredJob, Progress, dict[tuple[str, str], set[str]]]:
    """Submit a spec here, where the plug-in is known, and run it by a dispatcher with a driver of its own."""
    settings = Settings(data_dir=data_dir, plugins=plugins)
    monkeypatch.setenv("PYTHONPATH", str(site) if plugins else "")
    with Store.open(settings.store_url) as store:
        with fresh_process(site):
            load_plugins([NAME])
            job, _ = store.submit(new_job(Spec.from_mapping(spec)))
        Dispatcher(store, settings, only=job.id).run()
        found: dict[tuple[str, str], set[str]] = {}
        for stored in store.iter_records(job.id):
            found.setdefault((str(stored.task), str(stored.optimizer)), set()).add(stored.record.fingerprint)
        return store.job(job.id), store.progress(job.id), found


def test_records_of_another_source_are_not_reused(
    data_dir: Path, versions: tuple[Path, Path], first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, progress, after = dispatched(monkeypatch, data_dir, versions[1], (NAME,), SPEC)
    assert (job.state, job.error) == (JobState.COMPLETED, None)
    assert after.keys() == first.keys()
    same = {key for key in after if after[key] == first[key]}
    assert same == {("breast-cancer-mlp", "gd")}, "what is ours alone has the same fingerprint"
    assert (progress.total, progress.reused) == (12, 2)


def test_a_job_without_its_plug_in_fails_with_words(
    data_dir: Path, versions: tuple[Path, Path], first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _, _ = dispatched(monkeypatch, data_dir, versions[0], (), {**SPEC, "seeds": {"count": 3}})
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "unknown optimizer 'sign_sam'" in job.error
    assert "name it in RHOBUST_PLUGINS" in job.error
