"""Views: what is read off curves that are made by hand, and off real ones."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from benchmark import Cost, Diagnostics, Outcome, PackPlace, Record, Spec, Status
from benchmark.errors import TableError
from benchmark.execution import train_cell
from benchmark.robustness import Reading, RobustnessTable, render_markdown
from benchmark.running import Records
from benchmark.seconds import NOTE
from benchmark.several import Source, several_table
from benchmark.spec import Cell, expand
from benchmark.tables import spec_table
from benchmark.views import budget_view, read_at
from optimizers import optimizer_info
from tests.benchmark.toys import CPU, document

pytestmark = pytest.mark.slow
N_STEPS = 16
POINTS = (4, 8, 12, 16)
SCORES = ("val_accuracy", "test_accuracy", "val_loss", "test_loss")
TWO: list[dict[str, Any]] = [{"name": "gd"}, {"name": "sam", "space": {"rho": {"values": [0.1, 1.0]}}}]


def make_spec(optimizers: list[dict[str, Any]] = TWO, **changes: Any) -> Spec:
    rest: dict[str, Any] = {"optimizers": optimizers, "space": {"lr": {"values": [0.1]}}, "seeds": {"count": 2}}
    return Spec.from_mapping(document(**{**rest, **changes}))


def outcome_of(cell: Cell) -> Outcome:
    """A run of 16 steps with a test accuracy of 0.2 + step / 100, evaluated four times."""
    per_step = optimizer_info(cell.setting.rule).gradient_evaluations(cell.hyperparameters)
    budget = cell.setting.budget.gradient_evaluations
    n_steps = N_STEPS if budget is None else math.floor(budget / per_step)
    steps = [step for step in POINTS if step <= n_steps]
    series = {name: tuple(0.2 + step / 100 for step in steps) for name in SCORES}
    curve = {"step": tuple(map(float, steps)), "train_loss": tuple(1.0 / step for step in steps), **series}
    cost = Cost(n_steps, round(n_steps * per_step), 3.2, False, "sequential", "cpu")
    last = {name: values[-1] for name, values in curve.items() if name != "step"}
    return Outcome(Status.COMPLETED, last, curve, cost, Diagnostics(0.4, None))


def records_of(spec: Spec, outcome: Callable[[Cell], Outcome] = outcome_of) -> dict[str, Record]:
    return {
        cell.key: Record(
            cell.key, "f", cell.setting.key, cell.hyperparameters, cell.seed, outcome(cell), PackPlace("p", 1, 0)
        )
        for cell in expand(spec)
    }


def raw(table: RobustnessTable, optimizer: str, measure: str = "grid_mean") -> float | None:
    return table.row(table.tasks[0].task, optimizer).measures[measure].raw


def step_s(spec: Spec, **by_optimizer: float) -> Mapping[str, float]:
    return {grid.setting.key: by_optimizer[grid.optimizer] for grid in spec.grids if grid.optimizer in by_optimizer}


def test_at_equal_gradient_evaluations_sam_is_read_at_half_the_steps_of_gd() -> None:
    spec = make_spec()
    table = spec_table(spec, records_of(spec), view="equal_gradient_evaluations")
    assert table.view == "equal_gradient_evaluations"
    assert table.readings == (
        Reading("digits-mlp", "gd", 16, 16, 16, 16),
        Reading("digits-mlp", "sam", 16, 8, 8, 16),
    )
    assert raw(table, "gd") == pytest.approx(0.36)
    assert raw(table, "sam") == pytest.approx(0.28)
    assert raw(table, "gd", "gradient_evaluations") == raw(table, "sam", "gradient_evaluations") == 16
    assert raw(table, "sam", "elapsed_s") == pytest.approx(1.6)
    assert RobustnessTable.from_dict(table.to_dict()).readings == table.readings
    text = "equal gradient evaluations (16 each; read at the last evaluation by then, of 16 steps: gd 16, sam 8)"
    assert text in render_markdown(table).replace("\\", "")


def test_seconds_are_those_of_a_run_by_itself_where_every_step_is_known() -> None:
    """Not what a run took beside others, or at once with them: that compares how they were packed."""
    spec = make_spec()
    records = records_of(spec)
    table = spec_table(spec, records, step_s=step_s(spec, gd=0.1, sam=0.25))
    assert raw(table, "gd", "elapsed_s") == pytest.approx(1.6)
    assert raw(table, "sam", "elapsed_s") == pytest.approx(4.0)
    assert NOTE in render_markdown(table)
    read_before_the_end = spec_table(
        spec, records, view="equal_gradient_evaluations", step_s=step_s(spec, gd=0.1, sam=0.25)
    )
    assert raw(read_before_the_end, "sam", "elapsed_s") == pytest.approx(2.0)
    partly = spec_table(spec, records, step_s=step_s(spec, gd=0.1))
    assert raw(partly, "gd", "elapsed_s") == raw(partly, "sam", "elapsed_s") == pytest.approx(3.2)
    assert NOTE not in render_markdown(partly)
    several = several_table([Source("one", spec, records, step_s(spec, gd=0.1, sam=0.25))])
    assert raw(several, "sam", "elapsed_s") == pytest.approx(4.0)
    assert NOTE in render_markdown(several)


def test_what_a_run_measures_as_a_whole_is_not_claimed_of_a_part_of_it() -> None:
    spec = make_spec()
    table = spec_table(spec, records_of(spec), view="equal_gradient_evaluations")
    for measure in ("collapsed_rate", "grad_norm"):
        assert raw(table, "sam", measure) is None
    assert raw(table, "gd", "grad_norm") == 0.4


def test_the_last_evaluation_by_then_counts_and_never_a_later_one() -> None:
    spec = make_spec()
    table = spec_table(spec, records_of(spec), view="equal_seconds", step_s=step_s(spec, gd=0.1, sam=0.14))
    assert [(one.optimizer, one.last_step) for one in table.readings] == [("gd", 16), ("sam", 8)], (
        "1.6 s are 11 steps of sam, which is evaluated after 8 and 12"
    )
    assert raw(table, "sam") == pytest.approx(0.28)
    assert "1.6 s of steps by a sequential probe each" in render_markdown(table)


def test_any_optimizer_may_be_the_one_that_ends_first() -> None:
    spec = make_spec()
    table = spec_table(spec, records_of(spec), view="equal_seconds", step_s=step_s(spec, gd=0.2, sam=0.1))
    assert [(one.optimizer, one.last_step) for one in table.readings] == [("gd", 8), ("sam", 16)]


def test_optimizers_of_one_price_are_read_where_they_ended() -> None:
    spec = make_spec([{"name": "sam", "fixed": {"rho": 0.1}}, {"name": "msam", "fixed": {"rho": 0.1}}], gd=False)
    records = records_of(spec)
    steps, evaluations = (
        spec_table(spec, records, view=view).to_dict() for view in ("equal_steps", "equal_gradient_evaluations")
    )
    assert evaluations.pop("readings") != steps.pop("readings") == []
    assert evaluations.pop("view") != steps.pop("view")
    assert evaluations == steps


def test_a_budget_in_gradient_evaluations_is_that_view_whatever_the_schedule() -> None:
    spec = make_spec(budget={"gradient_evaluations": 16, "batch_size": 256, "schedule": "cosine"})
    records = records_of(spec)
    assert budget_view(spec) == "equal_gradient_evaluations"
    table = spec_table(spec, records)
    assert table == spec_table(spec, records, view="equal_gradient_evaluations")
    assert (table.view, table.readings) == ("equal_gradient_evaluations", ())
    assert raw(table, "sam") == pytest.approx(0.28)
    with pytest.raises(TableError, match=r"gd on digits-mlp has schedule=cosine; train it anew with budget: \{epochs"):
        spec_table(spec, records, view="equal_steps")


def test_equal_steps_of_a_budget_in_gradient_evaluations_cuts_the_cheaper_one() -> None:
    spec = make_spec(budget={"gradient_evaluations": 16, "batch_size": 256})
    table = spec_table(spec, records_of(spec), view="equal_steps")
    assert [(one.optimizer, one.last_step) for one in table.readings] == [("gd", 8), ("sam", 8)]
    assert raw(table, "gd") == raw(table, "sam") == pytest.approx(0.28)


def test_a_table_of_several_jobs_says_what_their_budgets_hold_equal() -> None:
    spec = make_spec(budget={"gradient_evaluations": 16, "batch_size": 256})
    table = several_table([Source("one", spec, records_of(spec))])
    assert table.view == "equal_gradient_evaluations"
    assert budget_view(spec, make_spec()) == "by_budget"


def test_tasks_with_other_budgets_are_read_each_by_its_own() -> None:
    tasks = [
        {"name": "digits-mlp", "params": {"hidden": 8}},
        {"name": "digits-mlp", "label": "other", "params": {"hidden": 8}, "budget": {"gradient_evaluations": 16}},
    ]
    spec = make_spec(tasks=tasks)
    table = spec_table(spec, records_of(spec))
    assert (table.view, table.readings) == ("by_budget", ())
    assert "each task by its own budget" in render_markdown(table)
    both = spec_table(spec, records_of(spec), view="equal_gradient_evaluations")
    assert {one.task for one in both.readings} == {"digits-mlp"}
    assert both.row("digits-mlp", "sam").measures["grid_mean"] == both.row("other", "sam").measures["grid_mean"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"budget": {"epochs": 1, "batch_size": 256, "schedule": "cosine"}}, "schedule=cosine"),
        ({"budget": {"epochs": 1, "batch_size": 256, "warmup": 0.1}}, "warmup=0.1"),
        ({"optimizers": [{"name": "sam", "fixed": {"rho": 0.1, "rho_warmup": 0.3}}]}, "rho_warmup=0.3"),
    ],
)
def test_a_schedule_that_depends_on_the_length_is_refused_with_the_remedy(changes: dict[str, Any], reason: str) -> None:
    spec = make_spec(**changes)
    remedy = r"train it anew with budget: \{gradient_evaluations: N\}"
    with pytest.raises(TableError, match=rf"no schedule depends .* sam on digits-mlp has {reason}; {remedy}"):
        spec_table(spec, records_of(spec), view="equal_gradient_evaluations")


def test_a_metric_that_is_measured_at_the_end_alone_is_refused() -> None:
    tasks = [{"name": "alignment-mfeat", "metric": {"name": "modality_gap"}}]
    spec = make_spec(tasks=tasks)
    names = {"train_loss": 1.0, "modality_gap": 0.2, "val_modality_gap": 0.2, "test_modality_gap": 0.2}

    def outcome(cell: Cell) -> Outcome:
        return replace(outcome_of(cell), metrics=names)

    with pytest.raises(TableError, match="modality_gap, which scores alignment-mfeat, is measured after the last step"):
        spec_table(spec, records_of(spec, outcome), view="equal_gradient_evaluations")


def test_without_a_probe_there_are_no_equal_seconds() -> None:
    spec = make_spec()
    with pytest.raises(TableError, match="none is known of sam on digits-mlp; run the spec again on the device"):
        spec_table(spec, records_of(spec), view="equal_seconds", step_s=step_s(spec, gd=0.1))


def test_a_short_probe_says_nothing_of_steps_that_differ() -> None:
    spec = make_spec([{"name": "look_sam", "fixed": {"rho": 0.1, "k": 5}}])
    with pytest.raises(TableError, match=r"look_sam on digits-mlp take 1\.2 gradient evaluations on average"):
        spec_table(spec, records_of(spec), view="equal_seconds", step_s=step_s(spec, gd=0.1, look_sam=0.1))


def test_configurations_of_one_optimizer_may_differ_in_price() -> None:
    spec = make_spec([{"name": "look_sam", "fixed": {"rho": 0.1}, "space": {"k": {"values": [1, 5]}}}])
    table = spec_table(spec, records_of(spec), view="equal_gradient_evaluations")
    assert table.readings[1] == Reading("digits-mlp", "look_sam", 16, 8, 12, 16), "16 / 2 = 8 and 16 / 1.2 = 13.3 steps"
    assert "look_sam 8 to 12" in render_markdown(table).replace("\\", "")


def test_nothing_completed_is_no_view() -> None:
    spec = make_spec()
    with pytest.raises(TableError, match=r"needs a completed run on every task .* but digits-mlp has none yet"):
        spec_table(spec, {}, view="equal_gradient_evaluations")


def test_what_is_missing_does_not_move_the_cut() -> None:
    """Before gd has a run, sam is read where it will be once gd has."""
    spec = make_spec()
    some = {key: one for key, one in records_of(spec).items() if "rho" in one.hyperparameters}
    table = spec_table(spec, some, view="equal_gradient_evaluations")
    assert table.readings == (Reading("digits-mlp", "sam", 16, 8, 8, 16),)
    assert table.missing.count == 2


def record(**changes: Any) -> Record:
    spec = make_spec()
    (first, *_) = records_of(spec).values()
    return replace(first, outcome=replace(first.outcome, **changes))


def ended(status: Status, at: int) -> dict[str, Any]:
    """What differs in a run that ended early: its status, its curve, and its cost."""
    whole = record().outcome
    n = sum(step <= at for step in POINTS)
    curve = {name: series[:n] for name, series in whole.curve.items()}
    diverged = {"diverged_at_step": at} if status is Status.DIVERGED else {}
    return {"status": status, "metrics": {}, "curve": curve, "cost": replace(whole.cost, steps=at), **diverged}


@pytest.mark.parametrize(
    ("at", "status"), [(7, Status.DIVERGED), (8, Status.DIVERGED), (9, Status.COMPLETED), (13, Status.COMPLETED)]
)
def test_what_diverged_before_the_cut_is_diverged_and_after_it_not_yet(at: int, status: Status) -> None:
    read = read_at(record(**ended(Status.DIVERGED, at)), 8, SCORES)
    assert read.outcome.status is status
    assert read.outcome.metrics.get("test_accuracy") == (pytest.approx(0.28) if status is Status.COMPLETED else None)


@pytest.mark.parametrize(("at", "status"), [(7, Status.TIMED_OUT), (8, Status.COMPLETED), (15, Status.COMPLETED)])
def test_what_its_limit_ended_after_the_cut_has_a_result(at: int, status: Status) -> None:
    assert read_at(record(**ended(Status.TIMED_OUT, at)), 8, SCORES).outcome.status is status


def test_a_failed_run_stays_missing() -> None:
    failed = record(**ended(Status.FAILED, 0), error="no luck")
    assert read_at(failed, 8, SCORES) is failed


def test_a_score_that_is_not_finite_at_the_cut_is_divergence_there() -> None:
    curve = {**record().outcome.curve, "test_loss": (1.0, math.inf, 1.0, 1.0)}
    read = read_at(record(curve=curve), 9, SCORES).outcome
    assert (read.status, read.diverged_at_step, read.metrics) == (Status.DIVERGED, 8, {})


def test_a_run_without_a_point_so_early_is_refused() -> None:
    with pytest.raises(
        TableError, match="evaluated by step 3 to be read there, but its first evaluation is after step 4"
    ):
        read_at(record(), 3, SCORES)
    with pytest.raises(TableError, match="but its curve is not there"):
        read_at(record(curve={}), 8, SCORES)


@pytest.mark.parametrize(
    ("task", "budget"),
    [
        ({"name": "digits-mlp", "params": {"hidden": 8}}, {"epochs": 4, "batch_size": 256}),
        (
            {"name": "banana", "params": {"start": [-1.5, 0.5]}, "metric": {"name": "loss"}},
            {"epochs": 40, "batch_size": 1},
        ),
    ],
    ids=["digits", "landscape"],
)
def test_sam_read_at_half_its_steps_is_sam_trained_for_half_as_long(
    task: dict[str, Any], budget: dict[str, Any]
) -> None:
    """Real runs: those of equal steps, read at equal evaluations, score as those whose budget says so."""
    change: dict[str, Any] = {
        "optimizers": [{"name": "sam", "fixed": {"rho": 0.1}}],
        "tasks": [task],
        "space": {"lr": {"values": [0.01, 0.02]}},
    }
    spec = make_spec(budget=budget, **change)
    table = spec_table(spec, trained(spec), view="equal_gradient_evaluations")
    gd, sam = table.readings
    assert (gd.last_step, sam.last_step) == (gd.n_steps, gd.n_steps // 2)
    spent = {"gradient_evaluations": gd.n_steps, "batch_size": budget["batch_size"]}
    meant_spec = make_spec(budget=spent, **change)
    meant = spec_table(meant_spec, trained(meant_spec))
    for name in ("best", "grid_mean", "worst", "gradient_evaluations"):
        assert raw(table, "sam", name) == raw(meant, "sam", name)
        assert raw(table, "gd", name) == raw(meant, "gd", name)


def trained(spec: Spec) -> dict[str, Record]:
    return {cell.key: train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60) for cell in expand(spec)}


def test_records_of_a_run_have_views() -> None:
    spec = make_spec()
    records = Records(spec, tuple(records_of(spec).values()), step_s(spec, gd=0.1, sam=0.2))
    assert records.table().view == "equal_steps"
    assert records.table(view="equal_seconds").readings[1].last_step == 8
