"""Micro-batches: a model that goes through a batch in parts, and takes the memory of one part."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint

from benchmark.tasks import Model


def in_parts(model: Model, size: int | None) -> Model:
    """Return a model whose forward and backward passes see so many examples at most.

    Outputs and gradients are those of the whole batch, to rounding, whatever the loss makes of the outputs: it may
    relate examples to each other, as a contrastive loss does. Each part goes forward without keeping what its backward
    pass needs, the loss is that of all outputs, and in the backward pass each part goes forward once more, with the
    same random numbers: by reckoning a third more work. (L. Gao, Y. Zhang, J. Han, J. Callan, Scaling Deep Contrastive
    Learning Batch Size under Memory Limited Setup, 2021, arXiv 2101.06983; T. Chen, B. Xu, C. Zhang, C. Guestrin,
    Training Deep Nets with Sublinear Memory Cost, 2016, arXiv 1604.06174.)

    Args:
        model: a function of inputs (n, ...). Each of its outputs is (n, ...), every row made of the same row of the
            inputs alone, or a single number that is the same for every batch.
        size: most examples of a part; None for the model as it is.
    """
    if size is None:
        return model

    def whole(*inputs: Tensor) -> Any:
        if len(inputs[0]) <= size:
            return model(*inputs)
        parts = zip(*(torch.split(each, size) for each in inputs), strict=True)
        return together([checkpoint(model, *part, use_reentrant=False) for part in parts])

    return whole


def together(parts: Sequence[Any]) -> Any:
    """Return the outputs of a batch, of those of its parts; what is a single number is that of the first part."""
    leaves, structures = zip(*map(tree_flatten, parts), strict=True)
    return tree_unflatten([_one(each) for each in zip(*leaves, strict=True)], structures[0])


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether a model normalises over the examples of a batch, so that parts of it are not as the whole."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return any(isinstance(layer, kinds) for layer in model.modules())


def _one(values: Sequence[Any]) -> Any:
    return torch.cat(list(values)) if isinstance(values[0], Tensor) and values[0].ndim else values[0]
