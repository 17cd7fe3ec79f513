"""What extends a spec, and what does not."""

import copy
from typing import Any

import pytest

from benchmark import Spec
from benchmark.extension import extension_problems
from tests.benchmark.spec.test_designs import search_document
from tests.benchmark.toys import document

GRID = document(
    optimizers=[{"name": "sam", "space": {"rho": {"log": [0.01, 1.0], "n": 3}}}],
    space={"lr": {"log": [0.01, 1.0], "n": 3}},
)


def changed(base: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    """Return a document with one value replaced."""
    result = copy.deepcopy(base)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return result


CONTROLLED = document(
    controls=["radius_matched"],
    optimizers=[{"name": "msam", "space": {"rho": {"log": [0.01, 1.0], "n": 3}}}],
    space={"lr": {"log": [0.01, 1.0], "n": 3}},
)


def problems(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in extension_problems(Spec.from_mapping(old), Spec.from_mapping(new))]


@pytest.mark.parametrize(
    "new",
    [
        GRID,
        changed(GRID, "space", "lr", "n", value=5),
        changed(GRID, "space", "lr", value={"log": [0.001, 10.0], "n": 5}),
        changed(GRID, "optimizers", 0, "space", "rho", "n", value=5),
        changed(GRID, "seeds", "count", value=9),
        changed(GRID, "seeds", value={"count": 5, "base": 1}),
        changed(GRID, "optimizers", value=[*GRID["optimizers"], {"name": "msam", "fixed": {"rho": 0.1}}]),
        changed(GRID, "limits", value={"cell_s": 7}),
        changed(GRID, "name", value="another"),
    ],
)
def test_a_larger_grid_extends_a_smaller_one(new: dict[str, Any]) -> None:
    assert problems(GRID, new) == []


def test_controls_can_be_added_and_refined_but_not_taken_away() -> None:
    assert problems({**CONTROLLED, "controls": []}, CONTROLLED) == []
    assert problems(CONTROLLED, changed(CONTROLLED, "optimizers", 0, "space", "rho", "n", value=5)) == []
    (problem,) = problems(CONTROLLED, {**CONTROLLED, "controls": []})
    assert "msam-radius-matched on digits-mlp with lr=0.01" in problem


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (changed(GRID, "space", "lr", "n", value=4), "gd on digits-mlp with lr=0.1, momentum=0.9, "),
        (changed(GRID, "space", "lr", "log", value=[0.1, 1.0]), "lr=0.01, "),
        ({**GRID, "sharpness": ["sam", "trace"]}, "/sharpness: no measure may be added"),
        (changed(GRID, "seeds", "count", value=1), "seed 4, is not in the spec"),
        (changed(GRID, "seeds", value={"count": 9, "base": 4}), "seed 3, is not in the spec"),
        (changed(GRID, "budget", "epochs", value=2), "gd on digits-mlp"),
        (changed(GRID, "tasks", 0, "params", value={"hidden": 9}), "gd on digits-mlp"),
        (changed(GRID, "tasks", 0, "label", value="mine"), "every cell of the job must stay, with its labels"),
        (changed(GRID, "optimizers", 0, "label", value="mine"), "sam on digits-mlp"),
        (changed(GRID, "gd", value=False), "gd on digits-mlp"),
    ],
)
def test_the_first_cell_that_is_lost_is_named(new: dict[str, Any], message: str) -> None:
    (found,) = problems(GRID, new)
    assert message in found


@pytest.mark.parametrize("method", ["random", "sobol", "tpe"])
def test_a_search_is_extended_by_more_configurations_of_its_seed(method: str) -> None:
    old = search_document(method, 8)
    assert problems(old, search_document(method, 20)) == []
    assert problems(old, changed(old, "seeds", "count", value=5)) == []
    for new in (
        search_document(method, 7),
        changed(old, "search", "seed", value=1),
        changed(old, "space", "lr", "log", value=[1e-4, 1.0]),
        changed(old, "optimizers", value=old["optimizers"][:1]),
        changed(old, "seeds", "base", value=4),
    ):
        assert len(problems(old, new)) == 1
