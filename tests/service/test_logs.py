"""Reading logs: from the end, on from there, and nothing that is no log."""

import os
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import logs
from service.logs import LogReader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder / "job.log"


def reader_of(path: Path) -> LogReader:
    return LogReader(path, path.parent)


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as log:
        log.write(text)


@given(
    lines=st.lists(st.text("aé✓", max_size=9), max_size=12),
    is_ended=st.booleans(),
    n_lines=st.integers(0, 14),
    block=st.integers(1, 7),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_end_is_that_of_the_whole_text(
    path: Path, lines: list[str], is_ended: bool, n_lines: int, block: int
) -> None:
    text = "".join(f"{line}\n" for line in lines) + ("" if is_ended else "and")
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "BLOCK_BYTES", block)
        reader = reader_of(path)
        kept = text.splitlines(keepends=True)[-n_lines:] if n_lines else []
        assert reader.tail(n_lines) == "".join(kept)
        append(path, "né\n".encode())
        assert "".join(reader.more() for _ in range(8)) == "né\n", "it goes on where it stood, in blocks of any size"
        assert reader.more() == ""


def test_a_large_log_is_read_from_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with path.open("wb") as log:
        log.truncate(1024**4)  # a hole: it takes no room, and reading all of it would take an hour
    append(path, b"\nlast but one\nlast\n")
    assert reader_of(path).tail(2) == "last but one\nlast\n"
    monkeypatch.setattr(logs, "MAX_TAIL_BYTES", logs.BLOCK_BYTES)
    assert reader_of(path).tail(9) == "last but one\nlast\n", "no line is cut while there is a whole one"


def test_what_a_terminal_would_obey_is_shown_and_what_is_no_text_is_replaced(path: Path) -> None:
    path.write_bytes(b"\x1b]0;title\x07\x1b[31mred\r\ttab\x7f\xff \xc2\x9b2J\0\n")
    assert reader_of(path).tail(5) == "␛]0;title␇␛[31mred␍\ttab␡� �2J␀\n"


def test_a_log_that_was_emptied_is_read_from_its_start(path: Path) -> None:
    path.write_text("one\ntwo\n")
    reader = reader_of(path)
    assert reader.tail(1) == "two\n"
    path.write_text("new\n")
    assert reader.more() == "new\n"


def test_what_is_no_log_is_not_opened(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.log"
    secret.write_text("secret\n")
    other = path.with_name("other.log")
    other.write_text("another job's\n")
    pipe, link, inner = (path.with_name(f"{name}.log") for name in ("pipe", "link", "inner"))
    os.mkfifo(pipe)
    link.symlink_to(secret)
    inner.symlink_to(other)
    folder = path.with_name("folder.log")
    folder.mkdir()
    for no_log in (path, pipe, link, inner, folder, path.parent / ".." / "secret.log"):
        reader = reader_of(no_log) if no_log.name != "secret.log" else LogReader(no_log, path.parent)
        assert (reader.tail(5), reader.more()) == (None, ""), no_log


def test_no_descriptor_is_held_between_two_looks(path: Path) -> None:
    path.write_text("one\n")
    reader = reader_of(path)
    reader.tail(1)
    reader.more()
    assert str(path) not in [opened.path for opened in psutil.Process().open_files()]
