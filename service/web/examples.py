"""Examples for the OpenAPI document: one word of the glossary for each name, put together model by model."""

from collections.abc import Mapping
from typing import Any

REF = "#/components/schemas/"
KEY = "9f86d081884c7d659a2feaa0c55ad015"
TIME = "2026-03-01T12:00:00.000+00:00"
SPEC: dict[str, Any] = {
    "name": "sam-vs-msam",
    "tags": ["nightly"],
    "tasks": [{"name": "digits-mlp", "params": {"hidden": 64}}],
    "budget": {"epochs": 20},
    "optimizers": [
        {"name": "sam", "space": {"rho": {"log": [0.01, 1.0], "n": 8}}},
        {"name": "msam", "space": {"rho": {"log": [0.01, 1.0], "n": 8}}},
    ],
    "space": {"lr": {"log": [0.001, 1.0], "n": 8}},
    "seeds": {"count": 5},
}
MODELS: dict[str, Any] = {
    "Spec": SPEC,
    "TaskEntry": SPEC["tasks"][0],
    "OptimizerEntry": SPEC["optimizers"][0],
    "Axis": SPEC["space"]["lr"],
    "BaseEntry": {"name": "sgd", "momentum": 0.9},
    "Budget": SPEC["budget"],
    "Limits": {"cell_s": 600},
    "MetricChoice": {"name": "accuracy", "tolerance": 0.01},
    "Resources": {"pack": "auto"},
    "Retry": {"limits": {"cell_s": 600}},
    "Search": {"method": "grid"},
    "Seeds": SPEC["seeds"],
    "SpecSchema": {"type": "object", "required": ["name", "tasks"]},
    "WebhookChange": {"enabled": False},
    "Detail": {"pointer": "/space/lr/n", "detail": "this key must be given"},
    "Problem": {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "the spec breaks 1 rule: /space/lr/n: this key must be given",
        "errors": [{"pointer": "/space/lr/n", "detail": "this key must be given"}],
        "request_id": "4f2a9c1be07d3385",
    },
}
OF_MODEL: dict[tuple[str, str], Any] = {
    ("ApiKey", "id"): "7k2m9x4qfa",
    ("Key", "id"): "7k2m9x4qfa",
    ("MadeKey", "id"): "7k2m9x4qfa",
    ("Owner", "id"): "worker-1:4711:a1b2c3d4",
    ("Dispatcher", "id"): "worker-1:4711:a1b2c3d4",
    ("Record", "id"): KEY,
    ("Record", "collapsed"): False,
    ("Record", "reused"): False,
    ("Cost", "execution"): "fused",
    ("Version", "revision"): "4be0c1d",
    ("Record", "metrics"): {"val_accuracy": 0.962, "test_accuracy": 0.958},
    ("Record", "error"): None,
    ("Job", "error"): None,
    ("JobDetail", "error"): None,
    ("JobMissingCell", "error"): "RuntimeError: out of memory",
    ("Attempt", "status"): 200,
    ("Attempt", "error"): None,
    ("Attempt", "attempt"): 1,
    ("Delivery", "id"): "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj",
    ("Delivery", "event"): "job.completed",
    ("Delivery", "state"): "delivered",
    ("JobEvent", "id"): "7",
    ("JobEvent", "data"): '{"id": "3k9x2m7qfa", "state": "running", "revision": 7, "...": "..."}',
    ("Job", "name"): "sam-vs-msam",
    ("JobDetail", "name"): "sam-vs-msam",
    ("JobDetail", "spec"): SPEC,
    ("AxisInfo", "name"): "lr",
    ("AxisInfo", "values"): [0.001, 0.01, 0.1],
    ("Metric", "name"): "accuracy",
    ("Metric", "description"): "share of images that are classified right",
    ("Figure", "name"): "heatmap",
    ("Figure", "description"): "score over rho and learning rate",
    ("Hyperparameter", "name"): "rho",
    ("Hyperparameter", "low"): 0.0,
    ("Hyperparameter", "high"): None,
    ("Hyperparameter", "default"): 0.05,
    ("Hyperparameter", "description"): "radius of the ascent",
    ("Base", "name"): "sgd",
    ("Optimizer", "name"): "sam",
    ("Optimizer", "title"): "Sharpness-aware minimization",
    ("Task", "name"): "digits-mlp",
    ("Task", "title"): "Handwritten digits, a small network",
    ("Task", "source"): "Alpaydin, Kaynak 1998",
    ("Task", "version"): 1,
    ("Task", "params"): {"type": "object", "properties": {"hidden": {"type": "integer", "default": 64}}},
    ("Task", "metrics"): None,
    ("MeasureInfo", "name"): "grid_mean",
    ("MeasureInfo", "title"): "grid mean",
    ("MeasureInfo", "definition"): "Mean of z over all configurations.",
    ("MeasureInfo", "source"): "Sivaprasad et al. 2020",
    ("Origin", "source"): KEY,
    ("Source", "title"): "Sharpness-Aware Minimization for Efficiently Improving Generalization",
    ("Rank", "value"): 1,
    ("Rank", "low"): 1,
    ("Rank", "high"): 2,
    ("Rank", "method"): "Holm over all one-sided paired tests",
    ("Plan", "execution"): {"digits-mlp": {"sam": "fused"}},
    ("Difference", "value"): 0.021,
    ("Difference", "raw"): 0.018,
    ("Difference", "low"): 0.008,
    ("Difference", "high"): 0.034,
    ("Difference", "measure"): "grid_mean",
    ("Drop", "value"): 0.03,
    ("Drop", "low"): 0.02,
    ("Drop", "high"): 0.04,
    ("Wins", "low"): 0.61,
    ("Wins", "high"): 0.83,
    ("Slice", "low"): [0.89, 0.93, 0.88],
    ("Slice", "high"): [0.93, 0.96, 0.92],
    ("Slice", "values"): [0.01, 0.1, 1.0],
    ("Slice", "best"): 0.1,
    ("Slice", "mean"): [0.91, 0.95, 0.9],
    ("TuningCurve", "value"): [0.84, 0.91, 0.95],
    ("TuningCurve", "low"): [0.82, 0.9, 0.94],
    ("TuningCurve", "high"): [0.86, 0.92, 0.96],
    ("Missing", "count"): 1,
    ("RowGrid", "reason"): None,
    ("Border", "end"): "high",
    ("Border", "values"): [2.0],
    ("Reading", "amount"): 640.0,
    ("RobustnessTable", "missing"): {"count": 0, "first": []},
    ("RobustnessTable", "complete"): True,
    ("RobustnessTable", "version"): "0.1.0",
    ("JobMissing", "total"): 1,
    ("Progress", "total"): 640,
    ("NewKey", "label"): "nightly benchmarks of team A",
    ("Key", "label"): "nightly benchmarks of team A",
    ("MadeKey", "label"): "nightly benchmarks of team A",
    ("Webhook", "events"): ["job.completed", "job.failed"],
    ("WebhookCreated", "events"): ["job.completed", "job.failed"],
    ("Health", "status"): "ok",
    ("Readiness", "status"): "ok",
    ("JobPage", "next_page_token"): "WyItY3JlYXRlZF9hdCIsMTcuNSw0Ml0",
    ("RecordPage", "next_page_token"): KEY,
    ("PlotlyFigure", "data"): [{"type": "heatmap", "z": [[0.91, 0.95]]}],
    ("PlotlyFigure", "layout"): {"title": {"text": "sam on digits-mlp"}},
}
GLOSSARY: dict[str, Any] = {
    "advice": "extend lr upward: add 2 (same ratio) by lr: {log: [0.01, 2.0], n: 4}",
    "age_s": 1.5,
    "amortised": True,
    "arxiv": "2010.01412",
    "at": TIME,
    "at_end": False,
    "attempt": 1,
    "authors": "Foret, Kleiner, Mobahi, Neyshabur",
    "axis": "lr",
    "broadcast": [],
    "builtin": True,
    "can_fuse": True,
    "cells": 640,
    "cells_per_s": 12.5,
    "chance": 0.1,
    "collapsed": 0,
    "completed": 320,
    "config_key": KEY,
    "configurations": 64,
    "crashes": 0,
    "created_at": TIME,
    "created_by": "7k2m9x4qfa",
    "curve": {"step": [100.0, 200.0], "val_accuracy": [0.91, 0.962]},
    "delta_over_rho": 1.0,
    "description": "the team's channel",
    "device": "cpu",
    "distribution": "rhobust",
    "diverged": 2,
    "diverged_at_step": None,
    "elapsed_s": 0.25,
    "enabled": True,
    "error": None,
    "estimated_s": 95.0,
    "eta_s": 25.6,
    "execution": {"digits-mlp": {"sam": "fused"}},
    "expires_at": None,
    "expires_in_s": 2_592_000,
    "factor": 2.0,
    "failed": 0,
    "failures": "A diverged run scores the floor.",
    "fingerprint": KEY,
    "fingerprints": [KEY],
    "finished_at": TIME,
    "first": "msam",
    "first_record_at": TIME,
    "first_step": 320,
    "flags": ["leads"],
    "floor": 0.1,
    "grad_norm": 0.4,
    "gradient_evaluations": 640,
    "gradient_evaluations_per_step": 2.0,
    "has_base": True,
    "has_split": True,
    "heartbeat_age_s": 1.5,
    "high": 0.93,
    "high_open": False,
    "host": "worker-1",
    "hyperparameters": {"lr": 0.1, "rho": 0.05},
    "id": "3k9x2m7qfa",
    "job_id": "3k9x2m7qfa",
    "key": "rhb_7k2m9x4qfa_...",
    "last_step": 320,
    "last_used_at": TIME,
    "lease_left_s": 28.0,
    "level": 0.95,
    "low": 0.89,
    "low_open": False,
    "max_crashes": 3,
    "mean": 0.95,
    "mean_delta": 0.05,
    "measures": None,
    "method": "t over the seeds",
    "metric": "accuracy",
    "mixed": False,
    "n_collapsed": 0,
    "n_complete": 64,
    "n_configurations": 64,
    "n_diverged": 0,
    "n_missing": 0,
    "n_seeds": 5,
    "n_seeds_needed": 7,
    "n_steps": 640,
    "next_attempt_at": None,
    "next_page_token": None,
    "notes": {"digits-mlp": ["All cells were trained fused."]},
    "optimizer": "sam",
    "others": {"rho": 0.05},
    "p_adjusted": 0.012,
    "p_value": 0.004,
    "packs": 8,
    "per_seed": [0.94, 0.96],
    "priority": 0,
    "python": "3.11.9",
    "ranked": True,
    "raw": 0.9,
    "reason": None,
    "retried_after": 0,
    "reused": 0,
    "revision": 7,
    "revoked_at": None,
    "schema": "0007",
    "sd": 0.01,
    "second": "sam",
    "secret": "whsec_...",
    "seed": 0,
    "seeds": [0, 1],
    "share": 0.72,
    "space": {"log": [0.01, 2.0], "n": 4},
    "spacing": "same ratio",
    "started_at": TIME,
    "status": "completed",
    "steps": 320,
    "submitted_by": "local",
    "tags": ["nightly"],
    "task": "digits-mlp",
    "test": "paired t-test",
    "timed_out": 0,
    "tolerance": 0.01,
    "torch": "2.13.0",
    "trace": None,
    "trials": [1, 4, 16],
    "untried": 0,
    "url": "https://hooks.example.com/rhobust",
    "usual": "rho 0.05 on CIFAR",
    "value": 0.91,
    "version": "0.1.0",
    "warnings": [],
    "wave": 1,
    "y_ref": 0.96,
    "y_ref_given": False,
    "year": 2020,
}


