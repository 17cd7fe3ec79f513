"""What took long is kept in files, for the next server."""

import asyncio
import errno
import os
import stat
import time
from pathlib import Path

import pytest

from service.web import rendered
from service.web.kept import KeptFiles
from service.web.rendered import RenderedCache


def test_what_is_kept_is_found_by_its_key_and_its_making(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "rendered", "now")
    key = ("a-job", 7, "table", None, ("sam", "msam"))
    assert files.read(key) is None
    files.write(key, b"a table")
    assert KeptFiles(tmp_path / "rendered", "now").read(key) == b"a table"
    assert KeptFiles(tmp_path / "rendered", "an upgrade later").read(key) is None
    assert files.read(("a-job", 8, "table", None, ("sam", "msam"))) is None
    (file,) = (tmp_path / "rendered").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_was_used_least_lately_goes_first(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path, "now", max_bytes=25)
    for key in ("a", "b"):
        files.write(key, bytes(10))
    for age, path in enumerate(tmp_path.iterdir()):
        os.utime(path, (time.time() - 100 - age,) * 2)
    assert files.read("a")
    files.write("c", bytes(10))
    assert [key for key in "abc" if files.read(key)] == ["a", "c"]


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    files = KeptFiles(tmp_path / "file" / "rendered", "now")
    for _ in range(2):
        files.write("key", b"a table")
    assert files.read("key") is None
    assert len(caplog.records) == 1, "it is said once"


def test_half_a_file_does_not_stay_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    KeptFiles(tmp_path, "now").write("key", b"a table")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_process_took_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: [*listed(path), path / "gone"])
    files = KeptFiles(tmp_path, "now")
    files.write("key", b"a table")
    assert files.read("key") == b"a table"
    assert caplog.records == []


def test_the_next_server_need_not_compute_again_what_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered, "LONG_S", 0)
    calls = []

    def render() -> bytes:
        calls.append(1)
        return b"a table"

    async def ask(*, keep: bool) -> bytes:
        cache = RenderedCache(KeptFiles(tmp_path, "now"))  # as a process does that begins
        return (await cache.get("key", render, keep=keep)).content

    for keep in (False, True, True, False):
        assert asyncio.run(ask(keep=keep)) == b"a table"
    assert len(calls) == 3


def test_what_took_no_time_is_kept_in_memory_alone(tmp_path: Path) -> None:
    cache = RenderedCache(KeptFiles(tmp_path, "now"))
    assert asyncio.run(cache.get("key", lambda: b"a table")).content == b"a table"
    assert list(tmp_path.iterdir()) == []
