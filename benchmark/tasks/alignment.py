"""Alignment of two views of the same things by two networks under a contrastive loss: what its tasks share."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmark.parsing import Integer, Number, SpecModel
from benchmark.tasks import retrieval
from benchmark.tasks.protocol import Batch, Metric, Model, Splits, Task

BLOCK = 128
TEMPERATURE, MAX_SCALE = 0.07, 100.0
K_NEIGHBOURS = 8
DEPTHS = (1, 5, 10)

View = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


def alignment_metrics(views: tuple[str, str], n_scored: int) -> tuple[Metric, ...]:
    """Return the metrics of a task that aligns two views.

    Args:
        views: their names.
        n_scored: pairs of a split that is scored.
    """

    def recall(k: int, name: str, what: str, *, at_end: bool = True) -> Metric:
        return Metric(name, "maximize", 0.02, k / n_scored, f"share of pairs among the {k} nearest, {what}", at_end)

    neighbours, chance = "common share of 8 nearest neighbours", K_NEIGHBOURS / (n_scored - 1)
    return (
        recall(10, "recall_at_10", "mean of both directions", at_end=False),
        Metric("mutual_knn", "maximize", 0.01, chance, neighbours, at_end=True),
        Metric("loss", "minimize", 0.05, math.log(BLOCK), f"symmetric InfoNCE of blocks of {BLOCK}, in nats"),
        recall(1, "recall_at_1", "mean of both directions"),
        recall(5, "recall_at_5", "mean of both directions"),
        *(
            recall(k, f"{direction}_recall_at_{k}", direction.replace("_", " "))
            for direction, k in itertools.product(directions(views), DEPTHS)
        ),
        # chance of the last three: where each view is one point and the two are unrelated
        Metric("modality_gap", "minimize", 0.05, math.sqrt(2), "distance of the centroids of both views", at_end=True),
        Metric("alignment", "minimize", 0.05, 2.0, "mean squared distance of the pairs", at_end=True),
        Metric("uniformity", "minimize", 0.1, 0.0, "log mean potential of a view, mean of both", at_end=True),
    )


def directions(views: tuple[str, str]) -> tuple[str, str]:
    """Return the names of the two ways in which one view finds the other."""
    one, other = views
    return f"{one}_to_{other}", f"{other}_to_{one}"


class AlignmentParameters(SpecModel):
    """Parameters of a task that aligns two views by two networks."""

    hidden: Annotated[Integer, Field(ge=1, le=4096, description="units of each hidden layer of a head")] = 128
    dim: Annotated[Integer, Field(ge=2, le=1024, description="dimensions of the shared space")] = 64
    depth: Annotated[Integer, Field(ge=1, le=8, description="number of hidden layers of a head")] = 1
    loss_scale: Annotated[Number, Field(gt=0, description="factor on the training loss")] = 1.0
    train_share: Annotated[
        Number, Field(ge=0.125, le=1, description="share of the training split, or of each class in it, that is used")
    ] = 1.0  # at least one block of the training loss


class Alignment(Task):
    """Embed two views of the same things into one space, so that each finds its pair.

    Two ReLU networks and a logit scale are trained with the contrastive loss of CLIP. The primary score is recall at
    10: it starts at chance and moves with every pair. Recall at 1 has three times its relative noise; the overlap of
    nearest neighbours, by which the study of Monge SAM scores alignment, is measured beside it, but views may agree
    before any training. A subclass gives the views and says which of their rows are for what.

    Attributes:
        views: the names of both.
    """

    views: ClassVar[tuple[str, str]]
    can_split: ClassVar[bool] = True
    Parameters: ClassVar[type[SpecModel]] = AlignmentParameters
    params: AlignmentParameters

    @abstractmethod
    def pairs(self) -> tuple[View, View]:
        """Return the raw features (n, ...) of both views, row i of one the pair of row i of the other."""

    @abstractmethod
    def rows(self, seed: int) -> Sequence[Rows]:
        """Return the rows of the whole training split, of validation and of test, each in a random order.

        `loss` is of blocks of rows as they stand, which must be like any other.
        """

    @abstractmethod
    def used(self, train: Rows, seed: int) -> Rows:
        """Return the rows of the training split that are trained on, by the share that the parameters say."""

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: yes, there is neither state nor chance in the model."""
        return True

    def splits(self, seed: int) -> Splits:
        """Return both views of each split.

        Each feature has mean 0 and standard deviation 1 on the whole training split, whatever share of it is used.
        """
        train, validation, test = self.rows(seed)
        views = [_standardised(view.astype(np.float64), train) for view in self.pairs()]
        rows = (self.used(train, seed), validation, test)
        return Splits(*(tuple(torch.from_numpy(view[index]) for view in views) for index in rows))

    def model(self, seed: int) -> nn.Module:
        """Return the two networks and the logit scale, torch's default initialisation."""
        one, other = (self._head(view.shape[1]) for view in self.pairs())
        return _TwoHeads(dict(zip(self.views, (one, other), strict=True)))

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
        similarities = a @ b.mT
        recalls = [retrieval.recall_at([10], way)[0] for way in (similarities, similarities.mT)]
        return {"recall_at_10": torch.stack(recalls).mean(), "loss": loss_of_blocks(a, b, scale)}

    def evaluate_end(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return recall at 1 and 5, each direction's recall, common neighbours, and the shape of the shared space."""
        a, b, _ = model(*split)
        return {**recalls_of(self.views, a, b), **shape_of(a, b)}


def recalls_of(views: tuple[str, str], a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Return recall at 1 and 5, the means of both directions, and recall at 1, 5 and 10 in each of them."""
    similarities, ways = a @ b.mT, directions(views)
    recalls = {
        f"{name}_recall_at_{k}": recall
        for name, way in zip(ways, (similarities, similarities.mT), strict=True)
        for k, recall in zip(DEPTHS, retrieval.recall_at(DEPTHS, way), strict=True)
    }
    means = {f"recall_at_{k}": torch.stack([recalls[f"{way}_recall_at_{k}"] for way in ways]).mean() for k in (1, 5)}
    return {**means, **recalls}


def shape_of(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Return the share of common neighbours and the measures of the shared space."""
    return {
        "mutual_knn": retrieval.mutual_knn(a, b, K_NEIGHBOURS),
        "modality_gap": retrieval.modality_gap(a, b),
        "alignment": retrieval.alignment(a, b),
        "uniformity": retrieval.uniformity(a, b),
    }


def loss_of_blocks(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """Return the mean symmetric InfoNCE of consecutive blocks of 128 pairs, without the rest that fills none."""
    n_blocks = len(a) // BLOCK
    blocks_a, blocks_b = (x[: n_blocks * BLOCK].reshape(n_blocks, BLOCK, -1) for x in (a, b))
    return retrieval.info_nce(blocks_a, blocks_b, scale)


class _TwoHeads(nn.Module):
    """A network for each view, and a logit scale that is learned as its logarithm."""

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._views = tuple(heads)
        for view, head in heads.items():
            self.add_module(view, head)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def forward(self, *views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both embeddings (n, dim), each row of length 1, and the scale, at most 100 as in CLIP.

        CLIP resets what is larger after the step; here the loss knows the bound, so the gradient there is 0. There is
        no lower bound: a step that is too long drives the scale towards 0, and the loss to that of chance.
        """
        heads = [self.get_submodule(name) for name in self._views]
        a, b = (functional.normalize(head(view)) for head, view in zip(heads, views, strict=True))
        return a, b, self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()


def _standardised(features: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return features (n, d) with mean 0 and standard deviation 1 over the rows `train`; constant ones only centred."""
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    standardised: NDArray[np.float32] = ((features - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)
    return standardised
