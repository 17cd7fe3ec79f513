"""What is running: versions of Rhobust, Python, torch and the schema, and the revision of the source."""

import platform
import re
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

STAMP = Path(__file__).with_name("revision.txt")  # written into an image when it is built
ROOT = Path(__file__).parents[1]
_HASH = re.compile(r"[0-9a-f]{7,64}")
_REF = re.compile(r"ref: (refs/[\w./-]+)")


@dataclass(frozen=True, slots=True)
class Build:
    """What is running.

    Attributes:
        version: of Rhobust.
        revision: of its source, as git names it; None where that is not known.
        python: version of Python.
        torch: version of torch.
        schema: revision of the database's schema that this needs.
    """

    version: str
    revision: str | None
    python: str
    torch: str
    schema: str

    def to_dict(self) -> dict[str, str | None]:
        """Return its facts by name."""
        return asdict(self)


@cache
def build() -> Build:
    """Return what is running; it is looked for once."""
    from service.store.tables import REVISION  # loads SQLAlchemy, for which to say a version need not wait

    return Build(version("rhobust"), source_revision(), platform.python_version(), version("torch"), REVISION)


def short_version() -> str:
    """Return the version and the start of the revision, in a line."""
    revision = source_revision()
    return f"rhobust {version('rhobust')} ({revision[:12]})" if revision else f"rhobust {version('rhobust')}"


def source_revision(stamp: Path = STAMP, root: Path = ROOT) -> str | None:
    """Return the revision of the source: from the stamp of an image, else from the working copy; None without either.

    A working copy may have been changed since: only git could tell, and it need not be installed.
    """
    return _hash(_text(stamp)) or _head(root / ".git")


def revision_at(folder: Path) -> str | None:
    """Return the revision of the working copy that a folder is in, as git names it; None where it is in none."""
    copies = (place / ".git" for place in (folder, *folder.parents))
    git = next((place for place in copies if place.exists()), None)
    return None if git is None else _head(git)


def _head(git: Path) -> str | None:
    """Return the revision that is checked out, read from git's own files."""
    linked = re.fullmatch(r"gitdir: (.+)", _text(git)) if git.is_file() else None  # of a second working copy
    folder = git.parent / linked[1] if linked else git
    head = _text(folder / "HEAD")
    ref = _REF.fullmatch(head)
    if ref is None or ".." in ref[1]:
        return _hash(head)
    shared = folder / (_text(folder / "commondir") or ".")
    packed = re.search(rf"^([0-9a-f]+) {re.escape(ref[1])}$", _text(shared / "packed-refs"), re.MULTILINE)
    return _hash(_text(folder / ref[1])) or _hash(_text(shared / ref[1])) or _hash(packed[1] if packed else "")


def _text(path: Path) -> str:
    """Return what is in a file; nothing where it is not there or is no text."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _hash(text: str) -> str | None:
    return text if _HASH.fullmatch(text) else None
