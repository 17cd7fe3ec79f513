"""Alignment of two views: the pixels and the Fourier coefficients of the same 2,000 handwritten digits."""

import itertools
import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmark.parsing import Integer, Number, SpecModel
from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks import retrieval
from benchmark.tasks.classification import stratified
from benchmark.tasks.package_data import package_arrays
from benchmark.tasks.protocol import Batch, Metric, Model, Splits, Task

FILE, SHA256 = "mfeat.npz", "c6bd38041b5c3914b73ee9232a8ae40ebac9bdbfca9bc023e7a88cb08b15a5d9"
N_PIX, N_FOU = 240, 76
TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2
N_SCORED = 400
BLOCK = 128
TEMPERATURE, MAX_SCALE = 0.07, 100.0
K_NEIGHBOURS = 8
DIRECTIONS = ("pix_to_fou", "fou_to_pix")
DEPTHS = (1, 5, 10)


def _recall(k: int, name: str, what: str, *, at_end: bool = True) -> Metric:
    return Metric(name, "maximize", 0.02, k / N_SCORED, f"share of pairs among the {k} nearest, {what}", at_end)


class AlignmentMfeatParameters(SpecModel):
    """Parameters of `alignment-mfeat`."""

    hidden: Annotated[Integer, Field(ge=1, le=4096, description="units of each hidden layer of a head")] = 128
    dim: Annotated[Integer, Field(ge=2, le=1024, description="dimensions of the shared space")] = 64
    depth: Annotated[Integer, Field(ge=1, le=8, description="number of hidden layers of a head")] = 1
    loss_scale: Annotated[Number, Field(gt=0, description="factor on the training loss")] = 1.0
    train_share: Annotated[
        Number, Field(ge=0.125, le=1, description="share of each class of the training split that is used")
    ] = 1.0  # at least one block of the training loss


