"""Learning curves at the best configurations, by their structure."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmark import Outcome, Records, Spec, Status, TableError
from benchmark.figures.lines import LineFigure
from benchmark.spec import Cell
from tests.service.filling import completed, diverged, failed, records_by_key, small_spec

pytestmark = pytest.mark.slow


def drawn(outcome_of: Callable[[Cell], Outcome] = completed, **changes: object) -> LineFigure:
    spec = Spec.from_mapping(small_spec(**changes))
    figure: LineFigure = Records(spec, tuple(records_by_key(spec, outcome_of).values())).plot("curves").prepared
    return figure


def test_a_panel_of_scores_and_one_of_losses_with_a_line_an_optimizer() -> None:
    score, loss = drawn().panels
    assert (score.x_title, score.y_title, loss.y_title) == ("step", "test accuracy", "train loss")
    assert [line.label for line in score.lines] == ["gd", "sam", "msam"]
    sam = score.lines[1]
    final = 0.9 + 0.1 * 0.1 - 0.2 * 0.1 - 0.01  # at the best lr and rho
    np.testing.assert_allclose(sam.x, [5, 10, 16])
    np.testing.assert_allclose(sam.y, [(final + 0.0005) * step for step in (1, 2, 3)])
    assert sam.low is not None
    assert sam.high is not None
    np.testing.assert_allclose(sam.high - sam.low, [0.0005 * step for step in (1, 2, 3)])


def test_the_note_says_at_which_configuration_and_what_the_bands_are() -> None:
    note = drawn().note
    assert "At the best by validation: gd, lr 0.1; sam, lr 0.1, rho 0.1; msam, lr 0.1, rho 0.1." in note
    assert "from their lower to their upper quartile" in note


def test_a_single_seed_has_no_band() -> None:
    assert not any(line.has_band for panel in drawn(seeds={"count": 1}).panels for line in panel.lines)


def test_seeds_that_diverged_count_with_the_floor_and_an_infinite_loss() -> None:
    def outcome(cell: Cell) -> Outcome:
        if cell.seed < 2:
            return completed(cell)
        ran = completed(cell)
        curve = {name: values[:1] for name, values in ran.curve.items()}
        return replace(ran, status=Status.DIVERGED, metrics={}, curve=curve, diverged_at_step=7)

    score, loss = drawn(outcome, seeds={"count": 3}).panels
    three = [0.9 + 0.001 * seed for seed in range(3)]
    np.testing.assert_allclose(score.lines[0].y, [three[1], 2 * three[0], 3 * three[0]], rtol=1e-6)
    low, high = loss.lines[0].low, loss.lines[0].high
    assert low is not None
    assert high is not None
    np.testing.assert_allclose(loss.lines[0].y, [0.5, 1.0, 1.5])
    assert np.isfinite(low).all()
    assert np.isnan(high).tolist() == [False, True, True], "there is no upper quartile of what is infinite"


def test_a_step_without_a_number_in_any_seed_is_a_gap() -> None:
    def outcome(cell: Cell) -> Outcome:
        ran = completed(cell)
        values = ran.curve["test_accuracy"]
        return replace(ran, curve={**ran.curve, "test_accuracy": (values[0], math.nan, values[2])})

    score, loss = drawn(outcome).panels
    assert np.isnan(score.lines[0].y).tolist() == [False, True, False]
    assert not np.isnan(loss.lines[0].y).any()


def test_several_tasks_are_panels_with_their_names() -> None:
    tasks = [{"name": "digits-mlp", "label": label, "params": {"hidden": n}} for label, n in (("a", 8), ("b", 9))]
    assert [panel.title for panel in drawn(tasks=tasks).panels] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("outcome_of", "message"),
    [
        (failed, "learning curves need a complete configuration, but no optimizer has one"),
        (lambda cell: replace(completed(cell), curve={}), "the best configurations have none"),
    ],
)
def test_what_cannot_be_drawn_is_said(outcome_of: Callable[[Cell], Outcome], message: str) -> None:
    with pytest.raises(TableError, match=message):
        drawn(outcome_of)


def test_a_job_in_which_all_diverged_is_drawn() -> None:
    score, *_ = drawn(diverged).panels
    assert {line.label for line in score.lines} <= {"gd", "sam", "msam"}
