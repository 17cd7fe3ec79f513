"""The client sends its key, to whom it is for and never in the clear."""

from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from service.client import Client, ClientError
from service.keys import new_key
from service.settings import Settings

JOB = {"id": "x", "state": "queued"}


def sent(url: str | None = None, api_key: str | None = None) -> str | None:
    """Return the Authorization header of a request."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=JOB)

    with Client(url, api_key=api_key, transport=httpx.MockTransport(answer)) as client:
        client.json("GET", "/jobs/x")
    header = seen[0].headers.get("Authorization")
    return None if header is None else str(header)


def test_a_key_comes_from_the_argument_the_environment_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sent() is None
    path = tmp_path / "key"
    path.write_text("rhb_from_file\n")
    monkeypatch.setenv("RHOBUST_API_KEY_FILE", str(path))
    assert sent() == "Bearer rhb_from_file"
    assert sent(api_key="rhb_argument") == "Bearer rhb_argument"
    monkeypatch.delenv("RHOBUST_API_KEY_FILE")
    monkeypatch.setenv("RHOBUST_API_KEY", "rhb_environment")
    assert sent() == "Bearer rhb_environment"


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("https://example.test", True),
        ("http://example.test", False),
        ("http://127.0.0.1.example.test", False),
        ("http://192.168.0.1:8321", False),
    ],
)
def test_a_key_does_not_leave_the_machine_in_the_clear(url: str, goes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not goes:
        with pytest.raises(ClientError, match=r"must not be sent unencrypted .*RHOBUST_INSECURE_HTTP=1"):
            sent(url=url, api_key=new_key())
        assert sent(url=url) is None, "without a key there is nothing to protect"
        monkeypatch.setenv("RHOBUST_INSECURE_HTTP", "1")
    assert sent(url=url, api_key="rhb_x") == "Bearer rhb_x"


def test_what_no_header_can_hold_is_no_key() -> None:
    for key in ("rhb_é", "a\nb"):
        with pytest.raises(ClientError, match="printable ASCII"):
            sent(api_key=key)


@pytest.mark.parametrize("name", ["API_KEY", "DATABASE_URL"])
def test_a_secret_comes_from_its_variable_or_from_a_file_and_is_not_shown(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    monkeypatch.setenv(f"RHOBUST_{name}_FILE", str(path))
    with pytest.raises(ValidationError, match=f"{name.lower()}_file.*\n.*secret cannot be read: No such file"):
        Settings()
    path.write_text(" \n")
    with pytest.raises(ValidationError, match="must hold a secret, but it is empty"):
        Settings()
    path.write_text("postgresql://user:hidden@host/db\n")
    settings = Settings()
    secret = getattr(settings, name.lower())
    assert secret.get_secret_value() == "postgresql://user:hidden@host/db"
    assert "hidden" not in repr(settings)
    monkeypatch.setenv(f"RHOBUST_{name}", "postgresql://another")
    with pytest.raises(ValidationError, match=f"only one of RHOBUST_{name} and RHOBUST_{name}_FILE may be set"):
        Settings()
