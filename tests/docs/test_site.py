"""The site of the documentation: built strictly, whole, and from nobody else's host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs.generate.commands import commands_page
from docs.generate.docstrings import described
from docs.generate.rest import load, rest_page, shapes_page
from docs.generate.spec import spec_page
from docs.generate.staging import ROOT, stage

LOADED = re.compile(r"""<(?:script|link|img|iframe)[^>]*\b(?:src|href)=["']?(https?:)?//""")
# A link of the head that loads nothing.
LOADS_NOTHING = re.compile(r'<link rel="?(canonical|next|prev)"?[^>]*>')


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    folder = tmp_path_factory.mktemp("site")
    stage(folder / "build" / "pages")
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return folder / "build" / "docs", done


@pytest.mark.slow
def test_it_is_built_without_a_warning_and_has_every_page(
    built: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    site, done = built
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file(), page.name
    for name in ("spec", "commands", "rest", "shapes", "client", "library", "catalogue"):
        assert (site / "reference" / f"{name}.html").is_file(), name


@pytest.mark.slow
def test_a_page_loads_nothing_from_another_host(built: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    assert LOADED.search('<script src="https://cdn.example.com/a.js">')
    pages = list(built[0].rglob("*.html"))
    assert len(pages) > 20
    found = {
        page.name: match[0]
        for page in pages
        if (match := LOADED.search(LOADS_NOTHING.sub("", page.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.slow
def test_blocks_and_tables_are_shown_as_such(built: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    for page in built[0].rglob("*.html"):
        prose = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "```" not in prose, page.name
        assert not re.search(r"<p>\| ", prose), f"{page.name} has a table that is none"


def links() -> Iterator[tuple[Path, str]]:
    """Yield the links of the README and of all pages that are kept, as somebody follows them in the repository."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    pages += (ROOT / "examples").rglob("*.md")
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            yield page, target


def test_links_lead_somewhere_in_the_repository_too() -> None:
    written = ("reference/", "CONTRIBUTING.md")  # what only the site has at these places
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page, target in links()
        if not target.startswith(("http", "#", *written)) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert lost == []
    assert len(list(links())) > 80


def test_the_reference_of_specs_has_every_key_with_its_meaning() -> None:
    rows = [line for line in spec_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 45
    assert [row for row in rows if row.endswith("|  |")] == []
    page = "\n".join(rows)
    for shown in ("`n_configurations`", "> 0, ≤ 2,592,000", "`auto`, `fused`, `sequential` or integer ≥ 1, ≤ 100,000"):
        assert shown in page, shown


def test_the_reference_of_commands_has_every_command_with_its_options() -> None:
    page = commands_page()
    for shown in ("### rhobust db restore", "`--no-dispatcher`", "By default `8321`.", "rhobust table [OPTIONS] JOB"):
        assert shown in page, shown
    assert "--parent" not in page, "hidden"


def test_the_reference_of_calls_has_every_call_and_every_shape() -> None:
    document = load()
    page, shapes = rest_page(document), shapes_page(document)
    calls = [f"### {method.upper()} {path}\n" for path, item in document["paths"].items() for method in item]
    assert [call for call in calls if call not in page] == []
    assert page.count("\n### ") == len(calls)
    assert [name for name in document["components"]["schemas"] if f"## {name}\n" not in shapes] == []


def test_a_docstring_becomes_paragraphs_and_tables() -> None:
    text = """Do it.

    Args:
        first: what is done,
            at length.
        second: how.

    Raises:
        ValueError: when it cannot be.
    """
    assert described(text) == (
        "Do it.\n\n| argument | meaning |\n|---|---|\n| `first` | what is done, at length. |\n| `second` | how. |"
        "\n\n- Raises `ValueError` when it cannot be."
    )