class AlignmentMfeat(Task):
    """Embed two views of a digit into one space, so that each finds its pair among 400.

    Two ReLU networks and a logit scale are trained with the contrastive loss of CLIP. The primary score is recall at
    10: it starts at chance and moves with every pair. Recall at 1 has three times its relative noise; the overlap of
    nearest neighbours, by which the study of Monge SAM scores alignment, is measured beside it, but the views agree to
    .13 before any training.
    """

    name: ClassVar[str] = "alignment-mfeat"
    version: ClassVar[int] = 1
    title: ClassVar[str] = (
        "Two views of handwritten digits (240 pixels, 76 Fourier coefficients) aligned by two networks"
    )
    source: ClassVar[str] = (
        "R. P. W. Duin, Multiple Features (1998), UCI, https://doi.org/10.24432/C5HC70, CC BY 4.0; "
        "two of its six feature sets"
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        _recall(10, "recall_at_10", "mean of both directions", at_end=False),
        Metric(
            "mutual_knn",
            "maximize",
            0.01,
            K_NEIGHBOURS / (N_SCORED - 1),
            "common share of 8 nearest neighbours",
            at_end=True,
        ),
        Metric("loss", "minimize", 0.05, math.log(BLOCK), f"symmetric InfoNCE of blocks of {BLOCK}, in nats"),
        _recall(1, "recall_at_1", "mean of both directions"),
        _recall(5, "recall_at_5", "mean of both directions"),
        *(
            _recall(k, f"{direction}_recall_at_{k}", direction.replace("_", " "))
            for direction, k in itertools.product(DIRECTIONS, DEPTHS)
        ),
        # chance of the last three: where each view is one point and the two are unrelated
        Metric("modality_gap", "minimize", 0.05, math.sqrt(2), "distance of the centroids of both views", at_end=True),
        Metric("alignment", "minimize", 0.05, 2.0, "mean squared distance of the pairs", at_end=True),
        Metric("uniformity", "minimize", 0.1, 0.0, "log mean potential of a view, mean of both", at_end=True),
    )
    Parameters: ClassVar[type[SpecModel]] = AlignmentMfeatParameters
    params: AlignmentMfeatParameters

    @property
    def data_version(self) -> str:
        """Checksum of the file from which both views are read."""
        return SHA256[:16]

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: yes, there is neither state nor chance in the model."""
        return True

    def splits(self, seed: int) -> Splits:
        """Return 60 / 20 / 20 % of the digits, stratified by class: `pix` (n, 240) and `fou` (n, 76).

        Each feature has mean 0 and standard deviation 1 on the whole training split, whatever share of it is used.
        The order is random: `loss` is of blocks of it, which must not hold one class.
        """
        arrays = package_arrays(FILE, SHA256)
        labels, generator = arrays["labels"].astype(np.int64), numpy_generator(seed, Stream.SPLIT)
        parts = stratified(labels, (TRAIN_SHARE, VALIDATION_SHARE), generator)
        train, validation, test = (generator.permutation(part) for part in parts)
        views = [_standardised(arrays[view].astype(np.float64), train) for view in ("pix", "fou")]
        used, _ = stratified(labels[train], (self.params.train_share,), numpy_generator(seed, Stream.SUBSET))
        rows = (train[used], validation, test)
        return Splits(*(tuple(torch.from_numpy(view[index]) for view in views) for index in rows))

    def model(self, seed: int) -> nn.Module:
        """Return the two networks and the logit scale, torch's default initialisation."""
        return _TwoHeads(self._head(N_PIX), self._head(N_FOU))

    def _head(self, n_features: int) -> nn.Sequential:
        widths = [n_features] + [self.params.hidden] * self.params.depth
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], self.params.dim))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the symmetric InfoNCE loss of a batch, ln n at chance, times the factor of the parameters."""
        return self.params.loss_scale * retrieval.info_nce(*model(*batch))

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return recall at 10 and the loss.

        The loss is the mean over consecutive blocks of 128, without the rest that fills none: a contrastive loss grows
        with the number of candidates, and this one is comparable whatever the batch size and split.
        """
        a, b, scale = model(*split)
        n_blocks = len(a) // BLOCK
        blocks_a, blocks_b = (x[: n_blocks * BLOCK].unflatten(0, (n_blocks, BLOCK)) for x in (a, b))
        similarities = a @ b.mT
        recalls = [retrieval.recall_at([10], way)[0] for way in (similarities, similarities.mT)]
        return {
            "recall_at_10": torch.stack(recalls).mean(),
            "loss": retrieval.info_nce(blocks_a, blocks_b, scale),
        }

    def evaluate_end(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return recall at 1 and 5, each direction's recall, common neighbours, and the shape of the shared space."""
        a, b, _ = model(*split)
        similarities = a @ b.mT
        recalls = {
            f"{direction}_recall_at_{k}": recall
            for direction, way in zip(DIRECTIONS, (similarities, similarities.mT), strict=True)
            for k, recall in zip(DEPTHS, retrieval.recall_at(DEPTHS, way), strict=True)
        }
        means = {
            f"recall_at_{k}": torch.stack([recalls[f"{direction}_recall_at_{k}"] for direction in DIRECTIONS]).mean()
            for k in (1, 5)
        }
        return {
            **means,
            **recalls,
            "mutual_knn": retrieval.mutual_knn(a, b, K_NEIGHBOURS),
            "modality_gap": retrieval.modality_gap(a, b),
            "alignment": retrieval.alignment(a, b),
            "uniformity": retrieval.uniformity(a, b),
        }


class _TwoHeads(nn.Module):
    """A network for each view, and a logit scale that is learned as its logarithm."""

    def __init__(self, pix: nn.Module, fou: nn.Module) -> None:
        super().__init__()
        self.pix, self.fou = pix, fou
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def forward(self, pix: Tensor, fou: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both embeddings (n, dim), each row of length 1, and the scale, at most 100 as in CLIP.

        CLIP resets what is larger after the step; here the loss knows the bound, so the gradient there is 0. There is
        no lower bound: a step that is too long drives the scale towards 0, and the loss to that of chance.
        """
        a, b = functional.normalize(self.pix(pix)), functional.normalize(self.fou(fou))
        return a, b, self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()


def _standardised(features: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return features (n, d) with mean 0 and standard deviation 1 over the rows `train`; constant ones only centred."""
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    standardised: NDArray[np.float32] = ((features - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)
    return standardised
