import contextlib
import json
import re
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import Spec, SpecError
from benchmark.documents import parse_json, parse_text
from benchmark.parsing import (
    MAX_NODES,
    MAX_PROBLEMS,
    plain_document,
    pointer,
    unknown_name,
)
from tests.benchmark.toys import document

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

FLOW = (
    "{name: small, tasks: [{name: digits-mlp, params: {hidden: 8}}], budget: {epochs: 1, batch_size: 256},"
    "base: {name: sgd, momentum: 9e-1}, optimizers: [{name: sam, space: {rho: {values: [5e-2, '0.5']}}},"
    "{name: msam, fixed: {rho: 5e-1}}], space: {lr: {log: [1e-2, 1e0], n: 3}}, seeds: {count: 2, base: 3}}"
)

# a text, the pointer of a problem and a part of its message
BAD_TEXTS = [
    ("", "", "a spec must be a mapping of keys, but the text holds NoneType."),
    ("- a\n- b", "", "but the text holds list."),
    ("just words", "", "but the text holds str."),
    ("3", "", "but the text holds int."),
    ("name: a\nname: b", "", "the key 'name' stands twice"),
    ("space: {lr: {n: 1}, lr: {n: 2}}", "", "the key 'lr' stands twice"),
    ("'name': a\nname: b", "", "the key 'name' stands twice"),
    ('{"name": "a", "name": "b"}', "", "the key 'name' stands twice"),
    ('{"space": {"lr": 1, "lr": 2}}', "", "the key 'lr' stands twice"),
    ("a: &a {k: 1}\nb: {<<: *a}", "", "merge keys (<<) are not supported"),
    (MERGE_BOMB, "", "merge keys (<<) are not supported"),
    (BOMB, "", f"a spec may have at most {MAX_NODES:,} places, aliases counted in full."),
    ("name: &a [*a]", "/name" + "/0" * 15, "nested at most 16 levels deep"),
    ("name: " + "[" * 50 + "]" * 50, "/name" + "/0" * 15, "nested at most 16 levels deep"),
    ("[" * 100_000, "", "is not YAML or JSON"),
    ('{"a":' * 100_000, "", "is not YAML or JSON"),
    ("a: 1\n---\nb: 2", "", "expected a single document"),
    ("name: x\n\t- a", "", "is not YAML or JSON"),
    ("name: *nothing", "", "undefined alias"),
    ("name: \x01", "", "special characters are not allowed"),
    ("name: \ud800", "", "special characters are not allowed"),
    ("name: !!python/object/apply:os.system [ls]", "", "could not determine a constructor"),
    ("name: !!bool maybe", "", "is not YAML or JSON"),
    ("name: !!int ''", "", "is not YAML or JSON"),
    ("name: !!float ''", "", "is not YAML or JSON"),
    ("name: !!timestamp x", "", "is not YAML or JSON"),
    ("name: !!binary aGVsbG8=", "/name", "no place in a spec holds a bytes"),
    ("name: !!set {a}", "/name", "no place in a spec holds a set"),
    ("name: 2001-01-01", "/name", "no place in a spec holds a date; put a text that looks like one into quotes."),
    ("name: 2001-99-99", "", "month must be in 1..12"),
    ("priority: " + "9" * 5000, "", "is not YAML or JSON"),
    ('{"priority": ' + "9" * 5000 + "}", "", "is not YAML or JSON"),
    ("priority: 0x" + "F" * 5000, "/priority", "a whole number must fit into 64 bits"),
    ("? 0x" + "F" * 5000 + "\n: 1", "", "a key must be a text"),
    ("? [a]\n: 1", "", "unhashable key"),
    ("1: 2", "", "a key must be a text"),
    ("null: 2", "", "a key must be a text of at most 200 printable characters, but got None."),
    ('{"name": "\\ud800"}', "/name", "lone surrogates are not allowed"),
    ('{"\\u0000": 1}', "", "a key must be a text"),
    ('{"priority": NaN}', "/priority", "a finite number is needed, but got nan"),
    ('{"priority": 1e999}', "/priority", "a finite number is needed, but got inf"),
    ("\n".join(f"k{index}: 1" for index in range(5_000)), "/k0", "unknown key 'k0'"),
]


@pytest.mark.parametrize(("text", "place", "message"), BAD_TEXTS, ids=range(len(BAD_TEXTS)))
def test_a_text_that_is_no_spec_says_why(text: str, place: str, message: str) -> None:
    with pytest.raises(SpecError, match="the spec is not valid") as caught:
        Spec.from_text(text)
    found = {problem.pointer: problem.detail for problem in caught.value.problems}
    assert message in found[place]
    assert len(str(caught.value).encode()) < 20_000


def peak_bytes() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


