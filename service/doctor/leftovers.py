"""Checks for what killed processes left behind: drivers without a dispatcher, and scratch folders of nobody."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

from benchmark.rayenv import short_folder
from benchmark.scratch import MARKER, abandoned
from service.doctor.findings import Finding, ok, warning
from service.jobs.child import DRIVER_MODULE

QUIET_S = 60.0  # a folder that changed later may be in the making
START_ERROR_S = 2.0  # the system tells the start of a process from that of the machine, in whole seconds
_SCRATCH = re.compile(r"(rho|ray|tune)-[a-z0-9_]{8}")  # as tempfile names them


def examine_leftovers(*, clean: bool) -> Iterator[Finding]:
    """Yield what the checks for left-overs find; remove on demand the folders that are provably nobody's."""
    yield processes()
    yield folders({Path(short_folder() or tempfile.gettempdir()), Path(tempfile.gettempdir())}, clean=clean)


def processes() -> Finding:
    """Check for drivers whose dispatcher is gone; they are never ended here."""
    left = orphaned_drivers()
    if not left:
        return ok("processes", "no driver without its dispatcher")
    shown = ", ".join(str(process.pid) for process in left)
    remedy = "They should end by themselves within seconds; if they do not, look at them and end them with kill."
    return warning("processes", f"drivers without their dispatcher, by process id: {shown}.", remedy)


def orphaned_drivers() -> list[psutil.Process]:
    """Return the drivers of this user whose parent is gone, or is what adopts processes on this machine."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_ours = process.uids().real == os.getuid() and DRIVER_MODULE in process.cmdline()
            if is_ours and process.status() != psutil.STATUS_ZOMBIE and not _runs_python(process.parent()):
                found.append(process)
    return found


def _runs_python(process: psutil.Process | None) -> bool:
    """Whether a parent can be a dispatcher: each is a Python program, and what adopts orphans is none."""
    if process is None or process.status() == psutil.STATUS_ZOMBIE:
        return False
    return any("python" in word or "rhobust" in word for word in process.cmdline()[:2])


def folders(places: Collection[Path], *, clean: bool) -> Finding:
    """Check for scratch folders that nobody uses.

    Args:
        places: where scratch folders are made.
        clean: whether to remove those whose maker is known to have ended and that no process refers to.
    """
    unused = _unused([path for place in places for path in _scratch_folders(place)])
    marked = [path for path in unused if (path / MARKER).is_file()]
    removed = [path for path in marked if clean and _remove(path)]
    left = [path for path in marked if path not in removed and _is_nobodys(path)]
    unsure = [path for path in unused if path not in marked]
    said = [f"{len(removed)} left-over folders were removed"] if removed else []
    said += [f"left over by processes that ended: {_names(left)}"] if left else []
    said += [f"perhaps left over: {_names(unsure)}"] if unsure else []
    if not left and not unsure:
        return ok("folders", "; ".join(said) or "no scratch folder of a process that ended")
    remedies = ["`rhobust doctor --clean` removes what processes of ours left over."] if left else []
    if unsure:
        remedies.append("What bears no mark of ours may be of another program; look, and remove it by hand.")
    return warning("folders", f"{'; '.join(said)}.", " ".join(remedies))


def _scratch_folders(place: Path) -> Iterator[Path]:
    """Yield the folders of this user that are named like our scratch folders and have not changed lately."""
    with contextlib.suppress(OSError):
        for path in sorted(place.iterdir()):
            if _SCRATCH.fullmatch(path.name) and _is_quiet(path):
                yield path


def _is_quiet(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and time.time() - found.st_ctime > QUIET_S


def _unused(paths: list[Path]) -> list[Path]:
    """Return the folders that no living process refers to, in its arguments, environment, place or open files."""
    unused = {path: made for path in paths if (made := _made_at(path)) is not None}
    for process in psutil.process_iter() if paths else ():
        with contextlib.suppress(psutil.Error):
            if process.uids().real != os.getuid():
                continue
            try:
                words = "\n".join(_references(process))
                used = {path for path in unused if str(path) in words}
            except psutil.AccessDenied:  # it may use whatever was there when it started
                started = process.create_time() + START_ERROR_S
                used = {path for path, made in unused.items() if made <= started}
            for path in used:
                del unused[path]
    return list(unused)


def _made_at(path: Path) -> float | None:
    """Return when a folder was made; None where it is gone.

    Its marker is written once, at the start. Without one it is the time when it last changed.
    """
    with contextlib.suppress(OSError):
        return (path / MARKER).lstat().st_mtime
    with contextlib.suppress(OSError):
        return path.lstat().st_ctime
    return None


def _references(process: psutil.Process) -> Iterator[str]:
    yield from process.cmdline()
    yield from process.environ().values()
    yield process.cwd()
    yield from (file.path for file in process.open_files())


def _is_nobodys(path: Path) -> bool:
    with abandoned(path) as is_free:
        return is_free


def _remove(path: Path) -> bool:
    """Remove a folder whose maker has ended; return whether it is gone."""
    with abandoned(path) as is_free:  # the lock of its maker is ours meanwhile
        if is_free:
            shutil.rmtree(path, ignore_errors=True)
    return is_free and not path.exists()


def _names(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
