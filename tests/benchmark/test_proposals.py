"""What is proposed is an extension, and is what its words say."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import Spec, SpecError
from benchmark.extension import extension_problems
from benchmark.proposals import Flag, Proposal, extended, proposals
from benchmark.robustness.rows import End
from benchmark.tables import grid_infos
from tests.benchmark.spec.test_designs import search_document
from tests.benchmark.toys import document

MANY = 100_000


def axes_spec(rho: dict[str, Any], lr: dict[str, Any]) -> Spec:
    """Return a spec in which sam and msam have the same rho, asam another one, and all the same lr."""
    own = [{"name": "sam"}, {"name": "msam"}, {"name": "asam"}]
    spaces = [{"rho": rho}, {"rho": rho}, {"rho": {"values": [0.5, 1.0]}}]
    optimizers = [{**one, "space": space} for one, space in zip(own, spaces, strict=True)]
    return Spec.from_mapping(document(optimizers=optimizers, space={"lr": lr}, gd=True))


def flag(spec: Spec, axis: str, end: End, optimizer: str = "sam") -> Flag:
    """Return the flag of an optimizer whose best configuration lies at an end."""
    (info,) = (one for one in grid_infos(spec) if one.optimizer == optimizer)
    (swept,) = (one for one in info.axes if one.name == axis)
    return Flag(swept, end, "digits-mlp", optimizer)


def named(found: list[Proposal]) -> dict[str, Proposal]:
    return {one.name: one for one in found}


def test_a_border_is_extended_for_all_who_have_the_same_axis() -> None:
    spec = axes_spec({"log": [0.01, 1.0], "n": 3}, {"log": [0.01, 1.0], "n": 3})
    found = named(proposals(spec, [flag(spec, "rho", "high"), flag(spec, "rho", "high", "msam")], max_cells=MANY))
    assert list(found) == ["high:rho", "refine:lr", "refine:rho", "seeds"]
    first = found["high:rho"]
    assert first.title == "Extend rho upward by 2 points: n = 3 -> 5 (adds 10, 100)"
    assert first.reason == "the best of sam, msam on digits-mlp lies at this end"
    spaces = [entry["space"]["rho"] for entry in first.spec.to_dict()["optimizers"]]
    assert spaces == [{"log": [0.01, 100.0], "n": 5}] * 2 + [{"values": [0.5, 1.0]}]
    assert found["refine:rho"].spec.to_dict()["optimizers"][2]["space"]["rho"] == {"values": [0.5, 0.707106781187, 1.0]}
    assert found["seeds"].spec.seeds.count == 4


def test_an_axis_of_the_top_is_extended_there_once() -> None:
    spec = axes_spec({"values": [0.1]}, {"log": [0.01, 1.0], "n": 3})
    (first, *_) = proposals(spec, [flag(spec, "lr", "low"), flag(spec, "lr", "low", "gd")], max_cells=MANY)
    assert first.spec.to_dict()["space"] == {"lr": {"log": [0.0001, 1.0], "n": 5}}


AXES = [
    {"log": [0.01, 1.0], "n": 3},
    {"log": [0.003, 0.7], "n": 4},
    {"linear": [0.1, 0.5], "n": 5},
    {"linear": [0.05, 0.4], "n": 8},
    {"values": [0.05, 0.2, 0.3]},
    {"values": [0.3, 0.05]},
    {"values": [1, 2, 4]},
]


@pytest.mark.parametrize(("rho", "lr"), [*itertools.product(AXES, AXES[:5:2])])
def test_each_proposal_and_all_together_are_extensions(rho: dict[str, Any], lr: dict[str, Any]) -> None:
    spec = axes_spec(rho, lr)
    flags = [flag(spec, axis, end) for axis in ("rho", "lr") for end in ("low", "high")]
    found = proposals(spec, flags, max_cells=MANY)
    assert {one.name for one in found} >= {"high:rho", "high:lr", "low:rho", "refine:rho", "refine:lr", "seeds"} - {
        # no whole number is between 1 and 0
        "low:rho" if rho == {"values": [1, 2, 4]} else ""
    }
    for one in found:
        assert extension_problems(spec, one.spec) == [], one.title
        assert one.spec.n_cells > spec.n_cells, one.title
    together = extended(spec, flags, [one.name for one in found], max_cells=MANY)
    assert extension_problems(spec, together) == []
    assert together.n_cells > max(one.spec.n_cells for one in found)


numbers = st.floats(1e-4, 1e2).map(lambda value: float(f"{value:.3g}"))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["log", "linear"]),
    numbers,
    st.floats(1.5, 1e3),
    st.integers(2, 8),
    st.sampled_from(["low", "high"]),
)
def test_any_axis_keeps_its_points(scale: str, low: float, factor: float, n: int, end: End) -> None:
    spec = axes_spec({scale: [low, low * factor], "n": n}, {"values": [0.1]})
    flags = [flag(spec, "rho", end)]
    for one in proposals(spec, flags, max_cells=MANY):
        assert extension_problems(spec, one.spec) == [], one.title


def test_what_no_spec_may_be_is_not_proposed() -> None:
    spec = Spec.from_mapping(
        document(
            optimizers=[], space={"lr": {"values": [0.1, 1]}, "momentum": {"values": [0.5, 0.99]}}, base={"name": "sgd"}
        )
    )
    assert "high:momentum" not in named(proposals(spec, [flag(spec, "momentum", "high", "gd")], max_cells=MANY))
    assert proposals(spec, [], max_cells=spec.n_cells) == []


@pytest.mark.parametrize(("method", "names"), [("sobol", ["configurations", "seeds"]), ("tpe", ["configurations"])])
def test_a_search_takes_more_configurations(method: str, names: list[str]) -> None:
    spec = Spec.from_mapping(search_document(method, 8))
    found = proposals(spec, [], max_cells=MANY)
    assert [one.name for one in found] == names
    assert found[0].title == "More configurations: 8 -> 16"
    for one in found:
        assert extension_problems(spec, one.spec) == []


def test_an_unknown_proposal_is_told_with_the_nearest() -> None:
    spec = axes_spec({"values": [0.1, 1.0]}, {"values": [0.1]})
    with pytest.raises(SpecError, match="unknown proposal 'refine:roh'; did you mean 'refine:rho'"):
        extended(spec, [], ["refine:roh"], max_cells=MANY)
