"""The table as a whole: scoring, ranking, what is missing, and what must not change it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.robustness import AxisInfo, GridInfo, RobustnessTable, TaskScoring, infer_grids, robustness_table
from benchmark.robustness.registry import row_measures
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, lose, noisy_scores, raw, table_3, value

N_SEEDS = (3, 10)


def documents_agree(first: RobustnessTable, second: RobustnessTable) -> None:
    for one, other in zip(first.rows, second.rows, strict=True):
        assert (one.task, one.optimizer, one.ranked, one.best) == (
            other.task,
            other.optimizer,
            other.ranked,
            other.best,
        )
        for name, measure in one.measures.items():
            twin = other.measures[name]
            assert (measure.flags, measure.reason, measure.method) == (twin.flags, twin.reason, twin.method), name
            for field in ("value", "low", "high"):
                assert getattr(measure, field) == pytest.approx(getattr(twin, field), abs=1e-9), (name, field)


@pytest.fixture(scope="module", params=N_SEEDS)
def frame(request: pytest.FixtureRequest) -> pd.DataFrame:
    return frame_of(noisy_scores(request.param))


def test_shape_of_the_document(frame: pd.DataFrame) -> None:
    document = robustness_table(frame, ACCURACY, fingerprints=["b", "a", "a"]).to_dict()
    keys = (
        "complete",
        "missing",
        "fingerprints",
        "mixed",
        "view",
        "readings",
        "tasks",
        "rows",
        "differences",
        "wins",
        "across_tasks",
        "notes",
        "failures",
        "version",
    )
    assert tuple(document) == keys
    assert document["fingerprints"] == ["a", "b"]
    assert document["view"] == "equal_steps"
    assert set(document["tasks"][0]) >= {"task", "metric", "goal", "tolerance", "floor", "y_ref", "n_seeds", "grid"}
    for row in document["rows"]:
        assert set(row) >= {"task", "optimizer", "ranked", "grid", "measures"}
        assert list(row["measures"]) == [measure.name for measure in row_measures()]
        for measure in row["measures"].values():
            assert list(measure) == ["value", "raw", "low", "high", "level", "method", "reason", "flags"]
            assert measure["value"] is not None or measure["reason"]
            assert (measure["low"] is None) == (measure["method"] is None)
    assert RobustnessTable.from_dict(json.loads(json.dumps(document, allow_nan=False))).to_dict() == document


def test_the_same_runs_give_the_same_table(frame: pd.DataFrame) -> None:
    assert robustness_table(frame, ACCURACY).to_dict() == robustness_table(frame, ACCURACY).to_dict()


def test_the_order_of_the_rows_does_not_matter(frame: pd.DataFrame) -> None:
    grids = infer_grids(frame, ACCURACY)
    shuffled = frame.sample(frac=1, random_state=1)
    assert robustness_table(shuffled, ACCURACY, grids).to_dict() == robustness_table(frame, ACCURACY, grids).to_dict()


def test_names_of_seeds_do_not_matter(frame: pd.DataFrame) -> None:
    other = frame.assign(seed=frame["seed"] * 7 + 100)
    assert robustness_table(other, ACCURACY).to_dict() == robustness_table(frame, ACCURACY).to_dict()


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 2.0), (1e-12, 0.0), (1e12, -1e11)])
def test_shift_and_scale_of_the_scores_leave_normalised_values(frame: pd.DataFrame, scale: float, shift: float) -> None:
    scores = ["val_accuracy", "test_accuracy"]
    other = frame.assign(**{name: scale * frame[name] + shift for name in scores})
    scoring = replace(ACCURACY, tolerance=scale * ACCURACY.tolerance, floor=scale * ACCURACY.floor + shift)
    documents_agree(robustness_table(other, scoring), robustness_table(frame, ACCURACY))


def test_which_seed_is_which_does_not_matter() -> None:
    """Scores in steps tie, and a sum in another order is another number: the first of those that tie stays the best."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = {name: rng.integers(1, 4, (3, 4, 5)) / 7 for name in ("sam", "msam")}
        order = rng.permutation(5)
        shuffled = {name: own[..., order] for name, own in scores.items()}
        documents_agree(*(robustness_table(frame_of(own), ACCURACY) for own in (scores, shuffled)))


def test_minimising_the_negated_scores_is_the_same(frame: pd.DataFrame) -> None:
    scores = ["val_accuracy", "test_accuracy"]
    other = frame.assign(**{name: -frame[name] for name in scores})
    scoring = replace(ACCURACY, goal="minimize", floor=-ACCURACY.floor)
    table = robustness_table(other, scoring)
    documents_agree(table, robustness_table(frame, ACCURACY))
    assert raw(table, "sam", "best") < 0


