"""Breast cancer: 569 real samples of 30 measurements that scikit-learn ships, with a small MLP."""

import functools
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmark.parsing import SpecModel
from benchmark.tasks.classification import (
    Classification,
    Features,
    Indices,
    Labels,
    MLPParameters,
    metrics_of,
    mlp,
)
from benchmark.tasks.protocol import Metric

N_FEATURES, N_CLASSES = 30, 2
N_EXAMPLES, N_BENIGN = 569, 357


class BreastCancerMLP(Classification):
    """Tell malignant from benign samples with a ReLU network."""

    name: ClassVar[str] = "breast-cancer-mlp"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Breast cancer (30 measurements, 2 classes) with a small ReLU network"
    source: ClassVar[str] = (
        "W. Wolberg, O. Mangasarian, N. Street, W. Street, Breast Cancer Wisconsin (Diagnostic) (1993), UCI, "
        "CC BY 4.0; as scikit-learn ships it"
    )
    metrics: ClassVar[tuple[Metric, ...]] = metrics_of("samples", N_CLASSES, largest_share=N_BENIGN / N_EXAMPLES)
    Parameters: ClassVar[type[SpecModel]] = MLPParameters
    params: MLPParameters

    def examples(self) -> tuple[Features, Labels]:
        """Return measurements (569, 30) in their own units, and labels: 0 malignant, 1 benign."""
        return _breast_cancer()

    def scaled(self, features: Features, train: Indices) -> Features:
        """Return the features with mean 0 and standard deviation 1 over the training split."""
        known = features[train].astype(np.float64)
        scaled: NDArray[np.float64] = (features - known.mean(axis=0)) / known.std(axis=0)
        return scaled.astype(np.float32)

    def model(self, seed: int) -> nn.Module:
        """Return the ReLU network."""
        return mlp(N_FEATURES, N_CLASSES, self.params)

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: always."""
        return True


@functools.cache
def _breast_cancer() -> tuple[Features, Labels]:
    from sklearn.datasets import load_breast_cancer  # takes a second, and few processes need data

    bunch = load_breast_cancer()
    return bunch.data.astype(np.float32), bunch.target.astype(np.int64)
