from pathlib import Path

import pytest

from benchmark.errors import TaskDataError
from benchmark.tasks.local import datasets_folder, extra_needed


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RHOBUST_DATASETS_DIR": "/own", "XDG_DATA_HOME": "/xdg"}, "/own"),
        ({"RHOBUST_DATASETS_DIR": "", "XDG_DATA_HOME": "/xdg"}, "/xdg/rhobust/datasets"),
        ({"XDG_DATA_HOME": ""}, "/me/.local/share/rhobust/datasets"),
        ({"RHOBUST_DATASETS_DIR": "~/mine"}, "/me/mine"),
    ],
)
def test_the_folder_is_where_the_environment_says(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RHOBUST_DATASETS_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert datasets_folder() == Path(expected)


def test_without_a_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("RHOBUST_DATASETS_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(TaskDataError, match=r"Set RHOBUST_DATASETS_DIR\."):
        datasets_folder()


def test_an_extra_that_is_missing_is_named_with_what_brings_it() -> None:
    with (
        pytest.raises(TaskDataError, match=r"a task needs .* No module named 'nowhere'\. Run `pip install 'rhobust\[v"),
        extra_needed("a task"),
    ):
        import nowhere  # type: ignore[import-not-found]  # noqa: F401  (it is nowhere)
