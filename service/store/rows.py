"""Between a record and its row: words go into a shape that many records share, numbers into packed columns."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Result

from benchmark.canonical import content_hash
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Scalar, Status
from service.store import checks
from service.store.codec import pack_curve, pack_numbers, unpack_curve, unpack_numbers
from service.store.decoding import unpack_rows
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


def parts_of_rows(rows: Result[Any], shape_of: Callable[[int], Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of records by name, from rows with all of a record's columns.

    What is packed comes as mappings, and what the shape says is beside it; a record of an earlier version has no
    `mean_delta`.

    Args:
        rows: a null curve is an empty one.
        shape_of: gives the document of a shape by its number.
    """
    names = tuple(rows.keys())
    found = [dict(zip(names, row, strict=True)) for row in rows.all()]
    alike: dict[int, list[dict[str, Any]]] = {}
    for parts in found:
        alike.setdefault(parts["shape_seq"], []).append(parts)
    for seq, theirs in alike.items():
        shape = shape_of(seq)
        hyperparameters, metrics, means = shape["hyperparameters"], shape["metrics"], shape.get("diagnostics", ())
        values = unpack_rows([parts["hyperparameters"] for parts in theirs], len(hyperparameters))
        numbers = unpack_rows([parts["metrics"] for parts in theirs], len(metrics) + len(means))
        for parts, ours, measured in zip(theirs, values, numbers, strict=True):
            parts["hyperparameters"] = dict(zip(hyperparameters, ours, strict=True))
            parts["metrics"] = dict(zip(metrics, map(float, measured), strict=False))
            parts["mean_delta"] = float(measured[-1]) if means else None
            parts["curve"] = unpack_curve(parts["curve"], shape["curve"])
            parts["execution"], parts["device"] = shape["execution"], shape["device"]
    return found


def record_of(parts: Mapping[str, Any]) -> Record:
    """Return the record that has these parts."""
    return Record(
        config_key=parts["config_key"],
        fingerprint=parts["fingerprint"],
        setting=parts["setting"],
        hyperparameters=parts["hyperparameters"],
        seed=parts["seed"],
        outcome=Outcome(
            status=Status(parts["status"]),
            metrics=parts["metrics"],
            curve=parts["curve"],
            cost=Cost(
                steps=parts["steps"],
                gradient_evaluations=parts["gradient_evaluations"],
                elapsed_s=parts["elapsed_s"],
                amortised=parts["amortised"],
                execution=parts["execution"],
                device=parts["device"],
            ),
            diagnostics=Diagnostics(parts["grad_norm"], parts["delta_over_rho"], parts["mean_delta"]),
            collapsed=parts["collapsed"],
            diverged_at_step=parts["diverged_at_step"],
            error=parts["error"],
        ),
        pack=PackPlace(parts["pack"], parts["pack_size"], parts["pack_position"]),
        id=parts["id"],
    )