def test_names_and_order_of_optimizers_do_not_matter(frame: pd.DataFrame) -> None:
    """Other labels, which come in another order, change nothing but the labels: not even a rank or a p-value."""
    labels = {"gd": "z", "sam": "y", "msam": "x"}
    renamed = frame.assign(optimizer=frame["optimizer"].map(labels)).sort_values("optimizer", kind="stable")
    before, after = robustness_table(frame, ACCURACY), robustness_table(renamed, ACCURACY)
    assert [row.optimizer for row in after.rows] == [labels[row.optimizer] for row in before.rows]
    for first, second in zip(before.rows, after.rows, strict=True):
        assert (first.measures, first.rank) == (second.measures, second.rank)
    assert [(one.value, one.p_adjusted, one.n_seeds_needed) for one in before.differences] == [
        (one.value, one.p_adjusted, one.n_seeds_needed) for one in after.differences
    ]
    assert [one.share for one in before.wins] == [one.share for one in after.wins]


def test_a_worse_configuration_lowers_every_mean_and_leaves_the_best(frame: pd.DataFrame) -> None:
    worse = frame.query("rho == 10").assign(rho=100.0, val_accuracy=0.1, test_accuracy=0.1)
    before, after = robustness_table(frame, ACCURACY), robustness_table(pd.concat([frame, worse]), ACCURACY)
    for name in ("sam", "msam"):
        first, second = before.row("digits", name).measures, after.row("digits", name).measures
        assert second["best"].value == first["best"].value
        for measure in ("grid_mean", "iqm", "expected_best_4", "good_share", "p10", "worst"):
            assert (second[measure].value or 0.0) <= (first[measure].value or 0.0)
        assert (second["grid_mean"].value or 0.0) < (first["grid_mean"].value or 0.0)


def test_another_optimizer_changes_nothing_but_the_reference(frame: pd.DataFrame) -> None:
    every = robustness_table(frame, ACCURACY)
    y_ref = every.tasks[0].y_ref
    assert y_ref is not None
    alone = robustness_table(frame.query("optimizer == 'sam'"), ACCURACY, y_ref={"digits": y_ref})
    assert alone.tasks[0].y_ref_given
    for name, measure in alone.row("digits", "sam").measures.items():
        twin = every.row("digits", "sam").measures[name]
        assert (measure.value, measure.low, measure.high) == (twin.value, twin.low, twin.high), name


def test_a_loss_is_cut_at_the_floor_and_reported_in_its_units() -> None:
    scoring = TaskScoring("digits", "loss", "minimize", 0.1, 2.0)
    scores = np.array([[[0.5], [1e6], [np.nan], [1.0]]])
    table = robustness_table(frame_of({"sam": scores}, scoring=scoring, lrs=(0.1,)), scoring)
    assert raw(table, "sam", "best") == 0.5
    assert raw(table, "sam", "worst") == 2.0
    assert raw(table, "sam", "grid_mean") == pytest.approx((0.5 + 2 + 2 + 1) / 4)
    assert value(table, "sam", "worst") == 0.0
    assert table.tasks[0].y_ref == 0.5


def test_a_diverged_run_scores_the_floor() -> None:
    scores = np.array([[[0.9, np.nan], [0.5, 0.7]]])
    table = robustness_table(frame_of({"sam": scores}, lrs=(0.1,), rhos=(0.1, 1.0)), ACCURACY)
    assert raw(table, "sam", "worst") == pytest.approx((0.9 + 0.1) / 2)
    assert raw(table, "sam", "best") == pytest.approx(0.6)
    assert value(table, "sam", "diverged_rate") == 0.25


def test_selection_and_reference_use_validation_and_the_report_test() -> None:
    test = {"sam": np.array([[[0.5], [0.9]]])}
    validation = {"sam": np.array([[[0.8], [0.7]]])}
    frame = frame_of(test, validation=validation, lrs=(0.1,), rhos=(0.1, 1.0))
    table = robustness_table(frame, ACCURACY)
    assert table.tasks[0].has_split
    assert table.tasks[0].y_ref == 0.8
    assert raw(table, "sam", "best") == 0.5
    assert value(table, "sam", "good_share") == 0.5


def test_a_task_without_split_says_so() -> None:
    assert not robustness_table(table_3(), TaskScoring("clip", "s_knn", "maximize", 0.01, 0.351)).tasks[0].has_split


