"""What can be said of each block of code without running it: languages, specs, commands, and what is not run."""

import json
import re
import shlex
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from benchmark import Spec, SpecError
from docs.generate.rest import load
from service.cli.commands import app
from tests.docs.blocks import LANGUAGES, ROOT, Block, blocks, blocks_of, pages, prose_of

BLOCKS = [block for page in pages() for block in blocks(page)]
# Whatever is not run is here: a new one has to be justified, and none can come in unseen.
NOT_RUN = Counter(
    {
        "changes the repository's own hooks, and installs a package": 1,
        "installs packages, or needs data that you bring": 3,
        "needs Docker": 2,
        "needs several machines": 1,
        "needs systemd": 1,
        "needs a PostgreSQL server and its programs": 1,
        "needs a certificate of one's own, and a name that others know": 1,
        "needs a package of its own, and serves until it is stopped": 1,
    }
)
# Of a part of a spec, what it leaves out.
REST: dict[str, Any] = {
    "name": "part",
    "tasks": [{"name": "digits-mlp"}],
    "optimizers": [{"name": "sam", "space": {"rho": {"values": [0.05]}}}],
    "space": {"lr": {"values": [0.1]}},
}
ROOT_COMMAND: Any = typer.main.get_command(app)


def ids(block: Block) -> str:
    return str(block)


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_every_block_has_a_language_and_no_code_stands_beside_blocks() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES or block.rest] == []
    for page in pages():
        found = re.findall(r"\n\n {4,}\S.*", prose_of(page.read_text(encoding="utf-8")))
        assert found == [], f"{page}: put these into blocks with a language"
    assert len(BLOCKS) > 60


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    assert Counter(block.why_not for block in BLOCKS if block.why_not) == NOT_RUN


def test_a_file_on_a_page_is_used_there() -> None:
    for page in pages():
        found = blocks(page)
        for place, block in enumerate(found):
            if block.title is not None:
                used = any(block.title in later.text for later in found[place + 1 :] if later.is_run)
                assert used, f"{block}: no command says what to do with {block.title}"


def test_text_is_no_command() -> None:
    programs = ("$", "rhobust", "make", "curl", "pip", "python", "docker")
    assert [str(block) for block in of("text") if block.text.split()[0] in programs] == []


@pytest.mark.parametrize("block", of("python"), ids=ids)
def test_python_can_be_compiled(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", of("yaml", "json"), ids=ids)
def test_a_spec_is_one(block: Block) -> None:
    document = json.loads(block.text) if block.language == "json" else yaml.safe_load(block.text)
    if block.language == "json" and "tasks" not in document:
        return  # what is sent or answered
    assert document.keys() <= Spec.model_fields.keys(), f"{block}: say why it is not run, unless it is a spec"
    if block.invalid:
        with pytest.raises(SpecError, match="did you mean"):
            Spec.from_mapping(document)
        return
    missing = REST if not {"optimizers", "space"} <= document.keys() or "tasks" not in document else {}
    assert Spec.from_mapping({**missing, **document}).n_cells > 0


@pytest.mark.parametrize("block", of("toml"), ids=ids)
def test_toml_can_be_read(block: Block) -> None:
    assert tomllib.loads(block.text)


def rhobust_commands(text: str) -> list[list[str]]:
    """Return the words of every call of `rhobust` in a line of a shell."""
    found = re.findall(r"(?:^|[\s(;|&])rhobust(?=\s|$)((?:\s+(?:\"[^\"]*\"|'[^']*'|[^\s;|&>)]+))*)", text)
    return [shlex.split(words) for words in found]


def parsed(words: list[str]) -> None:
    """Parse a call as the command line itself does."""
    command, rest = ROOT_COMMAND, list(words)
    while (inner := getattr(command, "commands", None)) is not None:
        if rest and rest[0] in ("--version", "--help", "--install-completion"):
            return
        assert rest, f"rhobust {' '.join(words)}: a command is missing"
        assert rest[0] in inner, f"rhobust {' '.join(words)}: there is no {rest[0]}"
        command = inner[rest.pop(0)]
    with command.make_context(" ".join(words), rest):
        pass


@pytest.mark.parametrize("block", [block for block in of("bash", "console") if "rhobust" in block.text], ids=ids)
def test_a_command_is_one_of_ours_with_options_that_it_has(block: Block) -> None:
    for line in block.commands:
        for words in rhobust_commands(line):
            parsed(words)


@pytest.mark.parametrize(
    "line", ["rhobust plan", "rhobust plann spec.yaml", "rhobust plan spec.yaml --nope", "rhobust"]
)
def test_a_command_that_is_none_is_seen(line: str) -> None:
    ((words),) = rhobust_commands(line)
    with pytest.raises((AssertionError, typer.TyperException)):
        parsed(words)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_the_prose_is_one_of_ours(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", prose_of(page.read_text(encoding="utf-8"))):
        if not code.startswith("rhobust ") or "COMMAND" in code or "|" in code:
            continue
        command, words = ROOT_COMMAND, code.split()[1:]
        while words and words[0] in (inner := getattr(command, "commands", {})):
            command = inner[words.pop(0)]
        if getattr(command, "commands", None) is not None:
            assert words[:1] in ([], ["--version"], ["--install-completion"]), f"{page.name}: {code}"
            continue
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        said = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert said <= known | {"--help"}, f"{page.name}: {code}"


def test_a_call_is_one_of_the_servers() -> None:
    document = load()
    calls = [(block, line) for block in of("bash") for line in block.commands if line.startswith("curl")]
    assert len(calls) > 10
    for block, line in calls:
        path = re.search(r"(?:/api/v1|\$API)(/[^\s\"'?]*)", line)
        assert path, f"{block}: {line}"
        method = "post" if "-X POST" in line else "get"
        template = re.sub(r"\$\w+", "X", path[1])
        fitting = [
            item
            for known, item in document["paths"].items()
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known.removeprefix("/api/v1")), template)
        ]
        assert any(method in item for item in fitting), f"{block}: {line}"
        asked = re.findall(r"[?&](\w+)=", line)
        declared = {one["name"] for item in fitting if method in item for one in item[method].get("parameters", ())}
        assert set(asked) <= declared, f"{block}: {line}"


def test_a_page_is_read_as_it_is_written() -> None:
    text = '# A\n\n<!-- not run: it is dear -->\n```bash\nrhobust ls  # all\n```\n\n```yaml title="a.yaml"\na: 1\n```\n'
    first, second = blocks_of(text, "a.md")
    assert (first.line, first.language, first.why_not, first.is_run) == (4, "bash", "it is dear", False)
    assert first.commands == ["rhobust ls"]
    assert (second.title, second.text, second.why_not) == ("a.yaml", "a: 1\n", None)
    with pytest.raises(ValueError, match="does not end"):
        list(blocks_of("```bash\nls\n"))
