"""Plug-ins in the service: named with their origin, refused at start where they are broken, missed in words."""

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from benchmark import Spec, load_plugins
from service.doctor import Verdict
from service.doctor.plugins import examine_plugins
from service.jobs import driver
from service.jobs.child import DriverExit, Orders
from service.settings import Settings
from service.store import Store
from service.submission import new_job
from tests.benchmark.packages import fresh_process, write_package, write_rule
from tests.service.filling import small_spec

pytestmark = pytest.mark.slow
SPEC = small_spec(name="turning", optimizers=[{"name": "turned", "fixed": {"rho": 0.1}}])
PROBLEM_TYPE = "application/problem+json"


@pytest.fixture
def backend() -> str:
    """One database is enough here."""
    return "sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a plug-in and a package that is broken, on the path of a process that has loaded neither."""
    write_rule(tmp_path)
    write_package(tmp_path, "odd", {"odd.py": "1 / 0"}, optimizers={"odd": "odd:X"})
    with fresh_process(tmp_path):
        yield tmp_path


@pytest.fixture
def web(served: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served, timeout=60.0) as client:
        yield client


def named(web: httpx.Client, what: str) -> dict[str, Any]:
    return {one["name"]: one for one in web.get(f"/api/v1/{what}").raise_for_status().json()}


def test_optimizers_are_listed_with_their_origin(folder: Path, web: httpx.Client) -> None:
    (plugin,) = load_plugins(["turned-rule"])
    found = named(web, "optimizers")
    assert found["turned"]["origin"] == {
        "distribution": "turned-rule",
        "version": "1.0",
        "builtin": False,
        "source": plugin.source,
    }
    assert [one["name"] for one in found["turned"]["hyperparameters"]] == ["rho", "rho_warmup"]
    assert (found["sam"]["origin"]["builtin"], found["sam"]["origin"]["distribution"]) == (True, "rhobust")
    assert found["sam"]["has_base"] is True
    tasks = named(web, "tasks")
    assert tasks["digits-mlp"]["origin"] == found["sam"]["origin"]
    schema = web.get("/api/v1/schemas/spec.json").json()
    assert "turned" in schema["$defs"]["OptimizerEntry"]["properties"]["name"]["enum"]


@pytest.mark.parametrize("name", ["turned_rule:TURNED", "turned-rule", "odd", "odd:X", "os.system", "../odd.py"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs?dry_run=true"])
def test_a_job_names_no_module_and_no_file(folder: Path, web: httpx.Client, name: str, path: str) -> None:
    load_plugins(["turned-rule"])
    for changes in ({"optimizers": [{"name": name}]}, {"tasks": [{"name": name}]}, {"base": {"name": name}}):
        answer = web.post(path, json=small_spec(**changes))
        assert answer.status_code == 422
        assert answer.headers["content-type"] == PROBLEM_TYPE
        assert "unknown " in answer.json()["detail"]
    assert "odd" not in sys.modules
    assert web.get("/api/v1/jobs").json()["items"] == []


def test_a_job_whose_plug_in_is_gone_is_still_there_and_says_what_is_missing(
    folder: Path, store: Store, web: httpx.Client
) -> None:
    with fresh_process(folder):
        load_plugins(["turned-rule"])
        job, _ = store.submit(new_job(Spec.from_mapping(SPEC)))
    assert web.get(f"/api/v1/jobs/{job.id}").status_code == 200
    assert web.get(f"/api/v1/jobs/{job.id}/records").status_code == 200
    for path in ("table", "surface", "figures/heatmap"):
        answer = web.get(f"/api/v1/jobs/{job.id}/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM_TYPE)
        assert "unknown optimizer 'turned'" in answer.json()["detail"]
        assert "name it in RHOBUST_PLUGINS" in answer.json()["detail"]


class Words(io.StringIO):
    """Keeps what was said when it is closed."""

    said = ""

    def close(self) -> None:
        self.said = self.getvalue()


@pytest.mark.parametrize("plugins", [(), ("turned-rule",), ("odd",)])
def test_a_driver_without_the_plug_in_of_its_job_fails_it_with_words(
    folder: Path, store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch, plugins: tuple[str, ...]
) -> None:
    with fresh_process(folder):
        load_plugins(["turned-rule"])
        job, _ = store.submit(new_job(Spec.from_mapping(SPEC)))
    (folder / "turned_rule-1.0.dist-info" / "METADATA").unlink()
    (folder / "turned_rule-1.0.dist-info").rename(folder / "gone")
    orders = Orders(database_url, job.id, 1, 60.0, None, 1, os.getppid(), plugins)
    words = Words()
    monkeypatch.setattr(driver, "private_stdout", lambda: words)
    monkeypatch.setattr(driver, "end_with_parent", lambda _: None)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asdict(orders)) + "\n"))
    assert driver.main() == DriverExit.HOPELESS
    assert "/optimizers/0/name: unknown optimizer 'turned'" in words.said
    assert "If a plug-in offered it, install it where this runs" in words.said
    assert ("'turned-rule' is allowed but not installed here" in words.said) == (plugins == ("turned-rule",))
    assert ("division by zero" in words.said) == (plugins == ("odd",))


def test_doctor_says_what_was_loaded_what_is_broken_and_what_is_not_allowed(folder: Path) -> None:
    write_rule(folder, "second-rule", "second")
    findings = list(examine_plugins(Settings(plugins=("Turned_Rule", "odd", "missing"))))
    assert {one.check for one in findings} == {"plug-ins"}
    assert [one.verdict for one in findings] == [Verdict.PROBLEM, Verdict.PROBLEM, Verdict.OK, Verdict.OK]
    assert "'missing' is allowed but not installed" in findings[0].message
    assert "ZeroDivisionError" in findings[1].message
    assert findings[1].remedy == "No server or dispatcher starts before that is done."
    assert findings[2].message == "turned-rule 1.0: optimizers turned"
    assert findings[3].message == "not allowed by RHOBUST_PLUGINS, and so not loaded: second-rule"
    assert "second_rule" not in sys.modules


def test_doctor_has_nothing_to_say_where_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.doctor.plugins.installed_plugins", lambda: ())
    (finding,) = examine_plugins(Settings(plugins=()))
    assert (finding.verdict, finding.message) == (Verdict.OK, "none is installed and none allowed")


def test_the_variable_is_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, names in (("", ()), ("one", ("one",)), (" one, Two.b ,", ("one", "Two.b"))):
        monkeypatch.setenv("RHOBUST_PLUGINS", value)
        assert Settings().plugins == names
    for value in ("one two", "a:b", "../x", "a[b]", "-"):
        monkeypatch.setenv("RHOBUST_PLUGINS", value)
        with pytest.raises(ValidationError, match="plugins"):
            Settings()
