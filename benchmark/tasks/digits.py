"""Handwritten digits: the 1,797 real images of 8 x 8 pixels that scikit-learn ships, and a small MLP."""

import functools
import hashlib
import itertools
import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from benchmark.parsing import Integer, SpecModel
from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks.protocol import Batch, Metric, Model, Splits, Task

N_CLASSES = 10
TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2


class DigitsMLPParameters(SpecModel):
    """Parameters of `digits-mlp`."""

    hidden: Annotated[Integer, Field(ge=1, le=4096, description="units of each hidden layer")] = 64
    depth: Annotated[Integer, Field(ge=1, le=8, description="number of hidden layers")] = 1


class DigitsMLP(Task):
    """Classify handwritten digits with a ReLU network."""

    name: ClassVar[str] = "digits-mlp"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Handwritten digits (8 x 8 pixels, 10 classes) with a small ReLU network"
    source: ClassVar[str] = (
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI, CC BY 4.0; "
        "the 1,797 test images, as scikit-learn ships them"
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "maximize", 0.01, 1 / N_CLASSES, "share of images classified correctly"),
        Metric("loss", "minimize", 0.05, math.log(N_CLASSES), "mean cross-entropy in nats"),
    )
    Parameters: ClassVar[type[SpecModel]] = DigitsMLPParameters
    params: DigitsMLPParameters

    @functools.cached_property
    def data_version(self) -> str:
        """Checksum of images and labels."""
        images, labels = _digits()
        return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16]

    def splits(self, seed: int) -> Splits:
        """Return 60 / 20 / 20 % of the images, stratified by class; pixels scaled to [0, 1], shape (n, 64)."""
        images, labels = _digits()
        parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
        generator = numpy_generator(seed, Stream.SPLIT)
        for label in range(N_CLASSES):
            members = generator.permutation(np.flatnonzero(labels == label))
            n_train, n_validation = round(TRAIN_SHARE * len(members)), round(VALIDATION_SHARE * len(members))
            for part, chosen in zip(parts, np.split(members, [n_train, n_train + n_validation]), strict=True):
                part.append(chosen)
        indices = [np.sort(np.concatenate(part)) for part in parts]
        return Splits(*((torch.from_numpy(images[index]), torch.from_numpy(labels[index])) for index in indices))

    def model(self, seed: int) -> nn.Module:
        """Return the network: `depth` hidden layers of `hidden` units, torch's default initialisation."""
        widths = [64] + [self.params.hidden] * self.params.depth
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], N_CLASSES))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        images, labels = batch
        return functional.cross_entropy(model(images), labels)

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return accuracy and mean cross-entropy."""
        images, labels = split
        logits: Tensor = model(images)
        accuracy = (logits.argmax(dim=-1) == labels).to(torch.float32).mean()
        return {"accuracy": accuracy, "loss": functional.cross_entropy(logits, labels)}


@functools.cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return images (n, 64) in [0, 1] and labels (n,)."""
    bunch = load_digits()
    return (bunch.data / 16.0).astype(np.float32), bunch.target.astype(np.int64)