class MissingExampleError(LookupError):
    """The glossary lacks a word."""


def example_of(name: str, schemas: Mapping[str, Any]) -> Any:
    """Return an example of a model: its own, or one put together from those of its properties.

    Raises:
        MissingExampleError: where the glossary lacks a word, with its name.
    """
    if name in MODELS:
        return MODELS[name]
    return _of_schema(name, "", schemas[name], schemas)


def _of_schema(model: str, name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    for known in (schema.get("examples", [])[:1], schema.get("enum", [])[:1]):
        if known:
            return known[0]
    if "const" in schema:
        return schema["const"]
    if "$ref" in schema:
        return example_of(schema["$ref"].removeprefix(REF), schemas)
    if "properties" in schema:
        return {name: _of_property(model, name, one, schemas) for name, one in schema["properties"].items()}
    if "anyOf" in schema:
        return _of_schema(model, name, schema["anyOf"][0], schemas)
    if schema.get("type") == "array" and "items" in schema:
        return [_of_schema(model, name, schema["items"], schemas)]
    values = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(values, dict) and "$ref" in values:
        return {_KEYS[name]: _of_schema(model, name, values, schemas)}
    raise MissingExampleError(f"an example must be in {__name__} for {model}.{name}.")


_KEYS = {"measures": "grid_mean"}


def _of_property(model: str, name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    if OF_MODEL.get((model, name)) is not None or ((model, name) in OF_MODEL and _may_be_null(schema)):
        return OF_MODEL[model, name]
    is_composed = REF in str(schema)
    if name in GLOSSARY and not is_composed:
        return GLOSSARY[name]
    return _of_schema(model, name, schema, schemas)


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())