def test_intervals_by_number_of_seeds() -> None:
    few = robustness_table(frame_of(noisy_scores(9)), ACCURACY).row("digits", "sam").measures
    with_interval = {name for name, measure in few.items() if measure.low is not None}
    assert with_interval == {"grid_mean", "iqm", "expected_best_1", "expected_best_4"}
    assert few["best"].reason == "an interval needs 10 seeds, there are 9"
    many = robustness_table(frame_of(noisy_scores(10)), ACCURACY).row("digits", "sam").measures
    for name, measure in many.items():
        if measure.value is None or name in ("grad_norm", "delta_over_rho", "gradient_evaluations", "elapsed_s"):
            continue
        if name.startswith("variance"):
            assert measure.reason == (
                "no interval for shares of variance, in which noise of the seeds counts as interaction"
            )
            continue
        if name in ("diverged_rate", "collapsed_rate"):
            assert measure.reason == "no interval where the seeds do not differ", "no run failed"
            continue
        assert measure.low is not None, (name, measure.reason)
        assert measure.high is not None
        assert measure.low <= measure.value <= measure.high, name
        assert "bootstrap" in (measure.method or "")


def test_a_rate_of_failures_has_an_interval_where_the_seeds_differ_in_it() -> None:
    scores = noisy_scores(10)
    scores["sam"][0, 0, :3] = np.nan
    measure = robustness_table(frame_of(scores), ACCURACY).row("digits", "sam").measures["diverged_rate"]
    assert measure.value == pytest.approx(3 / 120)
    assert measure.low is not None
    assert measure.high is not None
    assert 0 <= measure.low < 3 / 120 < measure.high < 0.06


def test_the_generator_that_is_passed_is_used() -> None:
    frame = frame_of(noisy_scores(10))
    usual, other = robustness_table(frame, ACCURACY), robustness_table(frame, ACCURACY, rng=np.random.default_rng(99))
    assert usual.row("digits", "sam").measures["best"].low != other.row("digits", "sam").measures["best"].low


class TestGd:
    """An optimizer without rho is constant along it."""

    def test_it_is_ranked_and_broadcast(self, frame: pd.DataFrame) -> None:
        row = robustness_table(frame, ACCURACY).row("digits", "gd")
        assert row.ranked
        assert row.grid.broadcast == ("rho",)
        assert row.grid.n_configurations == len(LRS)

    def test_rho_zero_is_no_rho(self, frame: pd.DataFrame) -> None:
        zero = frame.assign(rho=frame["rho"].fillna(0.0))
        assert robustness_table(zero, ACCURACY).to_dict() == robustness_table(frame, ACCURACY).to_dict()

    def test_it_scores_as_if_it_had_run_at_each_rho(self, frame: pd.DataFrame) -> None:
        gd = frame.query("optimizer == 'gd'")
        repeated = pd.concat([gd.assign(rho=rho) for rho in RHOS])
        full = robustness_table(pd.concat([frame.query("optimizer != 'gd'"), repeated]), ACCURACY)
        table = robustness_table(frame, ACCURACY)
        for name in ("best", "grid_mean", "worst", "p10", "good_share", "diverged_rate", "expected_best_1"):
            assert value(table, "gd", name) == pytest.approx(value(full, "gd", name), abs=1e-12), name

    def test_what_is_about_rho_is_null_with_the_reason(self, frame: pd.DataFrame) -> None:
        measures = robustness_table(frame, ACCURACY).row("digits", "gd").measures
        for name in ("rho_width_max", "rho_width_mean", "variance_rho", "variance_interaction"):
            assert measures[name].value is None
            assert measures[name].reason == "rho is not swept"


