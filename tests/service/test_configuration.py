"""The file of settings: below the environment, above the defaults, and only the user's."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.cli.exits import ExitCode, exit_code, message
from service.configuration import ConfigurationError, configuration_path
from service.settings import DEFAULT_URL, Settings


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = configuration_path()
    assert path == tmp_path / "rhobust" / "config.toml"
    path.parent.mkdir()
    return path


def test_without_a_file_defaults_hold(file: Path) -> None:
    assert Settings().url == DEFAULT_URL


def test_the_environment_goes_before_the_file_and_the_file_before_defaults(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('url = "http://a.test"\nmax_cells = 7\napi_key = "rhb_file"\n')
    monkeypatch.setenv("RHOBUST_MAX_CELLS", "9")
    settings = Settings()
    assert (settings.url, settings.max_cells, settings.log_level) == ("http://a.test", 9, "INFO")
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "rhb_file"
    assert Settings(url="http://b.test").url == "http://b.test"


def test_a_secret_of_the_environment_goes_before_that_of_the_file_in_either_form(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file.write_text('api_key = "rhb_file"\n')
    (tmp_path / "key").write_text("rhb_elsewhere")
    monkeypatch.setenv("RHOBUST_API_KEY_FILE", str(tmp_path / "key"))
    key = Settings().api_key
    assert key is not None
    assert key.get_secret_value() == "rhb_elsewhere"


def test_a_file_in_the_working_directory_is_not_read(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("config.toml", "rhobust.toml", ".env"):
        (tmp_path / name).write_text('url = "http://evil.test"\n')
    monkeypatch.chdir(tmp_path)
    assert Settings().url == DEFAULT_URL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ulr = 'http://a.test'", "unknown setting 'ulr'; did you mean 'url'?"),
        ("url", "must be TOML, but Expected '=' after a key"),
        ("url = '\xff'", "must be TOML, but"),
    ],
)
def test_a_file_that_is_not_one_is_said(file: Path, text: str, said: str) -> None:
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"config\.toml") as caught:
        Settings()
    assert said in str(caught.value)
    assert exit_code(caught.value) == ExitCode.USAGE


def test_a_value_that_is_wrong_is_said_with_where_it_stands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("log_level = 'odd'\nmax_cells = 9\n")
    monkeypatch.setenv("RHOBUST_MAX_CELLS", "0")
    with pytest.raises(ValidationError, match="log_level") as caught:
        Settings()
    said = message(caught.value)
    assert f"log_level in {file}: Input should be 'DEBUG'" in said
    assert "RHOBUST_MAX_CELLS: Input should be greater" in said


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://rhobust.example.org", "https://rhobust.example.org"),
        ("http://10.0.0.7:8321/team/", "http://10.0.0.7:8321/team"),
    ],
)
def test_the_address_for_people_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch, given: str, kept: str) -> None:
    monkeypatch.setenv("RHOBUST_PUBLIC_URL", given)
    assert Settings().public_url == kept


@pytest.mark.parametrize(
    "given",
    ["rhobust.example.org", "ftp://a.example", "https://", "https://me:secret@a.example", "https://a.example/?b"],
)
def test_an_address_for_people_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("RHOBUST_PUBLIC_URL", given)
    with pytest.raises(ValueError, match=r"it must be the address of a server such as https://rhobust.example\.org"):
        Settings()
