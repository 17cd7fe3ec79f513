"""Precision: a model whose forward pass is in bfloat16, while all around it stays in float32."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from benchmark.tasks import Model

Precision = Literal["fp32", "bf16"]


def in_precision(model: Model, precision: Precision, device: torch.device) -> Model:
    """Return a model as a loss calls it: itself, or in bf16 one that runs under autocast and returns float32.

    Parameters, gradients and updates stay float32, and so does what a loss does with the outputs: which of its kernels
    autocast would take for narrow enough differs between devices. Measurements are of the parameters, in float32.

    Args:
        model: a function of the inputs, whose parameters are float32.
        precision: of its forward pass.
        device: on which it runs.
    """
    if precision == "fp32":
        return model

    def narrow(*inputs: Any) -> Any:
        # without the cache, which would keep what torch.func made for one pass
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            outputs = model(*inputs)
        return tree_map(_wide, outputs)

    return narrow


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype is torch.bfloat16 else value
