from dataclasses import replace

import pandas as pd
import pytest

from benchmark.execution import failed_record, train_cell
from benchmark.frame import results_frame
from benchmark.records import PackPlace, Status
from benchmark.running import Records
from benchmark.spec import expand
from benchmark.tables import grid_infos, scorings, spec_table
from tests.benchmark.toys import CPU, make_spec

SPEC = make_spec()
CELLS = tuple(expand(SPEC))
PLACE = PackPlace("pack", 1, 0)


def test_a_frame_without_records_has_every_row_and_column() -> None:
    frame = results_frame(SPEC, {})
    assert len(frame) == SPEC.n_cells == 24
    assert set(frame["status"]) == {"missing"}
    assert not frame["collapsed"].any()
    assert frame["test_accuracy"].isna().all()
    assert list(frame["config_key"]) == [cell.key for cell in CELLS]


def test_rows_hold_what_the_records_hold() -> None:
    trained = train_cell(CELLS[0], PLACE, device=CPU, limit_s=60)
    diverged = replace(
        trained,
        config_key=CELLS[1].key,
        outcome=replace(trained.outcome, status=Status.DIVERGED, metrics={}, diverged_at_step=2, collapsed=False),
    )
    failed = failed_record(CELLS[2], PLACE, CPU, "no")
    stranger = replace(trained, config_key="of another spec")
    records = {record.config_key: record for record in (trained, diverged, failed, stranger)}
    frame = results_frame(SPEC, records)
    assert list(frame["status"][:4]) == ["completed", "diverged", "failed", "missing"]
    assert frame["test_accuracy"][0] == trained.outcome.metrics["test_accuracy"]
    assert frame["test_accuracy"][1:].isna().all()
    assert frame["diverged_at_step"][1] == 2
    assert list(frame["gradient_evaluations"][:2]) == [trained.outcome.cost.gradient_evaluations] * 2
    pd.testing.assert_frame_equal(Records(SPEC, tuple(records.values())).to_pandas(), frame)


def test_types_and_order_of_the_columns() -> None:
    frame = results_frame(SPEC, {})
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types["seed"] == "int64"
    assert types["collapsed"] == types["nesterov"] == types["amortised"] == "boolean"
    assert {types[name] for name in ("task", "optimizer", "status", "config_key", "execution")} == {"str"}
    assert {types[name] for name in ("lr", "rho", "momentum", "val_loss", "elapsed_s")} == {"float64"}
    names = list(frame.columns)
    assert names[:4] == ["task", "optimizer", "lr", "rho"]
    assert names[-1] == "config_key"
    assert len(names) == len(set(names))


def test_a_hyperparameter_that_an_optimizer_lacks_is_nan() -> None:
    frame = results_frame(SPEC, {})
    assert frame.loc[frame["optimizer"] == "gd", "rho"].isna().all()
    assert frame.loc[frame["optimizer"] != "gd", "rho"].notna().all()


def test_tables_know_tasks_and_grids() -> None:
    (scoring,) = scorings(SPEC)
    assert (scoring.task, scoring.metric, scoring.goal) == ("digits-mlp", "accuracy", "maximize")
    axes = {info.optimizer: [axis.name for axis in info.axes] for info in grid_infos(SPEC)}
    assert axes == {"gd": ["lr"], "sam": ["lr", "rho"], "msam": ["lr"]}


def test_a_table_of_nothing_is_incomplete() -> None:
    table = spec_table(SPEC, {})
    assert not table.complete


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_table_counts_fingerprints(metric: str) -> None:
    spec = make_spec(
        metric={"name": metric}, optimizers=[], space={"lr": {"values": [0.1]}}, seeds={"count": 2, "base": 0}
    )
    records = {}
    for cell in expand(spec):
        records[cell.key] = train_cell(cell, PLACE, device=CPU, limit_s=60)
    table = spec_table(spec, records)
    assert table.complete
    assert list(table.fingerprints) == [next(iter(records.values())).fingerprint]


def test_a_table_is_mixed_where_runs_of_one_kind_have_different_fingerprints() -> None:
    tasks = [{"name": "digits-mlp", "params": {"hidden": 8}}, {"name": "breast-cancer-mlp"}]
    changes = {"optimizers": [], "space": {"lr": {"values": [0.1]}}, "seeds": {"count": 2, "base": 0}}
    spec = make_spec(tasks=tasks, **changes)
    records = {cell.key: train_cell(cell, PLACE, device=CPU, limit_s=60) for cell in expand(spec)}
    assert len(spec_table(spec, records).fingerprints) == 2, "the data of two tasks"
    assert not spec_table(spec, records).mixed
    key = next(iter(records))
    records[key] = replace(records[key], fingerprint="f" * 32)
    assert spec_table(spec, records).mixed
