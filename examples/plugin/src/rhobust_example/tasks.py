"""Two spirals: a small task that a straight line cannot solve."""

import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmark.parsing import Integer, Number, SpecModel
from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks import Batch, Metric, Model, Splits, Task

N_EACH = 200  # points of a split


class SpiralsParameters(SpecModel):
    """What a spec may say of the task."""

    hidden: Annotated[Integer, Field(ge=1, le=1024, description="units of each of the two hidden layers")] = 16
    noise: Annotated[Number, Field(ge=0, le=2, description="standard deviation of a coordinate")] = 0.2


class Spirals(Task):
    """Tell two spirals in the plane apart."""

    name: ClassVar[str] = "spirals"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Two noisy spirals in the plane"
    source: ClassVar[str] = "generated"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "maximize", 0.02, 0.5, "share of points told right"),
        Metric("loss", "minimize", 0.05, math.log(2), "mean cross-entropy in nats"),
    )
    Parameters: ClassVar[type[SpecModel]] = SpiralsParameters
    params: SpiralsParameters

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: linear layers and tanh can be mapped."""
        return True

    def splits(self, seed: int) -> Splits:
        """Return three splits of the same number of points, drawn from the seed."""
        generator = numpy_generator(seed, Stream.SPLIT)
        parts = []
        for _ in range(3):
            labels = generator.permutation(np.arange(N_EACH) % 2)
            turn = generator.uniform(0.5, 2.5, N_EACH) * math.pi
            points = (turn * np.stack([np.cos(turn), np.sin(turn)]) * (2 * labels - 1)).T
            points = (points + generator.normal(0, self.params.noise, points.shape)) / (2 * math.pi)
            parts.append((torch.tensor(points, dtype=torch.float32), torch.tensor(labels)))
        return Splits(*parts)

    def model(self, seed: int) -> nn.Module:
        """Return a network of two hidden layers."""
        n = self.params.hidden
        return nn.Sequential(nn.Linear(2, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, 2))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        points, labels = batch
        return functional.cross_entropy(model(points), labels)

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return accuracy and loss."""
        points, labels = split
        logits = model(points)
        accuracy = (logits.argmax(dim=-1) == labels).float().mean()
        return {"accuracy": accuracy, "loss": functional.cross_entropy(logits, labels)}
