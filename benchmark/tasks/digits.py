"""Handwritten digits: the 1,797 real images of 8 x 8 pixels that scikit-learn ships, with an MLP or a small CNN."""

import functools
import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import nn

from benchmark.parsing import Integer, SpecModel
from benchmark.tasks.classification import (
    Classification,
    ClassificationParameters,
    Features,
    Labels,
    MLPParameters,
    metrics_of,
    mlp,
)
from benchmark.tasks.protocol import Metric

N_CLASSES = 10
SIDE = 8  # pixels
N_GROUPS = 4


class DigitsCNNParameters(ClassificationParameters):
    """Parameters of `digits-cnn`."""

    channels: Annotated[
        Integer, Field(ge=1, le=256, description="channels of the first convolution; the second has twice as many")
    ] = 16
    norm: Annotated[Literal["batch", "group", "none"], Field(description="normalisation after each convolution")] = (
        "batch"
    )


class Digits(Classification):
    """Classify handwritten digits."""

    source: ClassVar[str] = (
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI, CC BY 4.0; "
        "the 1,797 test images, as scikit-learn ships them"
    )
    metrics: ClassVar[tuple[Metric, ...]] = metrics_of("images", N_CLASSES)

    def examples(self) -> tuple[Features, Labels]:
        """Return images (1797, 64) with pixels in [0, 1], and labels."""
        return _digits()


class DigitsMLP(Digits):
    """Classify handwritten digits with a ReLU network."""

    name: ClassVar[str] = "digits-mlp"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Handwritten digits (8 x 8 pixels, 10 classes) with a small ReLU network"
    Parameters: ClassVar[type[SpecModel]] = MLPParameters
    params: MLPParameters

    def model(self, seed: int) -> nn.Module:
        """Return the ReLU network."""
        return mlp(SIDE * SIDE, N_CLASSES, self.params)

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: always."""
        return True


class DigitsCNN(Digits):
    """Classify handwritten digits with a small convolutional network."""

    name: ClassVar[str] = "digits-cnn"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Handwritten digits (8 x 8 pixels, 10 classes) with a small convolutional network"
    Parameters: ClassVar[type[SpecModel]] = DigitsCNNParameters
    params: DigitsCNNParameters

    def examples(self) -> tuple[Features, Labels]:
        """Return images (1797, 1, 8, 8) with pixels in [0, 1], and labels."""
        images, labels = _digits()
        return images.reshape(-1, 1, SIDE, SIDE), labels

    def model(self, seed: int) -> nn.Module:
        """Return two 3 x 3 convolutions, each normalised, rectified and pooled by 2, and a linear head."""
        channels, norm = self.params.channels, self.params.norm
        layers: list[nn.Module] = []
        for n_in, n_out in ((1, channels), (channels, 2 * channels)):
            layers.append(nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(n_out))
            elif norm == "group":
                layers.append(nn.GroupNorm(math.gcd(N_GROUPS, n_out), n_out))
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * channels * (SIDE // 4) ** 2, N_CLASSES))

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: not with the running statistics of batch normalisation."""
        return not self.has_batch_norm

    @property
    def has_batch_norm(self) -> bool:
        """Whether its model normalises over the examples of a batch: with `norm: batch`."""
        return self.params.norm == "batch"


@functools.cache
def _digits() -> tuple[Features, Labels]:
    from sklearn.datasets import load_digits  # takes a second, and few processes need data

    bunch = load_digits()
    return (bunch.data / 16.0).astype(np.float32), bunch.target.astype(np.int64)
