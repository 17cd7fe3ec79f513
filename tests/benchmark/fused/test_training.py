"""Cells trained at once against the plain loop: whole records."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from benchmark.execution import train_cells
from benchmark.fused import Run, can_train_together, step_s, train_together, training
from benchmark.fused.program import Program
from benchmark.records import Outcome, PackPlace, Status
from benchmark.spec import Cell, expand
from benchmark.tasks import load_task, register_task
from benchmark.training import READ_EVERY, train
from tests.benchmark.fused.fusible import Fusible, fusible_cells
from tests.benchmark.toys import CPU, first_cell, make_spec

pytestmark = pytest.mark.slow

# Whole runs where training is stable: rounding, 1e-7 a step, has grown over 4 to 40 steps. Shares of examples are
# compared to two of a few hundred, which may lie on a boundary.
WHOLE_RUN = 1e-4
SHARES, SHARE = ("accuracy", "recall", "knn"), 0.006


@pytest.fixture(scope="module", autouse=True)
def fusible_is_registered(toy_is_registered: None) -> None:
    register_task(Fusible)


def together(cells: Sequence[Cell], **changes: Any) -> list[Outcome]:
    setting = cells[0].setting
    task = load_task(setting.task, setting.task_params)
    runs = [Run(cell.hyperparameters, cell.seed) for cell in cells]
    return train_together(task, setting, runs, **{"device": CPU, "limit_s": math.inf, **changes})


def alone(cell: Cell, **changes: Any) -> Outcome:
    task = load_task(cell.setting.task, cell.setting.task_params)
    arguments: dict[str, Any] = {"device": CPU, "limit_s": math.inf, **changes}
    return train(task, cell.setting, cell.hyperparameters, cell.seed, **arguments)


def bits(outcome: Outcome) -> tuple[Any, ...]:
    """Everything of an outcome but its seconds."""
    cost = outcome.cost
    return (
        outcome.status,
        outcome.metrics,
        outcome.curve,
        outcome.diagnostics,
        outcome.collapsed,
        outcome.diverged_at_step,
        cost.steps,
        cost.gradient_evaluations,
    )


def assert_close(found: Sequence[Outcome], expected: Sequence[Outcome], rel: float = WHOLE_RUN) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.status, mine.diverged_at_step) == (theirs.status, theirs.diverged_at_step)
        assert (mine.collapsed, mine.error) == (theirs.collapsed, theirs.error)
        assert mine.cost.steps == theirs.cost.steps
        assert mine.cost.gradient_evaluations == theirs.cost.gradient_evaluations
        assert mine.metrics.keys() == theirs.metrics.keys()
        assert mine.curve.keys() == theirs.curve.keys()
        assert mine.curve["step"] == theirs.curve["step"]
        for name, value in theirs.metrics.items():
            within = SHARE if any(share in name for share in SHARES) else 1e-6
            assert mine.metrics[name] == pytest.approx(value, rel=rel, abs=within), name
        for name, series in theirs.curve.items():
            within = SHARE if any(share in name for share in SHARES) else 1e-6
            assert mine.curve[name] == pytest.approx(series, rel=rel, abs=within, nan_ok=True), name
        for name in ("grad_norm", "delta_over_rho"):
            value = getattr(theirs.diagnostics, name)
            expected_value = None if value is None else pytest.approx(value, rel=rel, abs=1e-6)
            assert getattr(mine.diagnostics, name) == expected_value, name


def check(cells: Sequence[Cell]) -> list[Outcome]:
    """Hold cells that are trained at once against the plain loop."""
    outcomes = together(cells)
    assert_close(outcomes, [alone(cell) for cell in cells])
    for outcome in outcomes:
        cost = outcome.cost
        assert (cost.execution, cost.amortised, cost.device) == ("fused", True, "cpu")
        assert cost.elapsed_s > 0
    return outcomes


def cells_of(rule: str, **changes: Any) -> list[Cell]:
    """Cells of a rule on a small network, of two rates, two radii and two seeds."""
    optimizers = [] if rule == "gd" else [{"name": rule, "space": {"rho": {"values": [0.05, 0.2]}}}]
    space = {"lr": {"values": [0.02, 0.1]}}
    spec = make_spec(**{"gd": rule == "gd", "optimizers": optimizers, "space": space, **changes})
    return list(expand(spec))


BASES: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-3},
    "nesterov": {"name": "sgd", "momentum": 0.9, "nesterov": True},
    "adam": {"name": "adam", "weight_decay": 1e-3},
    "adamw": {"name": "adamw", "weight_decay": 0.01},
}
COSINE = {"epochs": 2, "batch_size": 256, "schedule": "cosine", "warmup": 0.25}


@pytest.mark.parametrize(
    ("rule", "base"),
    [
        ("gd", "adamw"),
        ("sam", "sgd"),
        ("usam", "nesterov"),
        ("msam", "sgd"),
        ("asam", "sgd"),
        ("fisher_sam", "sgd"),
        ("gsam", "adam"),
        ("friendly_sam", "adamw"),
        ("look_sam", "nesterov"),
        ("momentum_sam", "sgd"),
    ],
)
def test_records_are_those_of_the_plain_loop(rule: str, base: str) -> None:
    outcomes = check(cells_of(rule, budget=COSINE, base=BASES[base]))
    assert {outcome.status for outcome in outcomes} == {Status.COMPLETED}


@pytest.mark.parametrize(
    ("task", "params", "budget", "rates"),
    [
        ("alignment-mfeat", {"hidden": 8, "dim": 4}, {"epochs": 1, "batch_size": 400}, [0.05, 0.1]),
        pytest.param(
            "charlm-transformer",
            {"width": 8, "heads": 2, "depth": 1, "train_share": 0.02},
            {"epochs": 1, "batch_size": 64},
            [0.02, 0.1],
            marks=pytest.mark.slow,
        ),
        ("digits-cnn", {"norm": "group", "channels": 2}, {"epochs": 1, "batch_size": 256}, [0.02, 0.1]),
        ("mnist1d-cnn", {"channels": 2}, {"epochs": 1, "batch_size": 1000}, [0.02, 0.1]),
        ("parabola", {"dimension": 1}, {"epochs": 12}, [0.02, 0.1]),
        pytest.param("saddle", {"eigenvalues": [1.0, -1.0, 3.0]}, {"epochs": 12}, [0.02, 0.1], marks=pytest.mark.slow),
        pytest.param("sinc", {}, {"epochs": 12}, [0.02, 0.1], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_records_of_any_task_are_those_of_the_plain_loop(
    task: str, params: dict[str, Any], budget: dict[str, Any], rates: list[float]
) -> None:
    changes = {"tasks": [{"name": task, "params": params}], "budget": budget, "space": {"lr": {"values": rates}}}
    check(cells_of("msam", optimizers=[{"name": "msam", "fixed": {"rho": 0.05}}], **changes))


@pytest.mark.parametrize(
    ("rule", "base", "space"),
    [
        ("gd", {"name": "sgd", "momentum": 0.9}, {"nesterov": {"values": [False, True]}}),
        ("gd", {"name": "sgd"}, {"momentum": {"values": [0, 0.9]}, "weight_decay": {"values": [0, 0.1]}}),
        ("gd", {"name": "adam"}, {"beta1": {"values": [0, 0.9]}, "beta2": {"values": [0.9, 0.9999]}}),
        ("gd", {"name": "adamw"}, {"eps": {"values": [1e-8, 1e-2]}, "weight_decay": {"values": [0, 1]}}),
        ("sam", {"name": "sgd"}, {"rho": {"values": [0, 0.1]}, "rho_warmup": {"values": [0, 0.6]}}),
        ("asam", {"name": "sgd"}, {"eta": {"values": [0, 0.1]}}),
        ("fisher_sam", {"name": "sgd"}, {"eta": {"values": [0, 1]}}),
        ("gsam", {"name": "sgd"}, {"alpha": {"values": [0, 0.4]}}),
        ("friendly_sam", {"name": "sgd"}, {"sigma": {"values": [0, 1]}, "decay": {"values": [0, 0.9]}}),
        ("look_sam", {"name": "sgd"}, {"alpha": {"values": [0, 0.7]}, "k": {"values": [1, 2, 3]}}),
    ],
    ids=str,
)
def test_any_hyperparameter_may_differ_between_cells(rule: str, base: dict[str, Any], space: dict[str, Any]) -> None:
    optimizers = [{"name": rule, "label": "swept", "space": space}]
    rate = 0.02 if base["name"] == "sgd" else 0.01
    changes: dict[str, Any] = {"base": base, "optimizers": optimizers, "gd": False, "seeds": {"count": 1, "base": 3}}
    check(fusible_cells({}, space={"lr": {"values": [rate]}}, budget={"epochs": 4, "batch_size": 5}, **changes))


def test_rules_of_two_labels_may_be_trained_together() -> None:
    """As are SAM and SAM with a warm-up, which a spec lists as two optimizers of one setting."""
    warm = {"name": "sam", "label": "sam-warm", "fixed": {"rho": 0.2, "rho_warmup": 0.5}}
    cells = cells_of("sam", optimizers=[{"name": "sam", "fixed": {"rho": 0.2}}, warm])
    assert {(cell.optimizer, cell.setting.key) for cell in cells} == {
        ("sam", cells[0].setting.key),
        ("sam-warm", cells[0].setting.key),
    }
    check(cells)


@pytest.mark.parametrize("rule", ["gd", "sam", "look_sam"])
def test_a_budget_in_gradient_evaluations_gives_runs_of_their_own_length(rule: str) -> None:
    own = {"k": {"values": [1, 2, 5]}} if rule == "look_sam" else {}
    changes = {"optimizers": [{"name": rule, "space": own, "label": "own"}], "gd": False}
    budget = {"gradient_evaluations": 19, "batch_size": 5}
    outcomes = check(fusible_cells({}, budget=budget, space={"lr": {"values": [0.01, 0.03]}}, **changes))
    steps = {"gd": {19}, "sam": {9}, "look_sam": {9, 12, 15}}[rule]
    assert {outcome.cost.steps for outcome in outcomes} == steps
    assert all(outcome.cost.gradient_evaluations <= 19 for outcome in outcomes)


def test_seeds_may_have_training_splits_of_their_own_size() -> None:
    """Then their epochs have other numbers of steps, 3, 3 and 2, and a warm-up of rho has too."""
    warm = {"name": "sam", "fixed": {"rho": 0.5, "rho_warmup": 0.8}}
    changes = {"space": {"lr": {"values": [0.01, 0.02]}}, "seeds": {"count": 3, "base": 0}, "gd": False}
    budget = {"epochs": 4, "batch_size": 3}
    outcomes = check(fusible_cells({"shrinks": True}, budget=budget, optimizers=[warm], **changes))
    assert [outcome.cost.steps for outcome in outcomes] == [12, 12, 8] * 2


def test_a_batch_larger_than_the_split_is_the_whole_split() -> None:
    check(fusible_cells({"shrinks": True}, budget={"epochs": 3, "batch_size": 64}, seeds={"count": 2, "base": 0}))


def test_one_cell_may_be_alone() -> None:
    check(fusible_cells({}, space={"lr": {"values": [0.05]}}))
    assert together(fusible_cells({})[:1])
    setting = first_cell().setting
    assert train_together(load_task(setting.task, setting.task_params), setting, [], device=CPU, limit_s=1) == []


@pytest.mark.parametrize("kind", ["tied", "modes"])
def test_weights_may_be_tied_and_training_another_mode_than_evaluation(kind: str) -> None:
    check(fusible_cells({"kind": kind}, base=BASES["sgd"]))


def test_seeds_with_the_same_data_are_measured_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """As are those of a task that has none; others each for itself."""
    measure, sizes = Program.measure, list[int]()

    def counting(self: Program, parameters: Any, splits: Any) -> Any:
        sizes.append(len(parameters[0]))
        return measure(self, parameters, splits)

    monkeypatch.setattr(Program, "measure", counting)
    changes = {"seeds": {"count": 3, "base": 0}, "base": {"name": "sgd"}, "space": {"lr": {"values": [0.1, 0.2]}}}
    check(cells_of("gd", tasks=[{"name": "parabola"}], budget={"epochs": 4}, **changes))
    assert sizes == [6] * 4
    sizes.clear()
    check(fusible_cells({}, **changes))
    assert sizes == [2, 2, 2] * 4


def test_the_same_cells_twice_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = cells_of("msam")
    first = [bits(outcome) for outcome in together(cells)]
    torch.manual_seed(12345)
    assert [bits(outcome) for outcome in together(cells)] == first
    monkeypatch.setattr(training, "_programs", {})  # as in a new process
    assert [bits(outcome) for outcome in together(cells)] == first


def test_cells_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    together(fusible_cells({}))
    assert torch.equal(torch.get_rng_state(), state)


def test_neither_order_nor_size_of_a_pack_matters() -> None:
    cells = fusible_cells({}, seeds={"count": 3, "base": 3}, budget={"epochs": 10, "batch_size": 5})
    whole = together(cells)
    assert len({outcome.metrics["test_loss"] for outcome in whole}) == len(cells) == 15
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0)).tolist()
    assert_close(together([cells[place] for place in order]), [whole[place] for place in order])
    for size in (1, 4, 7):
        parts = [together(cells[first : first + size]) for first in range(0, 15, size)]
        assert_close([outcome for part in parts for outcome in part], whole)


def of_rates(*rates: float, **changes: Any) -> list[Cell]:
    """Cells of these learning rates in this order."""
    kept = {"budget": {"epochs": 6, "batch_size": 5}, "base": BASES["sgd"], **changes}
    by_rate = {
        cell.hyperparameters["lr"]: cell
        for cell in fusible_cells({}, space={"lr": {"values": sorted(set(rates))}}, **kept)
    }
    return [by_rate[rate] for rate in rates]


@pytest.mark.parametrize("rule", ["gd", "msam", "friendly_sam"])
@pytest.mark.parametrize("bad", [1e4, 1e20, 3e38])
def test_a_neighbour_that_diverges_changes_nothing(rule: str, bad: float) -> None:
    changes = {"optimizers": [{"name": rule, "label": "own"}], "gd": False}
    among = together(of_rates(0.01, bad, 0.03, 0.02, **changes))
    harmless = together(of_rates(0.01, 0.04, 0.03, 0.02, **changes))
    places = (0, 2, 3)
    assert [bits(among[place]) for place in places] == [bits(harmless[place]) for place in places]
    lost = among[1]
    assert lost.status is Status.DIVERGED
    assert (lost.metrics, lost.collapsed) == ({}, False)
    assert_close(
        [lost], [alone(of_rates(bad, **changes)[0])], rel=1e-2
    )  # what grows at every step has errors that grow


def test_a_seed_whose_data_is_no_number_changes_no_other() -> None:
    changes = {"seeds": {"count": 3, "base": 3}, "space": {"lr": {"values": [0.01, 0.02]}}}
    budget = {"epochs": 6, "batch_size": 5}
    among = together(fusible_cells({"fault": "nan", "seed": 4}, budget=budget, **changes))
    harmless = together(fusible_cells({}, budget=budget, **changes))
    places = (0, 2, 3, 5)
    assert [bits(among[place]) for place in places] == [bits(harmless[place]) for place in places]
    assert [among[place].status for place in (1, 4)] == [Status.DIVERGED] * 2
    expected = [alone(cell) for cell in fusible_cells({"fault": "nan", "seed": 4}, budget=budget, **changes)]
    assert_close(among, expected)


def test_cells_that_diverge_at_other_steps_are_told_apart() -> None:
    """A parabola multiplies theta by |1 - 2 lr| in a step, until its square overflows."""
    rates = [1.5, 2.0, 3.0, 10.0, 1e6, 1e20]
    cells = cells_of(
        "gd",
        tasks=[{"name": "parabola", "params": {"start": [1.0]}}],
        base={"name": "sgd"},
        budget={"epochs": 2_000},
        space={"lr": {"values": rates}},
        seeds={"count": 1},
    )
    outcomes, expected = together(cells), [alone(cell) for cell in cells]
    assert [outcome.diverged_at_step for outcome in outcomes] == [65, 42, 29, 17, 5, 2]
    assert [outcome.cost.steps for outcome in outcomes] == [68, 44, 32, 20, 8, 4]  # an evaluation every 4 steps
    assert_close(outcomes, expected)


def test_where_all_cells_diverge_nothing_is_trained_any_longer() -> None:
    """The clock shows a second more at every look, of which there is one a step."""
    cells = of_rates(1e20, 1e25, 1e30, budget={"epochs": 2_000, "batch_size": 5})
    outcomes = together(cells, clock=itertools.count(0.0, 1.0).__next__)
    assert {outcome.status for outcome in outcomes} == {Status.DIVERGED}
    assert {outcome.cost.steps for outcome in outcomes} == {200}
    assert {outcome.cost.elapsed_s for outcome in outcomes} == {201 / 3}


def test_losses_are_read_before_they_fill_the_memory() -> None:
    """An evaluation comes after every 5,000 steps here, and a reading after 1,000."""
    cells = of_rates(1e20, 1e25, budget={"epochs": 50_000, "batch_size": 5})
    outcomes = together(cells)
    assert {outcome.cost.steps for outcome in outcomes} == {READ_EVERY}
    assert_close(outcomes, [alone(cell) for cell in cells])


def test_runs_end_at_their_limit_with_the_curve_so_far() -> None:
    """Each of two cells may take 10 s, and the clock shows a second more at every look."""
    cells = of_rates(0.01, 1e20, budget={"epochs": 20, "batch_size": 5})
    late, lost = together(cells, limit_s=10, clock=itertools.count(0.0, 1.0).__next__)
    assert late.status is Status.TIMED_OUT
    assert late.cost.steps == 21
    assert late.cost.elapsed_s == lost.cost.elapsed_s == 11.0
    assert late.curve["step"] == tuple(map(float, range(2, 21, 2)))
    assert (late.metrics, late.collapsed) == ({}, False)
    assert (lost.status, lost.cost.steps) == (Status.DIVERGED, 2)
    expected = alone(cells[0], limit_s=20, clock=itertools.count(0.0, 1.0).__next__)
    assert_close([late], [expected])


def test_the_clock_of_a_group_starts_before_its_data_and_models_and_after_the_group_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Data takes 100 s here, a model 10 s, and nothing else takes any; k = 1 and k = 5 give runs of two lengths."""
    now = [0.0]

    def slow(method: Any, seconds: float) -> Any:
        def slowed(self: Fusible, seed: int) -> Any:
            now[0] += seconds
            return method(self, seed)

        return slowed

    swept = {"optimizers": [{"name": "look_sam", "label": "own", "space": {"k": {"values": [1, 5]}}}], "gd": False}
    budget = {"gradient_evaluations": 19, "batch_size": 5}
    cells = fusible_cells({"n_train": 11}, budget=budget, space={"lr": {"values": [0.01, 0.02]}}, **swept)
    cells.sort(key=lambda cell: cell.hyperparameters["k"])
    monkeypatch.setattr(Fusible, "splits", slow(Fusible.splits, 100.0))
    monkeypatch.setattr(Fusible, "model", slow(Fusible.model, 10.0))
    load_task("fusible", cells[0].setting.task_params)._data.cache_clear()
    outcomes = together(cells, limit_s=55.1, clock=lambda: now[0])
    assert [outcome.cost.elapsed_s for outcome in outcomes] == [55.0, 55.0, 5.0, 5.0]
    assert {outcome.status for outcome in outcomes} == {Status.COMPLETED}
    load_task("fusible", cells[0].setting.task_params)._data.cache_clear()
    assert alone(cells[0], clock=lambda: now[0]).cost.elapsed_s == 110.0
    load_task("fusible", cells[0].setting.task_params)._data.cache_clear()
    late = together(cells, limit_s=54.9, clock=lambda: now[0])
    assert [outcome.status for outcome in late] == [Status.TIMED_OUT] * 2 + [Status.COMPLETED] * 2
    assert [outcome.cost.steps for outcome in late] == [1, 1, 15, 15]


