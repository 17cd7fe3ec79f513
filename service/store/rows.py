"""Between a record and its row: words go into a shape that many records share, numbers into packed columns."""

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from benchmark.canonical import content_hash
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Scalar, Status
from service.store import checks
from service.store.codec import pack_curve, pack_numbers, unpack_curve, unpack_numbers
from service.store.errors import InvalidValueError


def shape_of(record: Record) -> tuple[str, Mapping[str, Any]]:
    """Return the key and the document of a record's shape."""
    outcome, cost = record.outcome, record.outcome.cost
    hyperparameters, metrics, curve = map(tuple, (record.hyperparameters, outcome.metrics, outcome.curve))
    has_mean_delta = outcome.diagnostics.mean_delta is not None
    return _shape(hyperparameters, metrics, curve, cost.execution, cost.device, has_mean_delta=has_mean_delta)


@functools.lru_cache(maxsize=256)
def _shape(
    hyperparameters: tuple[str, ...],
    metrics: tuple[str, ...],
    curve: tuple[str, ...],
    execution: str,
    device: str,
    *,
    has_mean_delta: bool,
) -> tuple[str, Mapping[str, Any]]:
    document: dict[str, Any] = {
        "hyperparameters": [checks.text("the name of a hyperparameter", name) for name in hyperparameters],
        "metrics": [checks.text("the name of a metric", name) for name in metrics],
        "curve": [checks.text("the name of a series", name) for name in curve],
        "execution": checks.text("execution", execution),
        "device": checks.text("device", device),
    }
    if has_mean_delta:  # one more number after the metrics; records of earlier versions have none
        document["diagnostics"] = ["mean_delta"]
    return content_hash(document), document


def record_values(record: Record) -> dict[str, Any]:
    """Return the columns of a record's row that depend on nothing but the record.

    Raises:
        InvalidValueError: if a value cannot be kept.
    """
    outcome, cost, diagnostics = record.outcome, record.outcome.cost, record.outcome.diagnostics
    step = outcome.diverged_at_step
    try:
        hyperparameters = pack_numbers(record.hyperparameters.values())
        means = [] if diagnostics.mean_delta is None else [diagnostics.mean_delta]
        metrics = pack_numbers([*outcome.metrics.values(), *means])
    except ValueError as error:
        raise InvalidValueError(f"the record of {record.config_key} cannot be kept: {error}") from None
    return {
        "id": record.id,
        "config_key": record.config_key,
        "seed": checks.integer("seed", record.seed, low=-checks.MAX_SMALL),
        "status": str(outcome.status),
        "collapsed": outcome.collapsed,
        "diverged_at_step": None if step is None else checks.integer("diverged_at_step", step),
        "error": None if outcome.error is None else checks.message(outcome.error),
        "hyperparameters": hyperparameters,
        "metrics": metrics,
        "curve": pack_curve(outcome.curve),
        "steps": checks.integer("steps", cost.steps),
        "gradient_evaluations": checks.integer("gradient_evaluations", cost.gradient_evaluations),
        "elapsed_s": checks.seconds("elapsed_s", cost.elapsed_s),
        "amortised": cost.amortised,
        "grad_norm": checks.measure(diagnostics.grad_norm),
        "delta_over_rho": checks.measure(diagnostics.delta_over_rho),
        "pack": checks.text("pack", record.pack.id, limit=checks.MAX_LABEL),
        "pack_size": checks.integer("pack size", record.pack.size),
        "pack_position": checks.integer("pack position", record.pack.position),
    }


def hyperparameters_of(packed: bytes, shape: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the hyperparameters in the column of a row."""
    names = shape["hyperparameters"]
    return dict(zip(names, unpack_numbers(packed, len(names)), strict=True))


def record_from_row(row: RowMapping, shape: Mapping[str, Any]) -> Record:
    """Return the record of a row joined with its fingerprint and setting; without its curve where that was not read."""
    metrics = shape["metrics"]
    n_means = len(shape.get("diagnostics", ()))
    values = unpack_numbers(row["metrics"], len(metrics) + n_means)
    mean_delta = float(values.pop()) if n_means else None
    return Record(
        config_key=row["config_key"],
        fingerprint=row["fingerprint"],
        setting=row["setting"],
        hyperparameters=hyperparameters_of(row["hyperparameters"], shape),
        seed=row["seed"],
        outcome=Outcome(
            status=Status(row["status"]),
            metrics={name: float(value) for name, value in zip(metrics, values, strict=True)},
            curve=unpack_curve(row.get("curve"), shape["curve"]),
            cost=Cost(
                steps=row["steps"],
                gradient_evaluations=row["gradient_evaluations"],
                elapsed_s=row["elapsed_s"],
                amortised=row["amortised"],
                execution=shape["execution"],
                device=shape["device"],
            ),
            diagnostics=Diagnostics(row["grad_norm"], row["delta_over_rho"], mean_delta),
            collapsed=row["collapsed"],
            diverged_at_step=row["diverged_at_step"],
            error=row["error"],
        ),
        pack=PackPlace(row["pack"], row["pack_size"], row["pack_position"]),
        id=row["id"],
    )