class TestOtherGrids:
    """Rows are ranked on a common grid only."""

    def test_a_row_on_another_grid_is_marked(self) -> None:
        scores = noisy_scores(3)
        asam = frame_of({"asam": scores["sam"]}, rhos=[10 * rho for rho in RHOS])
        table = robustness_table(pd.concat([frame_of(scores), asam]), ACCURACY)
        assert [row.optimizer for row in table.rows if row.ranked] == [row.optimizer for row in table.rows[:3]]
        assert table.rows[3].optimizer == "asam"
        assert table.rows[3].grid.reason == "other values of rho than the common grid"
        assert table.tasks[0].axes is not None
        assert table.tasks[0].axes[1].values == RHOS

    def test_a_held_rho_is_another_grid(self) -> None:
        scores = noisy_scores(3)
        held = frame_of({"held": scores["gd"]}).assign(rho=0.05)
        table = robustness_table(pd.concat([frame_of(scores), held]), ACCURACY)
        assert table.row("digits", "held").grid.reason == "other values of rho than the common grid"

    def test_without_a_majority_none_is_ranked(self) -> None:
        scores = noisy_scores(3)
        other = frame_of({"msam": scores["msam"]}, rhos=[10 * rho for rho in RHOS])
        table = robustness_table(pd.concat([frame_of({"gd": scores["gd"], "sam": scores["sam"]}), other]), ACCURACY)
        assert not any(row.ranked for row in table.rows)
        assert {row.grid.reason for row in table.rows} == {"no values of rho are shared by most optimizers"}
        assert table.to_dict()["tasks"][0]["grid"] is None

    def test_a_further_axis_stops_the_analysis_of_variance(self) -> None:
        frame = pd.concat(
            [frame_of({"sam": noisy_scores(3)["sam"]}).assign(momentum=momentum) for momentum in (0.0, 0.9)]
        )
        grids = infer_grids(frame, ACCURACY, ["lr", "momentum", "rho"])
        measures = robustness_table(frame, ACCURACY, grids).row("digits", "sam").measures
        assert measures["variance_rho"].reason == "the analysis is of rho and lr, but the grid sweeps momentum too"
        plain = robustness_table(frame_of({"sam": noisy_scores(3)["sam"]}), ACCURACY)
        assert measures["rho_width_mean"].value == pytest.approx(value(plain, "sam", "rho_width_mean"))


class TestMissing:
    """Nothing is dropped silently."""

    @pytest.fixture
    def frame(self) -> pd.DataFrame:
        return frame_of(noisy_scores(3))

    @pytest.mark.parametrize("status", ["timed_out", "failed", "missing", None])
    def test_a_missing_cell_is_told_and_its_configuration_left_out(
        self, frame: pd.DataFrame, status: str | None
    ) -> None:
        grids = infer_grids(frame, ACCURACY)
        lost = frame.index[
            (frame["optimizer"] == "sam") & (frame["lr"] == 0.1) & (frame["rho"] == 10.0) & (frame["seed"] == 1)
        ]
        if status is None:
            frame = frame.drop(index=lost)
        else:
            lose(frame, lost, status)
        table = robustness_table(frame, ACCURACY, grids)
        assert not table.complete
        assert table.missing.count == 1
        cell = table.missing.first[0]
        assert (cell.optimizer, cell.hyperparameters, cell.seed) == ("sam", {"lr": 0.1, "rho": 10.0}, 1)
        assert cell.status == (status or "missing")
        row = table.row("digits", "sam")
        assert not row.ranked
        assert row.grid.reason == "1 of 36 cells are missing"
        assert (row.grid.n_complete, row.grid.n_configurations) == (11, 12)
        kept = noisy_scores(3)["sam"].reshape(12, 3)[np.arange(12) != 7]
        assert row.measures["grid_mean"].raw == pytest.approx(kept.mean())
        assert row.measures["grid_mean"].flags == ("incomplete",)
        assert "1 of 36 cells are missing" in (row.measures["grid_mean"].reason or "")
        for name in ("rho_width_max", "variance_lr"):
            assert row.measures[name].value is None
            assert "incomplete" in (row.measures[name].reason or "")
        assert table.row("digits", "msam").ranked

    def test_an_optimizer_that_has_not_begun_has_nulls(self, frame: pd.DataFrame) -> None:
        grids = infer_grids(frame, ACCURACY)
        table = robustness_table(frame.query("optimizer != 'msam'"), ACCURACY, grids)
        measures = table.row("digits", "msam").measures
        assert all(measure.value is None and measure.reason for measure in measures.values())
        assert table.missing.count == 36
        assert len(table.missing.first) == 20

    def test_a_task_that_has_not_begun_is_a_task_of_nulls(self, frame: pd.DataFrame) -> None:
        other = TaskScoring("later", "accuracy", "maximize", 0.05, 0.1)
        grids = (*infer_grids(frame, ACCURACY), GridInfo("later", "sam", (AxisInfo("lr", "values", LRS),)))
        table = robustness_table(frame, [ACCURACY, other], grids)
        assert table.row("later", "sam").grid.reason == "no run has begun"
        assert table.tasks[1].y_ref is None

    def test_the_seeds_of_another_optimizer_are_missing_too(self, frame: pd.DataFrame) -> None:
        table = robustness_table(frame.query("optimizer != 'sam' or seed != 2"), ACCURACY)
        assert table.missing.count == 12
        assert (
            table.row("digits", "sam").measures["grid_mean"].reason
            == "no configuration has a result for each of the 3 seeds"
        )