def test_runs_that_reach_their_end_late_have_not_timed_out() -> None:
    clock = itertools.chain([0.0, *[1.0] * 3], itertools.repeat(1000.0))
    outcomes = together(of_rates(0.01, 0.02, budget={"epochs": 2, "batch_size": 5}), limit_s=10, clock=clock.__next__)
    assert {outcome.status for outcome in outcomes} == {Status.COMPLETED}


def test_without_learning_a_cell_has_collapsed() -> None:
    outcomes = check(cells_of("gd", space={"lr": {"values": [1e-30, 0.5]}}, budget={"epochs": 3, "batch_size": 128}))
    assert [outcome.collapsed for outcome in outcomes] == [True, True, False, False]


def test_buffers_that_are_the_same_under_every_seed_are_no_matter() -> None:
    check(fusible_cells({"kind": "buffer"}, seeds={"count": 2, "base": 3}))


def test_buffers_that_differ_between_seeds_are_refused() -> None:
    cells = fusible_cells({"kind": "buffer_of_seed"}, seeds={"count": 2, "base": 1}, space={"lr": {"values": [0.001]}})
    words = "must have the same buffers under every seed, but those of fusible differ; let its can_fuse be False"
    with pytest.raises(ValueError, match=words):
        together(cells)
    for cell in cells:  # one seed alone is no harm, whichever was trained before
        assert_close(together([cell]), [alone(cell)])