FLOODS = {
    "a base of many keys": document(base={"name": "sgd", **{f"k{index}": 1 for index in range(15_000)}}),
    "parameters of a task": document(tasks=[{"name": "digits-mlp", "params": {f"k{i}": [] for i in range(15_000)}}]),
    "texts for numbers": document(
        optimizers=[
            {"name": "sam", "label": f"o{index}", "space": {f"k{i}": {"values": ["a"] * 1_000} for i in range(16)}}
            for index in range(1)
        ]
    ),
    "mappings for texts": document(tags=[{} for _ in range(15_000)]),
    "keys that nobody knows": document(tasks=[{f"k{index}": 5} for index in range(9_000)]),
    "places that hold what JSON has not": document(tags=[b""] * 15_000),
    "many optimizers of many axes": document(
        optimizers=[
            {"name": "sam", "label": f"o{index}", "space": {f"k{i}": {"values": [1]} for i in range(16)}}
            for index in range(100)
        ]
    ),
    "a base of many keys in each optimizer": document(
        optimizers=[
            {"name": "sam", "label": f"o{index}", "base": {"name": "sgd", **{f"k{i}": 1 for i in range(31)}}}
            for index in range(100)
        ]
    ),
    "more places than there may be": document(tags=["x"] * 100_000),
    "sixteen axes of a thousand values": document(
        space={f"k{index}": {"log": [0.1, 1], "n": 1_000} for index in range(16)}
    ),
    "a sweep of 5e15 cells": document(
        optimizers=[
            {
                "name": "sam",
                "space": {
                    name: {"log": [0.1, 0.9], "n": 1_000}
                    for name in ("rho", "lr", "momentum", "weight_decay", "rho_warmup")
                },
            }
        ]
    ),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_refused_in_little_time_and_words(flood: dict[str, Any]) -> None:
    """What takes seconds here would be minutes: the bounds are far from both, for machines that are busy."""
    began, before = time.process_time(), peak_bytes()
    with pytest.raises(SpecError, match="the spec is not valid") as caught:
        Spec.from_mapping(flood)
    assert time.process_time() - began < 3
    assert peak_bytes() - before < 256 * 1024**2
    assert 1 <= len(caught.value.problems) <= MAX_PROBLEMS
    assert sum(len(problem.detail) for problem in caught.value.problems) < 50_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x", "it is not JSON: Expecting value"),
        ("- a\n" * 250_000, "it is not JSON: Expecting value"),
        ("[" + "a," * 500_000 + "]", "it is not JSON: Expecting value"),
        (BOMB, "it is not JSON"),
        ("[" * 1_000_000, "it is not JSON: maximum recursion depth"),
        ('{"a":' * 200_000, "it is not JSON: maximum recursion depth"),
        ('{"a": ' + "9" * 1_000_000 + "}", "it is not JSON: Exceeds the limit"),
        ('{"a": 1, "a": 2}', "it is not JSON: the key 'a' stands twice"),
        ("[]", "a spec must be a mapping of keys, but it holds list"),
        ("", "it is not JSON"),
    ],
    ids=range(10),
)
def test_json_alone_is_read_from_strangers_and_fast(text: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(SpecError, match=re.escape(message)):
        parse_json(text, "it")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(document()),
        json.dumps(document(), indent=4),
        "\ufeff" + json.dumps(document()),
        "# a comment\n" + json.dumps(document()),
        FLOW,
    ],
)
def test_json_and_yaml_of_any_style_are_one_spec(text: str) -> None:
    assert Spec.from_text(text) == Spec.from_mapping(document())


def test_an_alias_is_a_fine_way_to_repeat() -> None:
    optimizers = "optimizers: [{name: sam, space: {rho: &a {values: [1]}, lr: *a}}]"
    text = f"name: x\ntasks: [{{name: digits-mlp}}]\n{optimizers}\ngd: no"
    assert Spec.from_text(text).n_cells == 5


@given(st.text(max_size=60) | st.text("{}[]:,-&*!'\"<>|?%@#\n ab01.~\\", max_size=60))
def test_no_text_ends_in_anything_but_a_document_or_an_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(parse_text(text, "it"), dict)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "missing.yaml", "cannot read .*missing.yaml: No such file or directory"),
        (lambda path: path, "cannot read .*: Is a directory"),
        (lambda path: path / "a\0b", r"cannot read .*a\\x00b.*: .*null"),
        (lambda path: path / "latin.yaml", "must be UTF-8 text, but .* at byte 6"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, make: Any, message: str) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: \u00e9".encode("latin-1"))
    with pytest.raises(SpecError, match=message):
        Spec.from_file(make(tmp_path))


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(document()))
    assert Spec.from_file(path) == Spec.from_file(str(path)) == Spec.from_mapping(document())


@pytest.mark.parametrize(
    ("parts", "expected"),
    [((), ""), (("a", 0, "b"), "/a/0/b"), (("a/b", "~", "~1"), "/a~1b/~0/~01"), (("",), "/")],
)
def test_pointers_follow_rfc_6901(parts: tuple[int | str, ...], expected: str) -> None:
    assert pointer(*parts) == expected


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("smam", ["sam", "msam"], "unknown rule 'smam'; did you mean 'msam'? Known: msam, sam."),
        ("xyz", ["sam"], "unknown rule 'xyz'. Known: sam."),
        ("x", [], "unknown rule 'x'. Known: none."),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(name: str, choices: list[str], message: str) -> None:
    assert unknown_name("rule", name, choices) == message


def test_a_plain_document_is_a_copy() -> None:
    given = {"a": [1, (2.5, None)], "b": {"c": True}}
    copy = plain_document(given)
    assert copy == {"a": [1, [2.5, None]], "b": {"c": True}}
    assert copy["b"] is not given["b"]
