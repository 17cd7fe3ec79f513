"""Small specs, and a task that goes wrong in a known way."""

import copy
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.errors import TaskDataError
from benchmark.parsing import Integer, SpecModel
from benchmark.seeding import Stream, torch_generator
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import Batch, Metric, Model, Splits, Task

CPU = torch.device("cpu")
DIGITS: dict[str, Any] = {
    "name": "small",
    "tasks": [{"name": "digits-mlp", "params": {"hidden": 8}}],
    "budget": {"epochs": 1, "batch_size": 256},
    "base": {"name": "sgd", "momentum": 0.9},
    "optimizers": [
        {"name": "sam", "space": {"rho": {"values": [0.05, 0.5]}}},
        {"name": "msam", "fixed": {"rho": 0.5}},
    ],
    "space": {"lr": {"log": [0.01, 1.0], "n": 3}},
    "seeds": {"count": 2, "base": 3},
}


def document(**changes: Any) -> dict[str, Any]:
    """The small document with some of its keys replaced."""
    return {**copy.deepcopy(DIGITS), **changes}


def make_spec(**changes: Any) -> Spec:
    return Spec.from_mapping(document(**changes))


def first_cell(**changes: Any) -> Cell:
    return next(expand(make_spec(**changes)))


class ToyParameters(SpecModel):
    """What goes wrong in the toy, in which call of its loss (0: never), and under which seed (-1: every one)."""

    fault: Literal["none", "nan_loss", "inf_loss", "nan_gradient", "raise", "exit", "memory", "no_data", "scores"] = (
        "none"
    )
    call: Integer = 0
    n_train: Integer = 10
    seed: Integer = -1


class _CountingLine(nn.Module):
    """A line that counts how often its loss was asked for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.line = nn.Linear(2, 1)
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.line(inputs)
        return outputs


class Toy(Task):
    """Fit a line through a few points, and fail in the n-th call of the loss as asked."""

    name: ClassVar[str] = "toy"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "A line through a few points"
    source: ClassVar[str] = "none"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("loss", "minimize", 0.1, 10.0, "mean squared error"),)
    Parameters: ClassVar[type[SpecModel]] = ToyParameters
    params: ToyParameters

    def splits(self, seed: int) -> Splits:
        if self.params.fault == "no_data":
            raise TaskDataError("the toy has no data; run: make toy-data")
        generator = torch_generator(seed, Stream.SPLIT)
        parts = []
        for size in (self.params.n_train, 4, 4):
            inputs = torch.randn(size, 2, generator=generator)
            parts.append((inputs, inputs.sum(dim=1, keepdim=True)))
        return Splits(*parts)

    def model(self, seed: int) -> nn.Module:
        return _CountingLine(seed)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        assert isinstance(model, _CountingLine)
        inputs, targets = batch
        loss = functional.mse_loss(model(inputs), targets)
        model.calls += 1
        if model.calls != self.params.call or self.params.seed not in (-1, model.seed):
            return loss
        match self.params.fault:
            case "nan_loss":
                return loss * torch.nan
            case "inf_loss":
                return loss / 0.0
            case "nan_gradient":
                return loss + torch.sqrt(model.line.weight.sum() * 0.0)
            case "raise":
                raise ArithmeticError("the toy broke,\0 as asked")
            case "memory":
                raise MemoryError("the toy needs more")
            case "exit":
                os._exit(13)
        return loss

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        inputs, targets = split
        loss = {"loss": functional.mse_loss(model(inputs), targets)}
        return loss | {"score": loss["loss"]} if self.params.fault == "scores" else loss

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        return train_loss > 1e6


def toy_document(faults: Mapping[str, Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """A spec with one toy a label."""
    tasks = [{"name": "toy", "label": label, "params": dict(params)} for label, params in faults.items()]
    rest = {"optimizers": [], "space": {"lr": {"values": [0.01]}}, "budget": {"epochs": 2, "batch_size": 5}}
    return document(tasks=tasks, **{**rest, **changes})
