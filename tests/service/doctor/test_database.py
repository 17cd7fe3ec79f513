"""A database that cannot be used, is damaged, or has jobs that nobody runs."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.doctor import Finding, Verdict
from service.doctor.database import examine_database
from service.settings import Settings
from service.store import Store, backup
from tests.service.processes import free_port
from tests.service.store.samples import make_record, running, write


def findings(url: str | None, data_dir: Path) -> dict[str, Finding]:
    settings = Settings(data_dir=data_dir, database_url=SecretStr(url) if url else None)
    return {one.check: one for one in examine_database(settings)}


def verdicts(found: dict[str, Finding]) -> dict[str, str]:
    return {check: str(one.verdict) for check, one in found.items()}


def test_an_idle_store_only_lacks_a_dispatcher(database_url: str, store: Store, tmp_path: Path, backend: str) -> None:
    found = findings(database_url, tmp_path)
    assert verdicts(found) == {"database": "ok", "integrity": "ok", "dispatchers": "warning", "leases": "ok"}
    assert "rhobust worker" in (found["dispatchers"].remedy or "")
    assert ("PostgreSQL" in found["integrity"].message) == (backend == "postgresql")
    store.report_dispatcher("here-7", "here", 7, "0.1", {})
    found = findings(database_url, tmp_path)
    assert found["dispatchers"].verdict is Verdict.OK
    assert found["dispatchers"].message.startswith("1 alive: here-7 (0 s ago, idle)")


def test_a_silent_dispatcher_is_named(
    database_url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.report_dispatcher("here-7", "here", 7, "0.1", {})
    monkeypatch.setattr("service.doctor.database.ALIVE_WITHIN_S", -1.0)
    found = findings(database_url, tmp_path)
    assert found["dispatchers"].message == "none is alive; here-7 was the last to report, 0 s ago."


def test_a_job_whose_owner_went_silent_is_named(database_url: str, store: Store, tmp_path: Path) -> None:
    alive = running(store)
    assert findings(database_url, tmp_path)["leases"].verdict is Verdict.OK
    store.renew(alive.id, alive.attempt, 0.0)
    found = findings(database_url, tmp_path)["leases"]
    assert found.verdict is Verdict.WARNING
    assert f"1 running jobs have an owner that went silent: {alive.id} of one." in found.message
    assert store.job(alive.id).attempt == alive.attempt, "looking takes nothing over"


def test_an_embedded_database_need_not_be_there_yet(tmp_path: Path) -> None:
    assert verdicts(findings(None, tmp_path)) == {"database": "ok"}
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_does_not_answer_keeps_its_password(tmp_path: Path) -> None:
    found = findings(f"postgresql://user:secret@127.0.0.1:{free_port()}/x", tmp_path)
    assert verdicts(found) == {"database": "problem"}
    assert "secret" not in found["database"].message


def test_a_database_without_a_schema(empty_database_url: str, tmp_path: Path) -> None:
    found = findings(empty_database_url, tmp_path)
    assert verdicts(found) == {"database": "problem"}
    assert "run `rhobust db upgrade`" in found["database"].message


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_damaged_file(database_url: str, store: Store, backend: str, tmp_path: Path) -> None:
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(400)])
    file = tmp_path / "damaged.db"
    backup(database_url, file)
    content = bytearray(file.read_bytes())
    # the second half holds records; the schema, which opening needs, is at the start
    content[len(content) // 2 :] = b"\xa5" * (len(content) - len(content) // 2)
    file.write_bytes(content)
    found = findings(f"sqlite:///{file}", tmp_path)
    bad = [one for one in found.values() if one.verdict is Verdict.PROBLEM]
    assert len(bad) >= 1
    assert any("malformed" in one.message or "damaged" in one.message for one in bad)
    assert any("rhobust db restore" in (one.remedy or "") for one in bad)
