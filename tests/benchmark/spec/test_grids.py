import copy
import time
from typing import Any

import pytest

from benchmark import Spec
from benchmark.canonical import content_hash
from benchmark.spec import Setting, config_key, expand
from tests.benchmark.toys import document, first_cell, make_spec


def keys(spec: Spec) -> list[str]:
    return [cell.key for cell in expand(spec)]


def test_cells_come_in_order_and_lazily() -> None:
    spec = make_spec()
    cells = list(expand(spec))
    assert len(cells) == len(set(keys(spec))) == spec.n_cells == 24
    assert [grid.n_configurations for grid in spec.grids] == [3, 6, 3]
    assert [cell.optimizer for cell in cells] == ["gd"] * 6 + ["sam"] * 12 + ["msam"] * 6
    assert [cell.seed for cell in cells[:4]] == [3, 4, 3, 4]
    assert [cell.hyperparameters["lr"] for cell in cells[6:18:2]] == [0.01, 0.01, 0.1, 0.1, 1.0, 1.0]


def test_a_grid_is_counted_without_being_expanded() -> None:
    names = ("lr", "rho", "sigma", "decay", "rho_warmup", "beta1", "beta2", "eps", "weight_decay")
    axes = {name: {"log": [0.001, 0.5], "n": 100} for name in names}
    big = document(base={"name": "adam"}, optimizers=[{"name": "friendly_sam", "space": axes}], seeds={"count": 100})
    Spec.from_mapping(document())
    started = time.perf_counter()
    spec = Spec.from_mapping(big, max_cells=10**30)
    assert time.perf_counter() - started < 0.5
    assert spec.grids[1].n_configurations == 100**9
    first = next(expand(spec))
    assert first.seed == 0


def test_keys_stay_what_they_are() -> None:
    """Records of every store are found by these; a change makes all of them strangers."""
    cells = list(expand(make_spec()))
    assert cells[0].setting.key == "eac8c64ed43022e4c02e241b4905f4c9"
    assert cells[0].key == "dd98fb9c9c6153bfdc932b065c84fc53"
    assert cells[-1].key == "5a95f883da06daf71c08bcb7b502f5c4"


SAME: dict[str, dict[str, Any]] = {
    "name": {"name": "another", "tags": ["a"], "priority": 3, "reuse": False},
    "limits": {"limits": {"cell_s": 1, "job_s": 2}},
    "resources": {"resources": {"pack": 3, "max_concurrent": 1}},
    "metric": {"metric": {"name": "loss", "tolerance": 1}},
    "values for log": {"space": {"lr": {"values": [0.01, 0.1, 1]}}},
    "text": {"space": {"lr": {"log": ["1e-2", "1e0"], "n": 3}}},
    "defaults": {"budget": {"epochs": 1, "batch_size": 256, "schedule": "constant", "warmup": 0}},
    "base default": {"base": {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0}},
    "negative zero": {"base": {"name": "sgd", "momentum": 0.9, "weight_decay": -0.0}},
    "task label": {"tasks": [{"name": "digits-mlp", "label": "d", "params": {"hidden": 8, "depth": 1}}]},
    "noise": {"base": {"name": "sgd", "momentum": 0.9 + 1e-15}},
    "momentum from fixed": {"base": {"name": "sgd"}, "fixed": {"momentum": 0.9}},
}
OTHER: dict[str, dict[str, Any]] = {
    "epochs": {"budget": {"epochs": 2, "batch_size": 256}},
    "batch": {"budget": {"epochs": 1, "batch_size": 255}},
    "schedule": {"budget": {"epochs": 1, "batch_size": 256, "schedule": "cosine"}},
    "warmup": {"budget": {"epochs": 1, "batch_size": 256, "warmup": 0.1}},
    "evaluations": {"budget": {"gradient_evaluations": 4, "batch_size": 256}},
    "momentum": {"base": {"name": "sgd", "momentum": 0.8}},
    "base": {"base": {"name": "adamw"}},
    "nesterov": {"base": {"name": "sgd", "momentum": 0.9, "nesterov": True}},
    "params": {"tasks": [{"name": "digits-mlp", "params": {"hidden": 9}}]},
    "seeds": {"seeds": {"count": 2, "base": 5}},
    "lr": {"space": {"lr": {"log": [0.011, 1.1], "n": 3}}},
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME.keys())
def test_what_does_not_make_a_configuration_does_not_count(changes: dict[str, Any]) -> None:
    assert keys(make_spec(**changes)) == keys(make_spec())


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER.keys())
def test_everything_else_counts(changes: dict[str, Any]) -> None:
    assert not set(keys(make_spec(**changes))) & set(keys(make_spec()))


def test_a_share_of_warmup_is_rounded_like_every_number() -> None:
    first, second = (make_spec(budget={"epochs": 1, "warmup": share}) for share in (0.3, 0.1 + 0.2))
    assert keys(first) == keys(second)


def test_labels_and_the_order_of_keys_do_not_count() -> None:
    backwards = dict(reversed(document().items()))
    backwards["optimizers"] = [
        dict(reversed({**entry, "label": f"x{i}"}.items())) for i, entry in enumerate(backwards["optimizers"])
    ]
    assert keys(Spec.from_mapping(backwards)) == keys(make_spec())


def test_the_version_of_a_task_counts() -> None:
    setting = first_cell().setting
    newer = Setting(setting.task, 2, setting.task_params, setting.rule, setting.base, setting.budget)
    assert newer.key != setting.key


@pytest.mark.parametrize("partner", [None, "0" * 32])
@pytest.mark.parametrize("hyperparameters", [{}, {"rho": 0.05, "lr": 1e-05, "n": 3, "nesterov": True, "z": -0.0}])
def test_a_key_is_the_hash_of_the_whole_document(partner: str | None, hyperparameters: dict[str, Any]) -> None:
    setting = make_spec().grids[0].setting
    document = {"setting": setting.key, "hyperparameters": hyperparameters, "seed": 7}
    whole = document if partner is None else {**document, "partner": partner}
    assert config_key(setting, hyperparameters, 7, partner) == content_hash(whole)


def test_the_type_of_a_value_counts_in_a_key() -> None:
    setting = first_cell().setting
    assert len({config_key(setting, {"k": value}, 0) for value in (1, 1.0, True)}) == 3


def test_a_setting_survives_its_dictionary() -> None:
    for cell in (first_cell(), first_cell(budget={"gradient_evaluations": 4, "warmup": 0.123})):
        back = Setting.from_dict(copy.deepcopy(cell.setting.to_dict()))
        assert back == cell.setting
        assert back.key == cell.setting.key


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ({"rho": {"values": [0.1, 0.2]}}, {"rho": {"values": [0.2, 0.3]}}, True),
        ({"rho": {"values": [0.1, 0.2]}}, {"rho": {"values": [0.3]}}, False),
        ({"rho": {"log": [0.1, 10], "n": 3}}, {"rho": {"linear": [0, 2], "n": 3}}, True),
    ],
)
def test_grids_overlap_where_they_share_a_point(first: Any, second: Any, overlap: bool) -> None:
    grids = [make_spec(optimizers=[{"name": "sam", "space": space}]).grids[1] for space in (first, second)]
    assert grids[0].overlaps(grids[1]) is overlap
    points = [{tuple(configuration.items()) for configuration in grid.configurations()} for grid in grids]
    assert bool(points[0] & points[1]) is overlap
    assert not grids[0].overlaps(make_spec().grids[0])
