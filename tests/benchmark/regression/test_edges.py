"""Divergence edges and places of the best, by hand."""

import numpy as np
import pytest

from benchmark.regression.edges import divergence_edge, place_of_best, step_decades
from benchmark.robustness import AxisInfo, GridInfo
from benchmark.robustness.cells import Cells
from benchmark.robustness.columns import COMPLETED, DIVERGED, MISSING

LR = AxisInfo("lr", "log", (0.01, 0.1, 1.0))
RHO = AxisInfo("rho", "log", (0.1, 1.0))


def cells(axes: tuple[AxisInfo, ...], status: list[list[int]], scores: list[list[float]] | None = None) -> Cells:
    grid = GridInfo("task", "sam", axes)
    array = np.array(status, dtype=np.int8)
    values = np.array(scores, dtype=np.float64) if scores else np.zeros(array.shape)
    seeds = np.arange(array.shape[1])
    return Cells(grid, seeds, values, values, array, None, {}, amortised=False, held={})


@pytest.mark.parametrize(
    ("column", "edge"),
    [
        ([COMPLETED, COMPLETED, COMPLETED], 0.5),  # half a step beyond the end
        ([COMPLETED, COMPLETED, DIVERGED], -0.5),
        ([COMPLETED, DIVERGED, COMPLETED], -1.5),  # what comes after the first does not count
        ([DIVERGED, COMPLETED, COMPLETED], -2.5),
    ],
)
def test_the_edge_lies_between_the_last_finite_and_the_first_diverged(column: list[int], edge: float) -> None:
    found = divergence_edge(cells((LR,), [[one] for one in column]))
    assert found is not None
    assert found.tolist() == pytest.approx([edge])


def test_the_edge_is_a_mean_over_lines_and_has_a_value_a_seed() -> None:
    """Axes in either order."""
    by_rho = [[COMPLETED, COMPLETED], [COMPLETED, COMPLETED], [COMPLETED, DIVERGED]]  # rho .1: seeds 0, 1
    other = [[COMPLETED, DIVERGED], [DIVERGED, DIVERGED], [DIVERGED, DIVERGED]]  # rho 1
    rho_first = divergence_edge(cells((RHO, LR), by_rho + other))
    lr_first = divergence_edge(cells((LR, RHO), [row for pair in zip(by_rho, other, strict=True) for row in pair]))
    assert rho_first is not None
    assert lr_first is not None
    assert rho_first.tolist() == lr_first.tolist() == pytest.approx([(0.5 - 1.5) / 2, (-0.5 - 2.5) / 2])


def test_there_is_no_edge_without_an_axis_or_with_a_missing_run() -> None:
    assert divergence_edge(cells((RHO,), [[COMPLETED], [COMPLETED]])) is None
    assert divergence_edge(cells((LR,), [[COMPLETED], [MISSING], [DIVERGED]])) is None
    linear = AxisInfo("lr", "linear", (0.0, 1.0))
    assert divergence_edge(cells((linear,), [[COMPLETED], [COMPLETED]])) is None
    assert divergence_edge(cells((AxisInfo("lr", "values", (0.1,)),), [[COMPLETED]])) is None


def test_the_best_place_is_read_seed_by_seed_along_the_axis() -> None:
    scores = [[0.1, 0.2], [0.3, 0.1], [0.2, 0.1], [0.2, 0.9], [0.0, 0.0], [0.0, 0.0]]
    found = cells((RHO, LR), [[COMPLETED, COMPLETED]] * 6, scores)
    assert place_of_best(found, "lr") is not None
    assert np.asarray(place_of_best(found, "lr")).tolist() == pytest.approx([-1.0, -2.0])
    assert np.asarray(place_of_best(found, "rho")).tolist() == pytest.approx([-1.0, 0.0])
    assert place_of_best(found, "momentum") is None


def test_the_step_of_an_axis_is_in_decades() -> None:
    grid = GridInfo("task", "sam", (LR, RHO, AxisInfo("momentum", "values", (0.0, 0.9))))
    assert step_decades(grid, "lr") == pytest.approx(1.0)
    assert step_decades(grid, "momentum") is None
