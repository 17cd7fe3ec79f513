"""Classification: what its tasks share, from stratified splits and label noise to loss and metrics."""

import functools
import hashlib
import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from benchmark.parsing import Integer, Number, SpecModel
from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks.protocol import Batch, Metric, Model, Splits, Task

TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Indices = NDArray[np.int64]


class ClassificationParameters(SpecModel):
    """Parameters of every classification task."""

    label_noise: Annotated[
        Number, Field(ge=0, lt=1, description="share of the training labels that are changed to another class")
    ] = 0.0
    loss_scale: Annotated[Number, Field(gt=0, description="factor on the training loss")] = 1.0
    reduction: Annotated[Literal["mean", "sum"], Field(description="of the training loss over a batch")] = "mean"
    train_share: Annotated[
        Number, Field(gt=0, le=1, description="share of each class of the training split that is used")
    ] = 1.0


class MLPParameters(ClassificationParameters):
    """Parameters of a classification task with a ReLU network."""

    hidden: Annotated[Integer, Field(ge=1, le=4096, description="units of each hidden layer")] = 64
    depth: Annotated[Integer, Field(ge=1, le=8, description="number of hidden layers")] = 1


class Classification(Task):
    """Tell the classes of examples apart.

    A subclass gives the examples and the model; what it splits and scales in another way it overrides.
    """

    can_split: ClassVar[bool] = True
    Parameters: ClassVar[type[SpecModel]] = ClassificationParameters
    params: ClassificationParameters

    @abstractmethod
    def examples(self) -> tuple[Features, Labels]:
        """Return the raw data, the same for every seed: features (n, ...) and labels (n,) from 0."""

    def indices(self, seed: int) -> Sequence[Indices]:
        """Return which examples are for training, validation and test: 60, 20 and 20 % of each class."""
        _, labels = self.examples()
        return stratified(labels, (TRAIN_SHARE, VALIDATION_SHARE), numpy_generator(seed, Stream.SPLIT))

    def scaled(self, features: Features, train: Indices) -> Features:
        """Return the features as the model is to see them; `train` is the whole training split, whatever its share."""
        return features

    @functools.cached_property
    def data_version(self) -> str:
        """Checksum of the raw features and labels."""
        return checksum(*self.examples())

    def splits(self, seed: int) -> Splits:
        """Return features (n, ...) and labels (n,) of each split; share and noise concern the training split alone."""
        features, labels = self.examples()
        train, validation, test = self.indices(seed)
        features = self.scaled(features, train)
        used, _ = stratified(labels[train], (self.params.train_share,), numpy_generator(seed, Stream.SUBSET))
        train = train[used]
        n_classes, generator = int(labels.max()) + 1, numpy_generator(seed, Stream.LABELS)
        noisy = with_noise(labels[train], n_classes, self.params.label_noise, generator)
        parts = ((train, noisy), (validation, labels[validation]), (test, labels[test]))
        return Splits(*((torch.from_numpy(features[index]), torch.from_numpy(given)) for index, given in parts))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the cross-entropy, reduced and scaled as the parameters say."""
        features, labels = batch
        loss = cross_entropy(model(features), labels, self.params.reduction)
        return loss if self.params.loss_scale == 1 else self.params.loss_scale * loss

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return accuracy and mean cross-entropy, whatever the training loss is."""
        features, labels = split
        logits: Tensor = model(features)
        accuracy = (logits.argmax(dim=-1) == labels).to(torch.float32).mean()
        return {"accuracy": accuracy, "loss": cross_entropy(logits, labels)}


def checksum(features: Features, labels: Labels) -> str:
    """Return the version of data: a checksum of raw features and labels."""
    return hashlib.sha256(features.tobytes() + labels.tobytes()).hexdigest()[:16]


def cross_entropy(logits: Tensor, labels: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Return the cross-entropy in nats, as torch's function of that name.

    Here the examples lie along the last dimension: a softmax over a few adjacent numbers is many times as slow, most of
    all where cells are trained together.

    Args:
        logits: (n, classes).
        labels: (n,), from 0.
        reduction: over the examples.
    """
    chosen = logits.mT.contiguous().log_softmax(dim=0).gather(0, labels.unsqueeze(0))
    return -(chosen.mean() if reduction == "mean" else chosen.sum())


def metrics_of(examples: str, n_classes: int, *, largest_share: float | None = None) -> tuple[Metric, ...]:
    """Return the metrics of a classification task.

    Args:
        examples: what is classified, for the description.
        n_classes: number of classes; the loss of a uniform guess is its logarithm.
        largest_share: of the most frequent class, which a constant guess gets right; None where all are as frequent.
    """
    chance = 1 / n_classes if largest_share is None else largest_share
    return (
        Metric("accuracy", "maximize", 0.01, chance, f"share of {examples} classified correctly"),
        Metric("loss", "minimize", 0.05, math.log(n_classes), "mean cross-entropy in nats"),
    )


def mlp(n_features: int, n_classes: int, params: MLPParameters) -> nn.Sequential:
    """Return a ReLU network: `depth` hidden layers of `hidden` units, torch's default initialisation."""
    widths = [n_features] + [params.hidden] * params.depth
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))


def stratified(labels: Labels, shares: Sequence[float], generator: np.random.Generator) -> list[Indices]:
    """Return a part for each share, and a last one with what is left.

    A part holds round(share * n) of the n examples of each class, at least one; of the same generator the part of a
    smaller first share lies inside that of a larger one.

    Args:
        labels: (n,).
        shares: of the parts, in (0, 1], together at most 1.
        generator: from which the order within the classes is drawn.

    Returns:
        The indices of each part, ascending.
    """
    parts: list[list[Indices]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        sizes = [max(1, round(share * len(members))) for share in shares]
        for part, chosen in zip(parts, np.split(members, np.cumsum(sizes)), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]


def with_noise(labels: Labels, n_classes: int, share: float, generator: np.random.Generator) -> Labels:
    """Return labels of which exactly round(share * n) were changed, each to one of the other classes at random.

    Of the same generator a larger share changes the same labels in the same way, and others besides.
    """
    order = generator.permutation(len(labels))
    offsets = generator.integers(1, n_classes, len(labels))
    changed = order[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[changed] = (labels[changed] + offsets[changed]) % n_classes
    return noisy
