"""What is written is the spec, in the form in which people write one."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import Spec
from benchmark.writing import spec_text
from tests.benchmark.toys import document

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*ROOT.glob("examples/*.yaml"), *ROOT.glob("examples/paper/*.yaml")])

WRITTEN = """\
schema_version: 1
name: quickstart
tags: [quickstart]
tasks:
  - {name: digits-mlp, budget: {epochs: 10}}
  - {name: alignment-mfeat, budget: {epochs: 20, batch_size: 128}}
budget: {epochs: 20}
base: {name: sgd, momentum: 0.9}
optimizers:
  - {name: gd}
  - {name: sam, space: {rho: {log: [0.03, 1.0], n: 4}}}
  - {name: msam, space: {rho: {log: [0.03, 1.0], n: 4}}}
  - {name: sam, label: sam-warm, space: {rho: {log: [0.03, 1.0], n: 4}}, fixed: {rho_warmup: 0.3}}
space: {lr: {log: [0.01, 1.0], n: 5}}
seeds: {count: 5}
"""


def test_a_spec_is_written_as_the_readme_has_it() -> None:
    assert spec_text(Spec.from_file(ROOT / "examples" / "quickstart.yaml").to_dict()) == WRITTEN


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_back_as_it_was(path: Path) -> None:
    spec = Spec.from_file(path)
    assert Spec.from_text(spec_text(spec.to_dict())) == spec
    assert spec_text(Spec.from_text(spec_text(spec.to_dict())).to_dict()) == spec_text(spec.to_dict())


CHANGES: dict[str, dict[str, Any]] = {
    "axes": {"space": {"lr": {"log": [1e-7, 1e30], "n": 3}, "weight_decay": {"values": [0, 1e-5]}}, "optimizers": []},
    "search": {"search": {"method": "sobol", "n_configurations": 8}, "space": {"lr": {"linear": [0.1, 1]}}},
    "switches": {"gd": False, "reuse": False, "priority": -3, "sharpness": ["sam"], "metric": {"tolerance": 0.02}},
    "resources": {"resources": {"pack": "fused", "gpus_per_pack": 0}, "limits": {"cell_s": 1}, "seeds": {"base": 7}},
    "texts": {"name": "yes: {no} # 'x' \u2028", "tags": ["1e3", "null", "- a", "ü", "*a"]},
    "base": {"base": {"name": "adam"}, "budget": {"gradient_evaluations": 300, "schedule": "cosine"}},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_whatever_a_spec_says_is_read_back(changes: dict[str, Any]) -> None:
    spec = Spec.from_mapping(document(**changes))
    assert Spec.from_text(spec_text(spec.to_dict())) == spec


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40))
def test_any_name_is_read_back(name: str) -> None:
    assert Spec.from_text(spec_text(document(name=name))).name == name


def test_a_name_that_is_not_known_here_is_written_all_the_same() -> None:
    text = spec_text({"name": "x", "tasks": [{"name": "gone"}], "later": {"a": 1}})
    assert text == "schema_version: 1\nname: x\ntasks:\n  - {name: gone}\nlater: {a: 1}\n"
