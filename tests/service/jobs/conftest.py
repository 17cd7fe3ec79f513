"""A store that processes can share, and the settings that point at it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from benchmark.tasks import registry
from service.settings import Settings
from tests.service.jobs import counted


@pytest.fixture
def backend() -> str:
    """The queue's own tests run on both databases; these are about processes."""
    return "sqlite"


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """Address of a database that no other test uses: what a killed process still does to it harms none."""
    return own_database_url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a role that uses the test's database."""
    return Settings(database_url=SecretStr(database_url), data_dir=tmp_path / "data")


@pytest.fixture
def counted_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have specs of this test name the task that counts."""
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_sources", {})
    counted.register()
