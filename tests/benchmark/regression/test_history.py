"""What runs measured, laid side by side."""

import json
from dataclasses import asdict

import pytest

from benchmark.regression import RunMeasures, Side, compare, level_changes, limits_of, run_measures
from benchmark.regression.measuring import TESTED
from tests.benchmark.regression.simulated import TASK, side, spec
from tests.service.filling import diverged, records_by_key


def test_a_run_has_a_value_and_a_margin_of_every_measure() -> None:
    measured = run_measures(side(spec()))
    for optimizer in ("sam", "msam"):
        assert set(measured.values[TASK][optimizer]) == set(measured.margins[TASK][optimizer]) == set(TESTED)
        assert all((margin or 0) > 0 for margin in measured.margins[TASK][optimizer].values())
        assert [name for name, value in measured.values[TASK][optimizer].items() if value is None] == [
            "expected_best_16"
        ]
    assert RunMeasures(**json.loads(json.dumps(asdict(measured)))) == measured


def test_values_and_margins_are_those_of_a_comparison_with_the_same_reference() -> None:
    before, after = side(spec()), side(spec(), shift=-0.05)
    limits = limits_of([1.5] * 19)
    comparison = compare(before, after, limits=limits)
    y_ref = run_measures(before).y_ref
    measured = run_measures(after, y_ref, comparison)
    for change in comparison.measures:
        if change.name in TESTED:
            known = measured.values[TASK][change.optimizer][change.name]
            assert known == (None if change.after is None else pytest.approx(change.after)), change.name
            if change.margin is not None:
                assert measured.margins[TASK][change.optimizer][change.name] == change.margin
    plain = run_measures(after, y_ref)
    assert plain.values == measured.values
    assert (measured.margins[TASK]["msam"]["best"] or 0) == pytest.approx(
        1.5 * (plain.margins[TASK]["msam"]["best"] or 0)
    )


def test_a_run_that_lacks_cells_has_no_value_of_that_optimizer() -> None:
    whole = side(spec())
    lost = next(cell.key for grid in whole.spec.grids if grid.optimizer == "sam" for cell in grid.cells(range(1)))
    measured = run_measures(Side(whole.spec, {key: one for key, one in whole.records.items() if key != lost}))
    assert set(measured.values[TASK]["sam"].values()) == {None}
    assert measured.values[TASK]["msam"]["grid_mean"] is not None


@pytest.mark.parametrize("n_seeds", [3, 10])
def test_a_run_that_learned_nothing_has_no_reference_and_no_margins(n_seeds: int) -> None:
    of = spec(n_seeds)
    measured = run_measures(Side(of, records_by_key(of, diverged)))
    assert measured.y_ref == {}
    for optimizer in ("sam", "msam"):
        assert measured.margins[TASK][optimizer] == dict.fromkeys(TESTED)
        assert measured.values[TASK][optimizer]["diverged_rate"] == 1.0
        assert measured.values[TASK][optimizer]["grid_mean"] is None


def test_a_change_names_the_first_run_of_the_new_level_and_its_direction() -> None:
    of = spec(n_lr=5)
    good, bad = side(of), side(of, edge=0.5)
    reference = run_measures(good).y_ref
    runs = [run_measures(one, reference) for one in (good, good, good, bad, bad, good, good)]
    found = level_changes(runs)
    assert {(one.index, one.is_worse) for one in found} == {(3, True), (5, False)}
    assert {one.optimizer for one in found} == {"msam"}
    down = {one.name: one for one in found if one.is_worse}
    assert {"grid_mean", "diverged_rate", "divergence_edge"} <= set(down)
    assert "best" not in down
    assert (down["diverged_rate"].before, round(down["diverged_rate"].after, 9)) == (0.0, 0.2)


def test_nothing_has_changed_where_there_was_one_run_or_none() -> None:
    assert level_changes([]) == ()
    assert level_changes([run_measures(side(spec()))]) == ()
