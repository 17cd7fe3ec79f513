"""A small task that says its cells can be trained at once, rightly or wrongly, and fails under a seed as asked."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.parsing import Integer, SpecModel
from benchmark.seeding import Stream, torch_generator
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import Batch, Metric, Model, Splits, Task
from tests.benchmark.toys import document

Kind = Literal[
    "plain",
    "tied",
    "modes",
    "buffer",
    "buffer_of_seed",
    "buffer_assigned",
    "dropout",
    "batch_norm",
    "frozen",
    "branch",
    "branch_in_score",
]


class FusibleParameters(SpecModel):
    """What the network has, what goes wrong, and under which seed."""

    kind: Kind = "plain"
    fault: Literal["none", "nan", "raise", "memory", "allocation", "exit"] = "none"
    seed: Integer = -1
    n_train: Integer = 10
    shrinks: bool = False


class _Network(nn.Module):
    """Two linear layers, and what the parameters ask for."""

    shift: Tensor

    def __init__(self, kind: Kind, seed: int) -> None:
        super().__init__()
        self.kind = kind
        self.line, self.head = nn.Linear(2, 4), nn.Linear(4, 1)
        self.norm = {"batch_norm": nn.BatchNorm1d(4), "dropout": nn.Dropout()}.get(kind, nn.Identity())
        if kind.startswith("buffer"):
            self.register_buffer("shift", torch.full((2,), float(seed if kind == "buffer_of_seed" else 1)))
        if kind == "frozen":
            self.line.bias.requires_grad_(False)
        if kind == "tied":
            self.second = nn.Linear(2, 4)
            self.second.weight = self.line.weight

    def forward(self, inputs: Tensor) -> Tensor:
        if self.kind == "buffer_assigned":
            self.shift = 0.9 * self.shift + 0.1 * inputs.mean(dim=0)
        if self.kind.startswith("buffer"):
            inputs = inputs + self.shift
        hidden = self.line(inputs)
        if self.kind == "tied":
            hidden = hidden + self.second(inputs)
        if self.kind == "branch" and hidden.sum() > 0:
            hidden = 2 * hidden
        outputs: Tensor = self.head(self.norm(hidden))
        return 0.5 * outputs if self.kind == "modes" and self.training else outputs


class Fusible(Task):
    """Fit a plane through a few points."""

    name: ClassVar[str] = "fusible"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "A plane through a few points"
    source: ClassVar[str] = "none"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("loss", "minimize", 0.1, 10.0, "mean squared error"),)
    Parameters: ClassVar[type[SpecModel]] = FusibleParameters
    params: FusibleParameters

    @property
    def can_fuse(self) -> bool:
        return True

    def splits(self, seed: int) -> Splits:
        is_meant = seed == self.params.seed
        if is_meant and self.params.fault == "raise":
            raise ArithmeticError("the task broke, as asked")
        if is_meant and self.params.fault == "memory":
            raise MemoryError("the task needs more")
        if is_meant and self.params.fault == "allocation":
            torch.empty(1 << 50)
        if is_meant and self.params.fault == "exit":
            os._exit(13)
        generator = torch_generator(seed, Stream.SPLIT)
        parts = []
        for size in (self.params.n_train - (seed if self.params.shrinks else 0), 4, 4):
            inputs = torch.randn(size, 2, generator=generator)
            parts.append((inputs, inputs.sum(dim=1, keepdim=True)))
        if is_meant and self.params.fault == "nan":
            parts[0][1][-1] = torch.nan
        return Splits(*parts)

    def model(self, seed: int) -> nn.Module:
        return _Network(self.params.kind, seed)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        inputs, targets = batch
        return functional.mse_loss(model(inputs), targets)

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        loss = self.loss(model, split)
        return {"loss": loss if self.params.kind != "branch_in_score" or loss > 0 else -loss}

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        return train_loss > 1e6


def fusible_spec(params: Mapping[str, Any], **changes: Any) -> Spec:
    """A spec of gradient descent on the task, with five learning rates under one seed."""
    rest: dict[str, Any] = {
        "optimizers": [],
        "space": {"lr": {"values": [0.01, 0.02, 0.03, 0.04, 0.05]}},
        "budget": {"epochs": 2, "batch_size": 5},
        "seeds": {"count": 1, "base": 3},
    }
    return Spec.from_mapping(document(tasks=[{"name": "fusible", "params": dict(params)}], **{**rest, **changes}))


def fusible_cells(params: Mapping[str, Any], **changes: Any) -> list[Cell]:
    return list(expand(fusible_spec(params, **changes)))
