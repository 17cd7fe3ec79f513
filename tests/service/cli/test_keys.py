"""Keys by command: shown once, or in a file for its owner alone; listed without secrets; revoked."""

import json
import stat
from pathlib import Path

import pytest

from service.keys import KeyState, Scope, key_id_of, new_key
from service.settings import Settings
from service.store import KeyRefusedError, Store
from tests.service.cli.conftest import Cli

pytestmark = pytest.mark.slow


def test_a_key_is_shown_once_and_let_in(cli: Cli) -> None:
    result = cli("keys", "create", "ann's laptop", "--scope", "read", "--expires", "2w")
    assert result.code == 0, result.err
    key = result.out.removesuffix("\n")
    assert key_id_of(key) is not None, "nothing else is on standard output, so that it can go into a variable or a file"
    assert key[15:] not in result.err
    assert "every call of the API needs a key" in result.err
    with Store.open(Settings().store_url) as store:
        known = store.authenticate(key)
        assert (known.label, known.scope) == ("ann's laptop", Scope.READ)
        assert known.expires_at == pytest.approx(known.created_at + 14 * 86_400, abs=1)
    second = cli("keys", "create", "ci")
    assert "every call" not in second.err
    listed = cli("keys", "ls")
    assert [word in listed.out for word in (known.id, "ann's laptop", "read", "usable", "submit")] == [True] * 5
    assert key[15:] not in listed.out
    rows = json.loads(cli("keys", "ls", "-o", "json").out)
    assert [(row["label"], row["state"]) for row in rows] == [("ann's laptop", "usable"), ("ci", "usable")]
    assert rows[0]["expires_at"].endswith("+00:00")
    assert f"{known.id},ann's laptop,read,usable,20" in cli("keys", "ls", "-o", "csv").out
    assert cli("keys", "revoke", known.id).code == 0
    with Store.open(Settings().store_url) as store:
        assert [one.state for one in store.api_keys()] == [KeyState.REVOKED, KeyState.USABLE]
        with pytest.raises(KeyRefusedError, match="was revoked"):
            store.authenticate(key)


def test_a_key_in_a_file_is_its_owners_alone_and_replaces_nothing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "key"
    result = cli("keys", "create", "ci", "--file", path)
    assert (result.code, result.out) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text()
    again = cli("keys", "create", "ci", "--file", path)
    assert (again.code, "File exists" in again.err) == (5, True)
    assert path.read_text() == key
    nowhere = cli("keys", "create", "ci", "--file", tmp_path / "nowhere" / "key")
    assert (nowhere.code, "No such file" in nowhere.err) == (5, True)
    refused = cli("keys", "create", "x" * 300, "--file", tmp_path / "long")
    assert (refused.code, "at most 200 characters" in refused.err) == (2, True)
    assert not (tmp_path / "long").exists(), "no file holds a key that lets nobody in"
    with Store.open(Settings().store_url) as store:
        assert [store.authenticate(key.strip()).label] == [one.label for one in store.api_keys()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "x", "--scope", "root"), "'root' is not one of 'read', 'submit', 'admin'"),
        (("create", "x", "--expires", "soon"), "a duration must be a whole number"),
        (("revoke", "nobody"), "there is no API key 'nobody'"),
    ],
)
def test_what_is_not_understood_is_said(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    result = cli("keys", *arguments)
    assert result.code in (2, 5)
    assert message in " ".join(result.err.replace("│", " ").split())


def test_an_upgrade_makes_the_first_admin_key_and_no_second(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    upgrade = ("db", "upgrade", "--admin-key-file", path)
    assert cli(*upgrade).code == 0
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    result = cli(*upgrade)
    assert (result.code, result.err) == (0, "The schema is up to date.\n")
    assert path.read_text().strip() == key
    with Store.open(Settings().store_url) as store:
        known = store.authenticate(key)
        assert (known.scope, known.label, len(store.api_keys())) == (Scope.ADMIN, "first administrator", 1)
        store.revoke_key(known.id)
        store.add_key(new_key(), "reads only", Scope.READ)
    refused = cli(*upgrade)
    assert (refused.code, "Remove the file" in refused.err) == (5, True)
    path.unlink()
    assert cli(*upgrade).code == 0
    assert path.read_text().strip() != key
    assert key[15:] not in result.err + refused.err


def test_an_upgrade_takes_the_key_that_an_interrupted_one_has_written(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    path.write_text("not a key")
    refused = cli("db", "upgrade", "--admin-key-file", path)
    assert (refused.code, "it holds something else" in refused.err) == (5, True)
    assert "not a key" not in refused.err
    key = new_key()
    path.write_text(f"{key}\n")
    assert cli("db", "upgrade", "--admin-key-file", path).code == 0
    with Store.open(Settings().store_url) as store:
        assert store.authenticate(key).scope is Scope.ADMIN
