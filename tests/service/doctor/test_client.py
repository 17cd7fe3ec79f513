"""What the doctor says about the settings of a client and its server."""

from pathlib import Path

import pytest

from service.client import Client, UnauthorizedError
from service.configuration import configuration_path
from service.doctor import Verdict
from service.doctor.client import configuration, server
from service.settings import Settings
from tests.service.processes import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def backend() -> str:
    """One database is enough here."""
    return "sqlite"


def test_a_server_that_answers(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_URL", served)
    found = server(Settings())
    assert (found.verdict, f"{served} answers, version " in found.message) == (Verdict.OK, True)
    monkeypatch.setattr(Client, "version", lambda self: "9.9")
    assert "is version 9.9, but this is" in server(Settings()).message


def test_no_server_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_URL", f"http://127.0.0.1:{free_port()}")
    found = server(Settings())
    assert (found.verdict, "none answers at" in found.message) == (Verdict.WARNING, True)
    assert "rhobust serve" in str(found.remedy)


def test_a_server_that_does_not_let_us_in(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Client) -> None:
        raise UnauthorizedError(401, "no such key")

    monkeypatch.setattr(Client, "jobs", refused)
    found = server(Settings())
    assert (found.verdict, "no such key" in found.message) == (Verdict.PROBLEM, True)
    assert "RHOBUST_API_KEY" in str(found.remedy)


def test_a_key_that_others_can_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "no API key" in configuration(Settings()).message
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = configuration_path()
    path.parent.mkdir()
    path.write_text('api_key = "rhb_x"\n')
    path.chmod(0o644)
    found = configuration(Settings())
    assert (found.verdict, found.remedy) == (Verdict.WARNING, f"Keep it for yourself: chmod 600 {path}")
    path.chmod(0o600)
    assert configuration(Settings()).message == f"{path}; an API key"
    key = tmp_path / "key"
    key.write_text("rhb_y")
    key.chmod(0o640)
    monkeypatch.setenv("RHOBUST_API_KEY_FILE", str(key))
    assert f"others can read the API key in {key}" in configuration(Settings()).message
