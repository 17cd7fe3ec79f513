"""A folder of all pages, those that are kept and those that are written, as the generator of the site wants it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from docs.generate.catalogue import catalogue_page
from docs.generate.commands import commands_page
from docs.generate.library import client_page, library_page
from docs.generate.rest import load, rest_page, shapes_page
from docs.generate.spec import spec_page

ROOT = Path(__file__).parents[2]
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md")  # pages that stand at the top of the repository
FOLDERS = ("examples", "docker")  # that pages refer to


def reference_pages() -> dict[str, Callable[[], str]]:
    """Return what writes each page of the reference."""
    return {
        "spec.md": spec_page,
        "commands.md": commands_page,
        "rest.md": lambda: rest_page(load()),
        "shapes.md": lambda: shapes_page(load()),
        "client.md": client_page,
        "library.md": library_page,
        "catalogue.md": catalogue_page,
    }


def stage(folder: Path) -> None:
    """Write all pages into a folder, whatever was there before."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("generate", "*.py", "__pycache__"))
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in BESIDE:
        shutil.copy(ROOT / name, folder / name)
    for path in folder.rglob("*.md"):
        _lead_within(path, folder)
    (folder / "reference").mkdir()
    for name, write in reference_pages().items():
        (folder / "reference" / name).write_text(write(), encoding="utf-8")


def _lead_within(path: Path, folder: Path) -> None:
    """Let the links of a page lead within the folder: from a page to an example, and from an example to a page."""
    text = path.read_text(encoding="utf-8")
    up = "../" * (len(path.relative_to(folder).parts) - 1)
    if path.parent == folder:
        text = re.sub(r"\]\(\.\./", "](", text) if path.name not in BESIDE else text.replace("](docs/", "](")
    else:
        text = text.replace(f"]({up}docs/", f"]({up}")
    path.write_text(text, encoding="utf-8")
