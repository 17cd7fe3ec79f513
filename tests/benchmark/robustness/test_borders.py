"""Borders: the advice to go on, by hand; and that it is one that a job is extended by."""

import pytest

from benchmark.extension import extension_problems
from benchmark.robustness import AxisInfo
from benchmark.robustness.borders import borders_of
from benchmark.robustness.rows import Border
from benchmark.spec import expand
from tests.benchmark.toys import make_spec


def border(name: str, scale: str, values: tuple[float, ...], best: float) -> Border:
    (found,) = borders_of([AxisInfo(name, scale, values)], {name: best})  # type: ignore[arg-type]  # one of the scales
    return found


@pytest.mark.parametrize(
    ("scale", "values", "best", "further", "spacing"),
    [
        ("log", (0.01, 0.1, 1.0), 1.0, (10.0, 100.0), "same ratio"),
        ("log", (0.01, 0.1, 1.0), 0.01, (0.001, 0.0001), "same ratio"),
        ("linear", (1.0, 1.5, 2.0), 2.0, (2.5, 3.0), "same step"),
        ("linear", (1.0, 1.25, 1.5), 1.0, (0.75, 0.5), "same step"),
        ("linear", (0.1, 0.2, 0.3), 0.1, (0.05, 0.025), "halves"),
        ("values", (0.1, 0.3, 0.6), 0.6, (1.2, 2.4), "same ratio"),
        ("values", (0.1, 0.3, 0.6), 0.1, (0.0333333333333, 0.0111111111111), "same ratio"),
        ("values", (0.0, 0.1, 0.3), 0.3, (0.5, 0.7), "same step"),
        ("values", (5, 10, 15), 15, (22, 34), "same ratio"),
        ("values", (1, 2), 1, (), "same ratio"),
        ("linear", (5, 10, 15), 15, (20, 25), "same step"),
    ],
)
def test_the_next_values_in_the_spacing_of_the_axis(
    scale: str, values: tuple[float, ...], best: float, further: tuple[float, ...], spacing: str
) -> None:
    found = border("lr", scale, values, best)
    assert found.spacing == spacing
    assert found.values == pytest.approx(further)
    assert all(type(value) is type(values[0]) for value in found.values)


def test_nothing_lies_below_zero() -> None:
    found = border("rho", "values", (0.0, 0.1, 0.3), 0.0)
    assert found.values == ()
    assert found.advice == "rho cannot go on below its low end"


@pytest.mark.parametrize(
    ("axis", "best"),
    [
        (AxisInfo("lr", "log", (0.01, 0.1, 1.0)), 0.1),
        (AxisInfo("lr", "values", (0.1,)), 0.1),
        (AxisInfo("nesterov", "values", (False, True)), True),
    ],
)
def test_in_the_middle_or_without_ends_there_is_no_border(axis: AxisInfo, best: float) -> None:
    assert borders_of([axis], {axis.name: best}) == ()


def test_the_advice_in_words() -> None:
    log, other = border("lr", "log", (0.01, 0.1, 1.0), 1.0), border("rho", "values", (0.1, 0.3, 0.6), 0.1)
    assert log.advice == "extend lr upward: add 10, 100 (same ratio) by lr: {log: [0.01, 100.0], n: 5}"
    values = "[0.0111111111111, 0.0333333333333, 0.1, 0.3, 0.6]"
    assert other.advice == (f"extend rho downward: add 0.03333, 0.01111 (same ratio) by rho: {{values: {values}}}")
    for one in (log, other):
        assert Border.from_dict(one.to_dict()) == one
        assert one.to_dict()["advice"] == one.advice


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize(
    "axis",
    [
        {"log": [0.01, 1.0], "n": 5},
        {"log": [0.03, 1.0], "n": 4},
        {"log": [0.0123, 0.7], "n": 13},
        {"linear": [0.1, 0.7], "n": 4},
        {"linear": [0.013, 0.7], "n": 8},
        {"values": [0.1, 0.2, 0.7]},
    ],
)
def test_a_job_is_extended_by_the_advice(axis: dict[str, object], end: int) -> None:
    """Every cell of the job is one of the larger spec, to the last digit."""
    spec = make_spec(optimizers=[{"name": "gd"}], space={"lr": axis})
    (lr,) = spec.grids[0].axes
    found = border("lr", lr.scale, tuple(map(float, lr.values)), float(lr.values[end]))
    larger = make_spec(optimizers=[{"name": "gd"}], space={"lr": dict(found.space)})
    assert extension_problems(spec, larger) == []
    assert len(list(expand(larger))) == len(list(expand(spec))) * (len(lr.values) + 2) // len(lr.values)
    added = {float(cell.hyperparameters["lr"]) for cell in expand(larger)} - set(lr.values)
    assert sorted(added) == pytest.approx(sorted(found.values))
