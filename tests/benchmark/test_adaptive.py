"""Adaptive searches without Ray's workers: what is known, what a configuration scores, and what TPE makes of it."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from benchmark import BenchmarkError, RayOptions, Record, Spec, Status
from benchmark.adaptive import AdaptiveSearch, adaptive_searches
from benchmark.execution import failed_record
from benchmark.frame import results_frame
from benchmark.known import known_cells, sample_cells
from benchmark.rayenv import prepare_ray_environment
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace
from benchmark.spec import Cell
from benchmark.tables import spec_table
from tests.benchmark.toys import CPU, make_spec

PLACE = PackPlace("pack", 1, 0)
N_SEEDS = 2


def tpe_spec(n: int = 8, **changes: Any) -> Spec:
    given: dict[str, Any] = {
        "optimizers": [{"name": "sam", "space": {"rho": {"log": [0.01, 1.0]}}}],
        "space": {"lr": {"log": [1e-3, 1.0]}},
        "search": {"method": "tpe", "n_configurations": n},
        "gd": False,
        "seeds": {"count": N_SEEDS},
    }
    return make_spec(**{**given, **changes})


def record_of(cell: Cell, score: float | None, status: Status = Status.COMPLETED) -> Record:
    """A record with this validation score; None diverged."""
    if score is None:
        status = Status.DIVERGED
    metrics = {"train_loss": 1.0, "val_accuracy": score, "test_accuracy": score, "val_loss": 1.0, "test_loss": 1.0}
    outcome = Outcome(
        status,
        {name: value for name, value in metrics.items() if value is not None} if status is Status.COMPLETED else {},
        {},
        Cost(1, 2, 0.1, False, "sequential", "cpu"),
        Diagnostics(None, None),
        diverged_at_step=1 if status is Status.DIVERGED else None,
    )
    return Record(cell.key, "made by", cell.setting.key, cell.hyperparameters, cell.seed, outcome, PLACE)


def search_of(spec: Spec, records: Mapping[str, Record] | None = None) -> AdaptiveSearch:
    (search,) = adaptive_searches(spec, records or {}, [])
    return search


def hyperparameters(spec: Spec, lr: float, rho: float) -> dict[str, Any]:
    return spec.grids[0].configuration((lr, rho))


def test_what_is_known_comes_from_the_records_in_their_order() -> None:
    spec = tpe_spec()
    (grid,) = spec.grids
    assert list(known_cells(spec, {})) == []
    chosen = [hyperparameters(spec, 0.5, 0.02), hyperparameters(spec, 0.01, 0.9)]
    cells = [cell for one in chosen for cell in grid.cells_of(one, spec.seeds.values)]
    stranger = next(grid.cells_of(hyperparameters(spec, 5.0, 0.02), [0]))
    records = {cell.key: record_of(cell, 0.5) for cell in (stranger, cells[0], cells[2])}
    assert [cell.key for cell in known_cells(spec, records)] == [cell.key for cell in cells]
    frame = results_frame(spec, records)
    assert list(frame["lr"]) == [0.5, 0.5, 0.01, 0.01]
    assert list(frame["status"]) == ["completed", "missing"] * 2
    assert len({cell.setting.key for cell in sample_cells(spec)}) == 1
    assert len(list(sample_cells(spec))) == N_SEEDS


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.8, 0.6), 0.7),
        ((0.8, None), 0.45),
        ((None, None), 0.1),
        ((0.8, Status.FAILED), 0.8),
        ((Status.TIMED_OUT, Status.FAILED), 0.1),
    ],
)
def test_a_configuration_scores_its_validation_mean_with_the_floor_for_what_diverged(
    scores: tuple[Any, Any], expected: float
) -> None:
    spec = tpe_spec()
    search = search_of(spec)
    cells = search.begin(hyperparameters(spec, 0.1, 0.1))
    assert (search.n_left, len(cells)) == (7, N_SEEDS)
    told = [
        search.take(record_of(cell, 0.0, score) if isinstance(score, Status) else record_of(cell, score))
        for cell, score in zip(cells, scores, strict=True)
    ]
    assert told == [None, pytest.approx(expected)]
    assert search.is_known(hyperparameters(spec, 0.1, 0.1))


def test_a_search_goes_on_from_its_records_and_waits_for_what_is_missing() -> None:
    spec = tpe_spec()
    (grid,) = spec.grids
    whole, half = (list(grid.cells_of(hyperparameters(spec, lr, 0.1), spec.seeds.values)) for lr in (0.1, 0.2))
    failed = failed_record(half[1], PLACE, CPU, "no")
    records = {record.config_key: record for record in (*(record_of(cell, 0.5) for cell in (*whole, half[0])), failed)}
    (search,) = adaptive_searches(spec, records, [half[1]])
    assert search.n_left == 6
    assert list(search.tried.values()) == [pytest.approx(0.5)]
    assert search.take(record_of(half[1], 0.7)) == pytest.approx(0.6)


@pytest.fixture(scope="module")
def tpe() -> Any:
    prepare_ray_environment(RayOptions())
    from benchmark.raysearch import TpeSearch

    return TpeSearch


def quality(cell: Cell) -> float:
    """A score with its best at lr .1, rho .1."""
    lr, rho = (math.log10(float(cell.hyperparameters[name])) for name in ("lr", "rho"))
    return max(0.0, 0.9 - 0.3 * ((lr + 1) ** 2 + (rho + 1) ** 2))


def play(search: Any, n: int) -> list[float]:
    """Let a search choose and learn; return the score of each configuration."""
    scores = []
    for _ in range(n):
        _, cells = search.suggest()
        scores.append(quality(cells[0]))
        for cell in cells:
            search.take(record_of(cell, quality(cell) or None))
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_tpe_comes_near_the_best_and_tries_it_more_often_than_chance(tpe: Any, seed: int) -> None:
    spec = tpe_spec(60, search={"method": "tpe", "n_configurations": 60, "seed": seed})
    scores = play(tpe(search_of(spec)), 60)
    assert max(scores) > 0.88
    assert sum(scores[30:]) > 1.3 * sum(scores[:10]) * 3
    assert play(tpe(search_of(spec)), 60) == scores  # one configuration after another it is a function of its seed


def test_a_search_that_goes_on_knows_what_was_tried_and_does_not_begin_again(tpe: Any) -> None:
    spec = tpe_spec(40)
    first = search_of(spec)
    begun = tpe(first)
    records: dict[str, Record] = {}
    for _ in range(20):
        _, cells = begun.suggest()
        for cell in cells:
            records[cell.key] = record_of(cell, quality(cell) or None)
            begun.take(records[cell.key])
    again = search_of(spec, records)
    assert again.tried == pytest.approx(first.tried)
    assert again.n_left == 20
    scores = play(tpe(again), 20)
    assert again.n_left == 0
    assert len(again.tried) == 40
    assert sum(scores) / 20 > sum(first.tried.values()) / 20


def test_a_configuration_that_was_under_way_is_learned_from_when_its_last_cell_comes(tpe: Any) -> None:
    spec = tpe_spec()
    (grid,) = spec.grids
    cells = list(grid.cells_of(hyperparameters(spec, 0.1, 0.1), spec.seeds.values))
    records = {cells[0].key: record_of(cells[0], 0.5)}
    (search,) = adaptive_searches(spec, records, [cells[1]])
    going_on = tpe(search)
    going_on.take(record_of(cells[1], 0.7))
    assert list(search.tried.values()) == [pytest.approx(0.6)]
    assert len(going_on._optuna._ot_study.trials) == 1


def test_a_restart_with_everything_under_way_suggests_something_new_and_tells_no_floor(tpe: Any) -> None:
    spec = tpe_spec()
    begun, records = tpe(search_of(spec)), {}
    for _ in range(3):
        _, cells = begun.suggest()
        records[cells[0].key] = record_of(cells[0], 0.9)
    missing = [cell for cell in known_cells(spec, records) if cell.key not in records]
    assert len(missing) == 3
    (search,) = adaptive_searches(spec, records, missing)
    going_on = tpe(search)
    known = list(search.pending)
    for _ in range(search.n_left):
        chosen, _ = going_on.suggest()
        assert tuple(chosen.items()) not in known
    for cell in missing:
        going_on.take(record_of(cell, 0.9))
    told = [trial.value for trial in going_on._optuna._ot_study.trials if trial.value is not None]
    assert told == [pytest.approx(0.9)] * 3


def test_values_of_every_kind_are_typed(tpe: Any) -> None:
    space = {"k": {"linear": [2, 5]}, "rho": {"linear": [0.1, 0.2]}, "momentum": {"values": [0.0, 0.9]}}
    spec = tpe_spec(optimizers=[{"name": "look_sam", "space": space}], base={"name": "sgd"})
    search = tpe(search_of(spec))
    for _ in range(8):
        chosen, cells = search.suggest()
        assert spec.grids[0].holds(spec.grids[0].setting.key, chosen)
        assert type(chosen["k"]) is int
        for cell in cells:
            search.take(record_of(cell, 0.5))


@pytest.mark.slow
def test_a_space_in_which_nothing_is_new_ends_with_a_sentence(tpe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tpe_spec()
    search = search_of(spec)
    monkeypatch.setattr(search, "is_known", lambda configuration: True)
    with pytest.raises(BenchmarkError, match="every configuration must be new, but the last 1000"):
        tpe(search).suggest()


def test_a_table_of_an_adaptive_search_traces_it_in_the_order_of_the_records() -> None:
    spec = tpe_spec(3)
    (grid,) = spec.grids
    scores = {0.5: 0.3, 0.01: 0.8, 0.1: 0.6}
    cells = [cell for lr in scores for cell in grid.cells_of(hyperparameters(spec, lr, 0.1), spec.seeds.values)]
    records = {cell.key: record_of(cell, scores[float(cell.hyperparameters["lr"])]) for cell in cells}
    row = spec_table(spec, records).row("digits-mlp", "sam")
    assert row.grid.trace == pytest.approx((0.3, 0.8, 0.8))
