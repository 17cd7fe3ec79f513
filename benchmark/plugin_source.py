"""The source of a plug-in as a hash of its files: an editable install changes without its version number."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

IGNORED_FOLDERS = frozenset({"__pycache__"})


def plugin_source(distribution: Distribution, modules: Iterable[str]) -> str:
    """Return the hash of the files of a distribution, their paths and contents.

    Files are those that the installer wrote, and those of the packages that the modules stand in: of an editable
    install the installer wrote none, so what is loaded from its project counts as well.

    Args:
        distribution: whose files count.
        modules: what was imported of it.

    Raises:
        OSError: when a file cannot be read.
    """
    files = dict(_installed(distribution))
    project = editable_project(distribution)
    names = {_package_of(module) for module in (*modules, *_loaded_from(project))}
    for name in sorted(names):
        files |= dict(_of_package(name))
    digest = hashlib.sha256()
    for shown, path in sorted(files.items()):
        digest.update(f"{shown}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def noted_commit(distribution: Distribution) -> str | None:
    """Return the commit of a repository that a distribution was installed from; None where its installer noted none."""
    commit: str | None = _noted(distribution).get("vcs_info", {}).get("commit_id")
    return commit


def _installed(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield what the installer wrote: not its own notes, nor what lies outside, such as scripts."""
    for file in distribution.files or ():
        is_note = file.parts[0].endswith((".dist-info", ".egg-info", ".pth")) or file.parts[0].startswith(
            "__editable__"
        )
        if is_note or file.parts[0] == ".." or file.suffix == ".pyc":
            continue
        path = Path(str(distribution.locate_file(file)))
        if path.is_file():
            yield file.as_posix(), path


def editable_project(distribution: Distribution) -> Path | None:
    """Return the folder that an editable install refers to; None for any other install."""
    noted = _noted(distribution)
    if not noted.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(noted["url"]).path)).resolve()


def _noted(distribution: Distribution) -> dict[str, Any]:
    """Return what the installer noted of where a distribution came from."""
    noted: dict[str, Any] = json.loads(distribution.read_text("direct_url.json") or "{}")
    return noted


def _loaded_from(project: Path | None) -> Iterator[str]:
    """Yield the modules that are loaded from a folder."""
    for name, module in [*sys.modules.items()] if project else ():
        file = getattr(module, "__file__", None)
        if project and file and Path(file).resolve().is_relative_to(project) and name != "__main__":
            yield name


def _package_of(module: str) -> str:
    """Return the outermost package, or module, of a module that is none of a namespace."""
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        found = importlib.util.find_spec(".".join(parts[:n]))
        if found is not None and found.has_location:
            return ".".join(parts[:n])
    return module


def _of_package(name: str) -> Iterator[tuple[str, Path]]:
    found = importlib.util.find_spec(name)
    if found is None or not found.origin:
        return
    base = name.replace(".", "/")
    if not found.submodule_search_locations:
        yield base + Path(found.origin).suffix, Path(found.origin)
        return
    root = Path(found.origin).parent
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.is_file() and path.suffix != ".pyc" and not IGNORED_FOLDERS & set(inside.parts):
            yield f"{base}/{inside.as_posix()}", path
