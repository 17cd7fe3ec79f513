"""Reading documents: the mapping that YAML or JSON text holds, and the lines on which its places stand."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import Problem, SpecError

MAX_LINED = 100_000  # characters; YAML of a megabyte is read in 20 seconds


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error; YAML itself keeps the last one without a word.

    Merge keys (`<<`) are errors too: YAML 1.2 has none, and a few lines of them can ask for any amount of memory.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.composer.ComposerError(None, None, "merge keys (<<) are not supported", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in document if keys.count(key) > 1)
        raise ValueError(f"the key {twice!a:.80} stands twice")
    return document


def _load_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique_keys)


def _load(text: str) -> Any:
    """Return what JSON or YAML text holds; most JSON is YAML, but not all of it, and it is read much faster."""
    try:
        return _load_json(text)
    except ValueError:  # if it is JSON with a key twice, YAML says on which line
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  (a SafeLoader)


def parse_text(text: str, origin: str) -> Mapping[str, Any]:
    """Return the mapping that YAML or JSON text holds.

    Args:
        text: the document.
        origin: name of its source for the error message.

    Raises:
        SpecError: when the text is neither, has a key twice, or is no mapping.
    """
    return _mapping(text, origin, _load, "YAML or JSON")


def parse_json(text: str, origin: str) -> Mapping[str, Any]:
    """Return the mapping that JSON text holds: a stranger's megabyte is read in milliseconds, as YAML in 20 seconds.

    Args:
        text: the document.
        origin: name of its source for the error message.

    Raises:
        SpecError: when the text is no JSON, has a key twice, or is no mapping.
    """
    return _mapping(text, origin, _load_json, "JSON")


def _mapping(text: str, origin: str, load: Callable[[str], Any], form: str) -> Mapping[str, Any]:
    try:
        document = load(text)
    # PyYAML lets through whatever a wrong value under an explicit tag (`!!bool x`) trips over
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        detail = " ".join(str(error).split())[:500]
        raise SpecError([Problem("", f"{origin} is not {form}: {detail}", _line_of(error))]) from error
    if not isinstance(document, Mapping):
        raise SpecError(
            [Problem("", f"a spec must be a mapping of keys, but {origin} holds {type(document).__name__}.")]
        )
    return document


def _line_of(error: Exception) -> int | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return None if mark is None else mark.line + 1


def with_lines(problems: Iterable[Problem], text: str) -> list[Problem]:
    """Return problems of a document with the lines of the YAML or JSON text that it was read from.

    The line is that of the key, or of the item of a list, to which a problem points; of one that is missing, that of
    what lacks it. A problem of the document as a whole has none, nor has one of a text that is too long to look.

    Args:
        problems: as validation told them.
        text: of the document; an alias stands where its anchor does.
    """
    root = _composed(text) if len(text) <= MAX_LINED else None
    return [one if one.line is not None else replace(one, line=_line_in(root, _parts(one.pointer))) for one in problems]


def _composed(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, RecursionError):  # JSON that is no YAML, for it is indented by tabs
        return None


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _line_in(node: yaml.Node | None, parts: Iterable[str]) -> int | None:
    line = None
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            place, node = next(((key, value) for key, value in node.value if key.value == part), (None, None))
        elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            place = node = node.value[int(part)]
        else:
            break
        if place is None:
            break
        line = place.start_mark.line + 1
    return line


def read_text(path: Path) -> str:
    """Return the text of a spec file.

    Raises:
        SpecError: when the file cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError([Problem("", f"cannot read {path}: {error.strerror}.")]) from error
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem("", f"{path} must be UTF-8 text, but {error.reason} at byte {error.start}.")]
        ) from error
    except ValueError as error:
        raise SpecError([Problem("", f"cannot read {str(path)!a}: {error}.")]) from error