def test_nothing_learned_leaves_raw_values_only() -> None:
    table = robustness_table(frame_of({"sam": np.full((3, 4, 2), np.nan)}), ACCURACY)
    measures = table.row("digits", "sam").measures
    assert measures["best"].value is None
    assert measures["best"].raw == 0.1
    assert measures["best"].reason == "the reference is not above the floor: nothing has been learned"
    assert measures["good_share"].value is None
    assert measures["diverged_rate"].value == 1.0


def test_a_tolerance_down_to_the_floor_is_flagged() -> None:
    table = robustness_table(frame_of(noisy_scores(2)), replace(ACCURACY, tolerance=0.9))
    assert table.row("digits", "sam").measures["good_share"].flags == ("tolerance_covers_floor",)
    assert "tolerance_covers_floor" in table.row("digits", "sam").measures["rho_width_max"].flags


def test_rho_zero_has_no_width() -> None:
    table = robustness_table(frame_of({"sam": noisy_scores(2)["sam"]}, rhos=(0.0, 0.1, 1.0, 10.0)), ACCURACY)
    assert (
        table.row("digits", "sam").measures["rho_width_max"].reason == "rho = 0.0 has no place on a logarithmic scale"
    )


def test_diagnostics_are_medians_over_the_completed_runs() -> None:
    scores = np.array([[[0.9], [0.8], [0.7], [np.nan]]])
    frame = frame_of({"sam": scores}, lrs=(0.1,)).assign(
        grad_norm=[1.0, 2.0, 9.0, 100.0], elapsed_s=1.0, amortised=True
    )
    measures = robustness_table(frame, ACCURACY).row("digits", "sam").measures
    assert measures["grad_norm"].value == 2.0
    assert measures["elapsed_s"].flags == ("amortised",)
    assert measures["delta_over_rho"].reason == "no completed run recorded it"


class TestPhi:
    """Sensitivity across tasks."""

    @pytest.fixture
    def scorings(self) -> list[TaskScoring]:
        return [replace(ACCURACY, task=task) for task in ("a", "b", "c")]

    def test_three_tasks_give_phi(self, scorings: list[TaskScoring]) -> None:
        surfaces = [np.array([[[0.9], [0.5]]]), np.array([[[0.4], [0.8]]]), np.array([[[0.6], [0.6]]])]
        frames = [
            frame_of({"sam": scores}, scoring=scoring, lrs=(0.1,), rhos=(0.1, 1.0))
            for scores, scoring in zip(surfaces, scorings, strict=True)
        ]
        table = robustness_table(pd.concat(frames), scorings)
        z = np.array([(scores.ravel() - 0.1) / (scores.max() - 0.1) for scores in surfaces])
        assert table.across_tasks[0].measures["phi"].value == pytest.approx(1 - z.mean(axis=0).max())

    def test_two_tasks_do_not(self, scorings: list[TaskScoring]) -> None:
        frames = [frame_of({"sam": noisy_scores(2)["sam"]}, scoring=scoring) for scoring in scorings[:2]]
        phi = robustness_table(pd.concat(frames), scorings[:2]).across_tasks[0].measures["phi"]
        assert (phi.value, phi.reason) == (None, "it needs 3 tasks, the table has 2")

    def test_other_grids_do_not(self, scorings: list[TaskScoring]) -> None:
        rhos = [RHOS, RHOS, [2 * rho for rho in RHOS]]
        frames = [
            frame_of({"sam": noisy_scores(2)["sam"]}, scoring=scoring, rhos=values)
            for scoring, values in zip(scorings, rhos, strict=True)
        ]
        phi = robustness_table(pd.concat(frames), scorings).across_tasks[0].measures["phi"]
        assert phi.reason == "its grid is not the same on every task"


@pytest.mark.parametrize(
    ("y_ref", "message"),
    [
        ({"digits": 0.1}, "a reference must be a number better than the floor"),
        ({"digits": float("nan")}, "a reference must be a number better than the floor"),
        ({"other": 0.5}, "a reference must be of a task in the table, but 'other' is none"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(y_ref: dict[str, float], message: str) -> None:
    with pytest.raises(TableError, match=message):
        robustness_table(frame_of(noisy_scores(2)), ACCURACY, y_ref=y_ref)


def test_an_unknown_row_is_refused() -> None:
    table = robustness_table(frame_of(noisy_scores(2)), ACCURACY)
    with pytest.raises(TableError, match="the table has no row smam on digits; there are: "):
        table.row("digits", "smam")