WRONG = {
    "buffer_assigned": "must leave their buffers alone, but those of fusible change shift; let its can_fuse be False",
    "frozen": "must have a gradient, but those of fusible have none for line.bias; let its can_fuse be False",
    "batch_norm": "attempted to call in-place operation",
    "dropout": "called random operation",
    "branch": "data-dependent control flow",
    "branch_in_score": "data-dependent control flow",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_task_that_is_wrong_about_itself_fails_in_words(kind: str) -> None:
    cells = fusible_cells({"kind": kind}, space={"lr": {"values": [0.01, 0.02]}})
    with pytest.raises((ValueError, RuntimeError), match=WRONG[kind]):
        together(cells)
    places = [PackPlace("pack", 2, place) for place in range(2)]
    for _ in range(2):  # what the first attempt has left changes nothing
        records = train_cells(cells, places, device=CPU, limit_s=60, execution="fused")
        assert [record.outcome.status for record in records] == [Status.FAILED] * 2
        assert all(WRONG[kind] in str(record.outcome.error) for record in records)
    records = train_cells(cells, places, device=CPU, limit_s=60, execution="sequential")
    assert [record.outcome.status for record in records] == [Status.COMPLETED] * 2


def test_tasks_and_optimizers_say_whether_cells_can_be_trained_together() -> None:
    for name, params, can in (
        ("digits-mlp", {}, True),
        ("digits-cnn", {"norm": "batch"}, False),
        ("digits-cnn", {"norm": "none"}, True),
        ("toy", {}, False),
        ("fusible", {}, True),
    ):
        cell = first_cell(tasks=[{"name": name, "params": params}])
        assert can_train_together(load_task(name, cell.setting.task_params), cell.setting) is can


def clock_of(n_steps: int) -> Iterator[float]:
    return itertools.count(0.0, 6.0 * n_steps)


def test_the_seconds_of_a_step_are_those_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"optimizers": [{"name": "look_sam", "label": "own", "fixed": {"k": 3}}], "gd": False}
    cells = fusible_cells({}, space={"lr": {"values": [0.01, 0.02, 0.03]}}, **changes)
    setting = cells[0].setting
    runs = [Run(cell.hyperparameters, cell.seed) for cell in cells]
    update, full = Program.update, list[bool]()

    def spying(self: Program, *given: Any, **named: Any) -> Any:
        full.append(named["twice"] is not None)
        return update(self, *given, **named)

    monkeypatch.setattr(Program, "update", spying)
    task = load_task(setting.task, setting.task_params)
    seconds = step_s(task, setting, runs, device=CPU, n_steps=4, clock=clock_of(4).__next__)
    assert seconds == 2.0
    assert full[-4:] == [False, False, True, False]  # as in the plain loop after its first step


def test_programs_are_kept_for_the_next_group_but_not_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_programs", {})
    together(of_rates(0.01))
    together(of_rates(0.02))
    ((key, kept),) = training._programs.items()
    cell = fusible_cells({})[0]
    task = load_task("fusible")
    model = task.model(0)
    for number in range(training.N_PROGRAMS):
        training._program(number, model, lambda: Program(task, cell.setting, model, {}, 1))
        assert training._program(key, model, lambda: pytest.fail("it is there")) is kept
    assert len(training._programs) == training.N_PROGRAMS
    assert 0 not in training._programs
