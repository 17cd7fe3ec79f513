"""What a machine lacks is said in one line, with exit code 5 and no traceback."""

import os
import socket
import sqlite3
from pathlib import Path

import pytest
import yaml

from service.keys import Scope, new_key
from service.settings import Settings
from service.store import Store
from tests.service.cli.conftest import Cli, Result
from tests.service.filling import small_spec
from tests.service.processes import free_port

pytestmark = pytest.mark.slow


def is_one_clear_line(result: Result, *words: str) -> None:
    assert (result.code, result.out) == (5, "")
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("rhobust: ")
    assert all(word in result.err for word in words), result.err


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(small_spec()))
    return path


def test_a_port_in_use(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        is_one_clear_line(cli("serve", "--port", port), f"127.0.0.1:{port}", "in use", "--port")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.test"])  # noqa: S104  (it is refused)
def test_an_address_off_loopback_without_keys(cli: Cli, host: str) -> None:
    is_one_clear_line(cli("serve", "--host", host), "loopback", host)


@pytest.mark.parametrize("command", ["serve", "worker", "run"])
def test_a_data_folder_that_cannot_be_made(cli: Cli, spec: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("RHOBUST_DATA_DIR", "/proc/nowhere")
    arguments = [spec] if command == "run" else []
    is_one_clear_line(cli(command, *arguments), "/proc/nowhere", "RHOBUST_DATA_DIR")


def test_a_database_that_cannot_be_written(
    cli: Cli, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.db").mkdir()
    monkeypatch.setenv("RHOBUST_DATABASE_URL", f"sqlite:///{tmp_path / 'folder.db'}")
    is_one_clear_line(cli("run", spec), "folder.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_database(cli: Cli, spec: Path, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'data' / 'rhobust.db'}", create=True):
        pass
    (tmp_path / "data" / "rhobust.db").chmod(0o400)
    is_one_clear_line(cli("run", spec), "rhobust.db")


def test_a_database_server_that_does_not_answer(cli: Cli, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_DATABASE_URL", f"postgresql://user:secret@127.0.0.1:{free_port()}/x")
    result = cli("run", spec)
    is_one_clear_line(result, "127.0.0.1")
    assert "secret" not in result.err


def test_a_schema_of_another_version(cli: Cli, spec: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "rhobust.db"
    with Store.open(f"sqlite:///{path}", create=True):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    is_one_clear_line(cli("run", spec), "rhobust", "9999")


@pytest.mark.parametrize("command", ["serve", "worker", "run"])
def test_a_ray_address_where_nobody_answers(
    cli: Cli, spec: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RHOBUST_RAY_ADDRESS", address)
    arguments: dict[str, list[object]] = {"run": [spec], "serve": ["--port", 0], "worker": []}
    is_one_clear_line(cli(command, *arguments[command]), "no Ray answers", address)


def test_ray_that_is_not_installed(cli: Cli, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.environment.find_spec", lambda name: None)
    is_one_clear_line(cli("run", spec), "pip install 'ray[tune]'")


def test_settings_that_are_not_valid(cli: Cli, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_MAX_CELLS", "-1")
    result = cli("run", spec)
    assert (result.code, result.out) == (2, "")
    assert "RHOBUST_MAX_CELLS" in result.err


def test_the_database_is_upgraded_and_checked(cli: Cli, tmp_path: Path) -> None:
    assert cli("db", "check").code == 5
    assert cli("db", "upgrade").code == 0
    assert cli("db", "check").code == 0


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RHOBUST_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = Settings()
    assert settings.store_url == f"sqlite:///{tmp_path}/rhobust/rhobust.db"
    assert settings.is_embedded
    monkeypatch.setenv("RHOBUST_DATABASE_URL", "postgresql://user:secret@host/db")
    settings = Settings()
    assert settings.store_url == "postgresql://user:secret@host/db"
    assert not settings.is_embedded
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        (("--host", "::"), {}, "--host ::"),
        (("--proxy", "10.0.0.1,10.1.0.0/16"), {}, "--proxy 10.0.0.1,10.1.0.0/16"),
        ((), {"RHOBUST_ALLOWED_HOSTS": "localhost, bench.example"}, "RHOBUST_ALLOWED_HOSTS=bench.example"),
    ],
)
def test_what_others_can_reach_needs_a_key_that_can_be_used(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], variables: dict[str, str], shown: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    is_one_clear_line(cli("serve", *arguments), shown, "rhobust keys create LABEL --scope admin")
    with Store.open(Settings().store_url) as store:
        key = store.add_key(new_key(), "gone", Scope.ADMIN)
        store.revoke_key(key.id)
    is_one_clear_line(cli("serve", *arguments), shown, "usable API key")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--proxy", "*"), 2, "named by its IP address"),
        (("--proxy", ""), 2, "named by its IP address"),
        (("--root-path", "bench/"), 2, "it must be like /rhobust"),
        (("--ssl-keyfile", "x.pem"), 2, "needs --ssl-certfile"),
        (("--ssl-certfile", "/nowhere.pem"), 5, "must hold a certificate and its key"),
    ],
)
def test_an_option_of_the_server_that_cannot_be(cli: Cli, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = cli("serve", *arguments)
    assert result.code == code
    assert message in " ".join(result.err.replace("│", " ").split())


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine(cli: Cli, host: str) -> None:
    assert cli("keys", "create", "mine").code == 0
    is_one_clear_line(cli("serve", "--host", host, "--port", 0, "--no-dispatcher"), "of this machine", host)
