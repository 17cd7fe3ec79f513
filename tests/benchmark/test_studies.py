"""Studies are read back with Optuna, and hold what the records say."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from benchmark import Outcome, Spec, Status
from benchmark.frame import results_frame
from benchmark.records import Record, Scalar
from benchmark.spec import Cell, expand
from benchmark.studies import distribution, write_studies
from benchmark.surface import surfaces
from benchmark.tables import grid_infos, scorings
from tests.service.filling import completed, diverged, failed, records_by_key, small_spec, timed_out

pytestmark = pytest.mark.slow  # each trial takes Optuna a hundredth of a second
SPACE = {"lr": {"log": [0.01, 1.0], "n": 2}}


@dataclass(frozen=True)
class Run:
    """A record with its labels."""

    task: str
    optimizer: str
    record: Record

    def __getattr__(self, name: str) -> Any:
        return getattr(self.record if hasattr(self.record, name) else self.record.outcome, name)


def outcome(cell: Cell) -> Outcome:
    """By learning rate and rho: some configurations lose one seed, or all of them."""
    if cell.hyperparameters["lr"] == 0.01:
        return completed(cell)
    endings: dict[tuple[str, float], Callable[[Cell], Outcome]] = {
        ("gd", 0.0): diverged,
        ("sam", 0.1): failed,
        ("sam", 1.0): timed_out,
        ("msam", 0.1): diverged if cell.seed else completed,
        ("msam", 1.0): failed if cell.seed else completed,
    }
    return endings[cell.optimizer, float(cell.hyperparameters.get("rho", 0.0))](cell)


def write(path: Path, spec: Spec, records: dict[str, Record], **options: Any) -> int:
    frame = results_frame(spec, records)
    found = surfaces(frame, scorings(spec), grid_infos(spec), split="validation")
    runs: Iterator[Any] = (
        Run(cell.task, cell.optimizer, records[cell.key]) for cell in expand(spec) if cell.key in records
    )
    return write_studies(path, found, runs, about={"job": "j1"}, **options)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, optuna.Study]:
    path = tmp_path_factory.mktemp("studies") / "studies of a job.db"
    spec = Spec.from_mapping(small_spec(space=SPACE))
    assert write(path, spec, records_by_key(spec, outcome)) == 10
    storage = f"sqlite:///{path}"
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def trial(study: optuna.Study, **params: float) -> optuna.trial.FrozenTrial:
    (found,) = [one for one in study.trials if params.items() <= one.params.items()]
    return found


def test_a_study_is_an_optimizer_on_a_task_and_says_what_it_is_of(studies: dict[str, optuna.Study]) -> None:
    assert sorted(studies) == ["digits-mlp/gd", "digits-mlp/msam", "digits-mlp/sam"]
    study = studies["digits-mlp/sam"]
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["val_accuracy"]
    assert study.user_attrs == {
        "job": "j1",
        "task": "digits-mlp",
        "optimizer": "sam",
        "metric": "accuracy",
        "design": "grid",
        "seeds": [0, 1],
    }
    assert [len(study.trials) for study in studies.values()] == [2, 4, 4]


def test_the_axes_of_the_spec_are_the_distributions(studies: dict[str, optuna.Study]) -> None:
    assert studies["digits-mlp/msam"].trials[0].distributions == {
        "lr": FloatDistribution(0.01, 1.0, log=True),
        "rho": CategoricalDistribution((0.1, 1.0)),
    }
    assert set(studies["digits-mlp/gd"].trials[0].distributions) == {"lr"}


@pytest.mark.parametrize(
    ("scale", "values", "expected"),
    [
        ("log", (0.1, 1.0, 10.0), FloatDistribution(0.1, 10.0, log=True)),
        ("linear", (0.0, 0.5), FloatDistribution(0.0, 0.5)),
        ("log", (1, 2, 4), IntDistribution(1, 4, log=True)),
        ("linear", (2,), IntDistribution(2, 2)),
        ("values", (False, True), CategoricalDistribution((False, True))),
    ],
)
def test_every_axis_has_a_distribution(scale: Any, values: tuple[Scalar, ...], expected: object) -> None:
    assert distribution(scale, values) == expected


def test_a_trial_is_a_configuration_and_its_value_the_mean_over_the_seeds(studies: dict[str, optuna.Study]) -> None:
    study = studies["digits-mlp/sam"]
    found = trial(study, lr=0.01, rho=0.1)
    values = [0.9 + 0.001 - 0.02 + 0.001 * seed for seed in (0, 1)]
    assert found.state == TrialState.COMPLETE
    assert found.value == pytest.approx(statistics.fmean(values))
    attributes = found.user_attrs
    assert (attributes["status"], attributes["n_missing"], attributes["n_diverged"]) == ("completed", 0, 0)
    assert attributes["sd"] == pytest.approx(statistics.stdev(values))
    assert attributes["seed_1"]["status"] == "completed"
    assert attributes["seed_1"]["test_accuracy"] == pytest.approx(values[1] - 0.01)
    assert attributes["fixed"]["momentum"] == 0.0
    assert found.intermediate_values == pytest.approx(
        {step: statistics.fmean(values) * count for count, step in enumerate((5, 10, 16), start=1)}
    )
    assert study.best_params == {"lr": 0.01, "rho": 0.1}


def test_a_diverged_run_counts_as_in_the_table_and_keeps_its_status(studies: dict[str, optuna.Study]) -> None:
    all_of_it = trial(studies["digits-mlp/gd"], lr=1.0)
    assert (all_of_it.state, all_of_it.value, all_of_it.user_attrs["status"]) == (TrialState.COMPLETE, 0.1, "diverged")
    assert all_of_it.user_attrs["n_diverged"] == 2
    assert all_of_it.user_attrs["seed_0"] == {"status": "diverged", "diverged_at_step": 7}
    assert all_of_it.intermediate_values == {}
    one_seed = trial(studies["digits-mlp/msam"], lr=1.0, rho=0.1)
    assert one_seed.state == TrialState.COMPLETE
    assert one_seed.value == pytest.approx((0.9 + 0.1 - 0.02 + 0.1) / 2)
    assert (one_seed.user_attrs["status"], one_seed.user_attrs["n_diverged"]) == ("mixed", 1)
    assert one_seed.intermediate_values == {}, "the mean of the others would rise where one diverged"


def test_what_has_no_result_has_no_value(studies: dict[str, optuna.Study]) -> None:
    lost = trial(studies["digits-mlp/sam"], lr=1.0, rho=0.1)
    assert (lost.state, lost.value, lost.user_attrs["status"]) == (TrialState.FAIL, None, "failed")
    assert lost.user_attrs["seed_0"]["error"] == "RuntimeError: no luck"
    late = trial(studies["digits-mlp/sam"], lr=1.0, rho=1.0)
    assert (late.state, late.value, late.user_attrs["status"]) == (TrialState.PRUNED, None, "timed_out")
    one_seed = trial(studies["digits-mlp/msam"], lr=1.0, rho=1.0)
    assert (one_seed.state, one_seed.user_attrs["n_missing"]) == (TrialState.COMPLETE, 1)
    assert one_seed.value == pytest.approx(0.9 + 0.1 - 0.2)


def test_a_search_goes_on_from_a_study(studies: dict[str, optuna.Study]) -> None:
    warm = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=1))
    warm.add_trials(studies["digits-mlp/gd"].trials)
    warm.optimize(lambda one: one.suggest_float("lr", 0.01, 1.0, log=True), n_trials=2)
    assert len(warm.trials) == 4


def test_a_design_has_the_interval_it_was_drawn_from_and_what_was_not_tried_is_no_trial(tmp_path: Path) -> None:
    search = {"method": "sobol", "n_configurations": 4}
    spec = Spec.from_mapping(small_spec(space={"lr": {"log": [0.01, 1.0]}}, search=search, optimizers=[{"name": "gd"}]))
    records = dict(list(records_by_key(spec).items())[:2])
    counts: list[int] = []
    n_trials = write(
        tmp_path / "a.db", spec, records, interval_of=lambda optimizer, axis: (0.01, 1), on_trial=counts.append
    )
    assert (n_trials, counts) == (1, [1])
    (found,) = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'a.db'}").trials
    assert found.distributions == {"lr": FloatDistribution(0.01, 1.0, log=True)}


def test_a_curve_ends_where_it_is_not_finite(tmp_path: Path) -> None:
    def breaking(cell: Cell) -> Outcome:
        made = completed(cell)
        curve = {**made.curve, "val_accuracy": (0.1, 0.2, math.nan)}
        return Outcome(Status.TIMED_OUT, {}, curve, made.cost, made.diagnostics)

    spec = Spec.from_mapping(small_spec(optimizers=[], space={"lr": {"values": [0.1]}}))
    write(tmp_path / "a.db", spec, records_by_key(spec, breaking))
    (found,) = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'a.db'}").trials
    assert found.intermediate_values == pytest.approx({5: 0.1, 10: 0.2})
