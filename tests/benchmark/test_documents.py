"""Documents as text: whatever YAML or JSON holds, and on which line each mistake stands."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import Problem, Spec, SpecError
from benchmark.documents import MAX_LINED, parse_text, with_lines
from tests.benchmark.toys import document

SPEC = """\
# compares two
name: x
tasks:
  - {name: digits-mlp}
  - name: digits-cnn
    params:
      nrom: group
optimizers:
  - {name: sam, space: {rho: {log: [0.1, 1]}}}
  - name: smam
space:
  lr: {log: [1.0, 0.1], n: 3}
seeds: {count: 0}
"""


def lines_of(text: str) -> dict[str, int | None]:
    """Return the lines of a text's problems by their pointers."""
    with pytest.raises(SpecError) as caught:
        Spec.from_text(text)
    return {problem.pointer: problem.line for problem in caught.value.problems}


def test_each_mistake_stands_on_its_line() -> None:
    assert lines_of(SPEC) == {"/space/lr": 12, "/seeds/count": 13}
    fixed = SPEC.replace("[1.0, 0.1]", "[0.1, 1.0]").replace("count: 0", "count: 1")
    assert lines_of(fixed) == {"/tasks/1/params/nrom": 7, "/optimizers/0/space/rho": 9, "/optimizers/1/name": 10}


def test_what_is_missing_is_told_where_it_is_missing() -> None:
    assert lines_of("name: x\ntasks:\n  - {label: a}\n") == {"/tasks/0/name": 3}
    assert lines_of("tasks:\n  - name: digits-mlp\n") == {"/name": None}, "it may stand anywhere"


def test_an_alias_stands_where_its_anchor_does() -> None:
    text = "name: x\ntasks: [{name: digits-mlp}]\nspace:\n  lr: &a {values: [0.1, 0.1]}\n  momentum: *a\n"
    assert lines_of(text) == {"/space/lr": 4, "/space/momentum": 5}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: x\n  tasks: [", 2),
        ("name: x\nseeds: {count: 1\ntags: []", 3),
        ("name: x\nname: y", 2),
        ('{"name": "x",\n "name": "y"}', 2),
        ("name: x\nbase: &a {name: sgd}\ngd: true\nfixed: {<<: *a}", 4),
        ("name: !!python/object:os.system x", 1),
    ],
)
def test_a_text_that_cannot_be_read_says_on_which_line(text: str, line: int) -> None:
    assert lines_of(text) == {"": line}


def test_json_has_lines_too() -> None:
    text = json.dumps(document(seeds={"count": 0}), indent=2)
    (line,) = lines_of(text).values()
    assert line is not None
    assert '"count": 0' in text.splitlines()[line - 1]
    assert lines_of(text.replace("  ", "\t")) == {"/seeds/count": None}, "which is no YAML, and read all the same"


def test_a_pointer_with_escapes_and_one_that_leads_nowhere() -> None:
    problems = [Problem("/a~1b/~0/1", ""), Problem("/a~1b/none/deeper", ""), Problem("", ""), Problem("/x", "", 9)]
    lines = [one.line for one in with_lines(problems, "# first\na/b:\n  ~1: {}\n  '~':\n  - 1\n  - 2\n")]
    assert lines == [6, 2, None, 9]


def test_no_text_takes_long() -> None:
    began = time.process_time()
    bomb = "a: &a [x]\n" + "".join(f"k{n}: &k{n} [{'*a,' * 9}]\n" for n in range(1_000))
    assert with_lines([Problem("/k999/8/0", "")], bomb)[0].line == 1
    deep = "[" * 50_000
    assert with_lines([Problem("/0", "")], deep)[0].line is None
    assert with_lines([Problem("/a", "")], "a: 1\n" * MAX_LINED)[0].line is None
    assert time.process_time() - began < 5


@given(st.text("{}[]:,-&*!'\"\n ab01/~", max_size=60), st.text("/ab01~", max_size=8))
def test_lines_are_lines_of_the_text(text: str, place: str) -> None:
    (problem,) = with_lines([Problem(f"/{place}", "")], text)
    assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1


def test_every_example_is_read_as_before() -> None:
    for path in (Path(__file__).parents[2] / "examples").rglob("*.yaml"):
        assert dict(parse_text(path.read_text(encoding="utf-8"), "it"))["name"]
