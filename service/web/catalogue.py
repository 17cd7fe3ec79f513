"""Calls on what there is: optimizers, base optimizers, tasks, measures, and the schema of specs."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, RootModel

from benchmark import Spec
from benchmark.canonical import finite_or_none
from benchmark.figures import figure_kinds
from benchmark.origins import optimizer_origin, task_origin
from benchmark.records import Scalar
from benchmark.robustness import MeasureInfo, measures
from benchmark.tasks import Metric, task_class, task_names
from optimizers import Hyperparameter, Source, base_info, base_names, optimizer_info, optimizer_names
from service.web.access import READ

router = APIRouter(tags=["catalogue"], dependencies=[READ])


class HyperparameterShape(BaseModel):
    """A hyperparameter with its range; an end without bound is null."""

    name: str
    kind: Literal["float", "int", "bool"]
    default: Scalar | None = Field(description="null where a value must be given")
    low: float | None
    high: float | None
    low_open: bool = Field(description="whether the end itself is excluded")
    high_open: bool = Field(description="whether the end itself is excluded")
    description: str


class OriginShape(BaseModel):
    """Where an optimizer or task comes from: the package, and the hash of its source that is in fingerprints."""

    distribution: str | None
    version: str | None
    builtin: bool
    source: str


class OptimizerShape(BaseModel):
    """An optimizer that a spec may name; one without a base takes the descent step itself."""

    name: str
    title: str
    origin: OriginShape
    has_base: bool
    hyperparameters: list[HyperparameterShape]
    gradient_evaluations_per_step: float
    source: Source | None
    usual: str


class BaseShape(BaseModel):
    """A base optimizer that a spec may name."""

    name: str
    hyperparameters: list[HyperparameterShape]


class TaskShape(BaseModel):
    """A task that a spec may name; whether it can train many cells at once is told for its default parameters."""

    name: str
    version: int
    title: str
    origin: OriginShape
    source: str
    metrics: list[Metric]
    has_split: bool
    can_fuse: bool
    can_split: bool
    precisions: list[str]
    params: dict[str, Any]


class FigureShape(BaseModel):
    """A kind of figure."""

    name: str
    description: str


class SpecSchema(RootModel[dict[str, Any]]):
    """A JSON Schema, of the draft 2020-12."""


@router.get("/optimizers")
async def list_optimizers() -> list[OptimizerShape]:
    """List the optimizers, with their hyperparameters, ranges, defaults and sources."""
    return [_optimizer(name) for name in optimizer_names()]


@router.get("/bases")
async def list_bases() -> list[BaseShape]:
    """List the base optimizers, with their hyperparameters, ranges and defaults."""
    return [
        BaseShape(name=name, hyperparameters=_hyperparameters(base_info(name).hyperparameters.values()))
        for name in base_names()
    ]


@router.get("/tasks")
async def list_tasks() -> list[TaskShape]:
    """List the tasks, with their metrics and the JSON Schema of their parameters."""
    return [_task(name) for name in task_names()]


@router.get("/measures")
async def list_measures() -> list[MeasureInfo]:
    """List the measures of robustness, with their definitions and sources."""
    return list(measures())


@router.get("/figures")
async def list_figures() -> list[FigureShape]:
    """List the kinds of figures that can be drawn of a job."""
    return [FigureShape(name=kind.name, description=kind.description) for kind in figure_kinds()]


@router.get("/schemas/spec.json")
async def get_spec_schema() -> SpecSchema:
    """Return the JSON Schema of specs."""
    return SpecSchema(Spec.json_schema())


def _optimizer(name: str) -> OptimizerShape:
    info = optimizer_info(name)
    return OptimizerShape(
        name=info.name,
        title=info.title,
        origin=OriginShape(**asdict(optimizer_origin(name))),
        has_base=info.has_base,
        hyperparameters=_hyperparameters(info.hyperparameters.values()),
        gradient_evaluations_per_step=info.gradient_evaluations(),
        source=info.source,
        usual=info.usual,
    )


def _task(name: str) -> TaskShape:
    task = task_class(name)
    return TaskShape(
        name=task.name,
        version=task.version,
        title=task.title,
        origin=OriginShape(**asdict(task_origin(name))),
        source=task.source,
        metrics=list(task.metrics),
        has_split=task.has_split,
        can_fuse=task().can_fuse,
        can_split=task.can_split,
        precisions=list(task.precisions),
        params=task.Parameters.model_json_schema(),
    )


def _hyperparameters(hyperparameters: Iterable[Hyperparameter]) -> list[HyperparameterShape]:
    return [
        HyperparameterShape.model_validate(
            {
                "name": one.name,
                "kind": one.kind.__name__,
                "default": one.default,
                "low": finite_or_none(one.low),
                "high": finite_or_none(one.high),
                "low_open": one.low_open,
                "high_open": one.high_open,
                "description": one.description,
            }
        )
        for one in hyperparameters
    ]
