"""Precision: a model whose forward pass is in 16 bits, while all around it stays in float32."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from benchmark.tasks import Model

Precision = Literal["fp32", "bf16", "fp16"]

NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def in_precision(model: Model, precision: Precision, device: torch.device) -> Model:
    """Return a model as a loss calls it: itself, or in 16 bits one that runs under autocast and returns float32.

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
        with torch.autocast(device.type, NARROW[precision], cache_enabled=False):
            outputs = model(*inputs)
        return tree_map(_wide, outputs)

    return narrow


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in NARROW.values() else value
