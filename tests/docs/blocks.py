"""The blocks of code on pages: each with its language, its file, and why it is not run, where it is not.

- `python` and `bash` are run in the order of their page, in a folder and with a server of its own; `console` has
  commands after `$ `, and below each what it prints (`...` stands for anything).
- A block with a title is a file of that name. One that is not Python or YAML of a spec is only that.
- `yaml` is a spec, or a part of one; `json` and `toml` are read. `text` is what is no command.
- `<!-- not run: REASON -->` above a block says why it cannot be run, `<!-- invalid -->` that a spec must be refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = ("bash", "dockerfile", "console", "python", "yaml", "json", "toml", "text", "ini")
_FENCE = re.compile(r'(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?(?P<rest>.*)')
_NOTE = re.compile(r"<!-- (?:not run: (?P<why>.+)|(?P<invalid>invalid)) -->")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: on which it is, from the top of the repository.
        line: of its fence.
        language: empty where none is given.
        title: name of the file that it is; None where it is none.
        text: what is in it.
        why_not: why it is not run; None where it is.
        invalid: whether it is a spec that must be refused.
        rest: what else stands behind the fence.
    """

    page: str
    line: int
    language: str
    title: str | None
    text: str
    why_not: str | None = None
    invalid: bool = False
    rest: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether it does something, and may."""
        return self.why_not is None and self.title is None and self.language in ("bash", "console", "python")

    @property
    def commands(self) -> list[str]:
        """Its shell commands, one a line, without comments; lines that go on are put together."""
        if self.language not in ("bash", "console"):
            return []
        text = self.text.replace("\\\n", " ")
        lines = [line.split("  #")[0].strip() for line in text.splitlines()]
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line and not line.startswith("#")]


def pages() -> list[Path]:
    """Return the pages that are kept: the README, how to develop, the documentation, and the examples' own."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [*found, *sorted((ROOT / "examples").rglob("*.md"))]


def blocks_of(text: str, page: str = "a page") -> Iterator[Block]:
    """Yield the blocks of a page.

    Raises:
        ValueError: for a block that does not end.
    """
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opened = _FENCE.fullmatch(lines[number])
        number += 1
        if opened is None:
            continue
        start = number
        while number < len(lines) and lines[number].strip() != "```":
            number += 1
        if number == len(lines):
            raise ValueError(f"the block at {page}:{start} does not end.")
        indent = len(opened["indent"])
        inner = "".join(f"{line[indent:]}\n" for line in lines[start:number])
        number += 1
        note = _NOTE.fullmatch(lines[start - 2].strip()) if start > 1 else None
        why, invalid = (None, False) if note is None else (note["why"], note["invalid"] is not None)
        yield Block(page, start, opened["language"], opened["title"], inner, why, invalid, opened["rest"])


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page of the repository."""
    return list(blocks_of(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()))


def prose_of(text: str) -> str:
    """Return a page without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
