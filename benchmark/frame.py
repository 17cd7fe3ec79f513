"""Records as a data frame: one row a cell of a spec, with or without a record."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.known import known_cells
from benchmark.records import Cost, Record
from benchmark.sharpness import columns_of
from benchmark.spec import Spec
from benchmark.tasks import task_class

MISSING = "missing"
COST_COLUMNS = tuple(item.name for item in fields(Cost))


def results_frame(spec: Spec, records: Mapping[str, Record]) -> pd.DataFrame:
    """Return one row a known cell, in the order of the spec; an adaptive search's in the order of its records.

    Columns are `task`, `optimizer` (labels), `seed`, `config_key`, `status` (`missing` for a cell without a record),
    `collapsed`, `diverged_at_step`, every hyperparameter (NaN where an optimizer has none of that name), every metric
    and every measure of sharpness that the spec asks for (NaN unless completed), `grad_norm`, `delta_over_rho`,
    `mean_delta` and the parts of the cost. Where the spec has controls there is their `radius`, at which they were
    trained; their rho is that of their M-SAM cell.

    Args:
        spec: whose cells are the rows.
        records: by config_key; those of cells that the spec does not have are left out.
    """
    kinds = frame_columns(spec)
    columns: dict[str, list[object]] = {name: [] for name in kinds}
    ends = [(name, column.append) for name, column in columns.items()]
    for cell in known_cells(spec, records):
        row: dict[str, object] = {
            "task": cell.task,
            "optimizer": cell.optimizer,
            "seed": cell.seed,
            "config_key": cell.key,
            **cell.hyperparameters,
            **_outcome(records.get(cell.key)),
        }
        value_of = row.get
        for name, append in ends:
            append(value_of(name))
    return pd.DataFrame({name: pd.Series(column, dtype=kinds[name]) for name, column in columns.items()})


def columns_frame(spec: Spec, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Return what `results_frame` does, from columns and without a record: to make a hundred thousand takes seconds.

    Args:
        spec: without an adaptive search, whose cells are known by its records alone.
        columns: by name, a row a record: `config_key`, what the record was, its metrics, diagnostics and cost, and of a
            control its `radius`. Numbers and truth values are NaN where there is none, texts are None.
    """
    kinds = frame_columns(spec)
    cells = _cell_columns(spec)
    place_of = {key: place for place, key in enumerate(columns["config_key"].tolist())}
    places = np.array([place_of.get(key, -1) for key in cells["config_key"].tolist()], dtype=np.intp)
    filled = {"status": MISSING, "collapsed": False}
    found = {
        name: cells[name] if name in cells else _on_rows(columns.get(name), places, kind, filled.get(name))
        for name, kind in kinds.items()
    }
    return pd.DataFrame({name: _series(found[name], kind) for name, kind in kinds.items()})


def _cell_columns(spec: Spec) -> dict[str, NDArray[Any]]:
    """Return what all cells of a spec are, by columns; NaN where an optimizer has no hyperparameter of that name."""
    seeds = spec.seeds.values
    names = {name for grid in spec.grids for name in (*grid.fixed, *(axis.name for axis in grid.axes))}
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("task", "optimizer", "seed", "config_key", *names)}
    for grid in spec.grids:
        configurations = list(grid.configurations())
        n_rows = len(configurations) * len(seeds)
        parts["task"].append(np.full(n_rows, grid.task, dtype=object))
        parts["optimizer"].append(np.full(n_rows, grid.optimizer, dtype=object))
        parts["seed"].append(np.tile(np.array(seeds, dtype=np.int64), len(configurations)))
        keys = [key for configuration in configurations for key in grid.keys_of(configuration, seeds)]
        parts["config_key"].append(np.array(keys, dtype=object))
        for name in names:
            values = [configuration.get(name, np.nan) for configuration in configurations]
            parts[name].append(np.repeat(np.array(values, dtype=np.float64), len(seeds)))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _on_rows(values: NDArray[Any] | None, places: NDArray[np.intp], kind: str, otherwise: object) -> NDArray[Any]:
    """Return a column of records on the rows of cells, each of which has its record at a place, or none at -1."""
    found = np.full(len(places), otherwise, dtype=object if kind == "str" else np.float64)  # None is NaN in the latter
    if values is not None:
        has_record = places >= 0
        found[has_record] = values[places[has_record]]
    return found


def _series(values: NDArray[Any], kind: str) -> pd.Series:
    if kind == "boolean":
        return pd.Series(pd.arrays.BooleanArray(values == 1.0, np.isnan(values)))
    return pd.Series(values, dtype=kind)


def frame_columns(spec: Spec) -> dict[str, str]:
    """Return the columns of a spec's data frame with their types, in an order for people.

    What a cell is, its hyperparameters, how it ended, its scores, its cost.
    """
    return {name: _dtype(name) for name in _columns(spec)}


def _outcome(record: Record | None) -> dict[str, object]:
    if record is None:
        return {"status": MISSING, "collapsed": False}
    outcome = record.outcome
    return {
        "status": str(outcome.status),
        "collapsed": outcome.collapsed,
        "diverged_at_step": outcome.diverged_at_step,
        **outcome.metrics,
        "grad_norm": outcome.diagnostics.grad_norm,
        "delta_over_rho": outcome.diagnostics.delta_over_rho,
        "mean_delta": outcome.diagnostics.mean_delta,
        "radius": record.hyperparameters.get("radius"),
        **{name: getattr(outcome.cost, name) for name in COST_COLUMNS},
    }


def _dtype(name: str) -> str:
    if name in ("task", "optimizer", "config_key", "status", "execution", "device"):
        return "str"
    if name in ("collapsed", "amortised", "nesterov"):
        return "boolean"
    return "int64" if name == "seed" else "float64"


def _columns(spec: Spec) -> list[str]:
    swept = [axis.name for grid in spec.grids for axis in grid.axes]
    fixed = [name for grid in spec.grids for name in grid.fixed]
    scores = [
        score
        for task in dict.fromkeys(task_class(grid.setting.task) for grid in spec.grids)
        for metric in task.metrics
        for score in task.score_names(metric.name)
    ]
    ending = ["seed", "status", "collapsed", "diverged_at_step", "train_loss"]
    measured = [*columns_of(spec.sharpness), "grad_norm", "delta_over_rho", "mean_delta", *COST_COLUMNS, "config_key"]
    radius = ["radius"] if any(grid.partner for grid in spec.grids) else []
    return list(dict.fromkeys(["task", "optimizer", *swept, *fixed, *radius, *ending, *scores, *measured]))
