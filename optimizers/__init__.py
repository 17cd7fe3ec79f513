"""Sharpness-aware optimizers over any ``torch.optim`` class: SAM, Monge SAM and their relatives.

    from optimizers import MSAM
    optimizer = MSAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9, model=model)
    loss = optimizer.step(closure)

The arithmetic is in ``optimizers.rules``, as pure functions that also run over many cells under ``torch.func.vmap``.
"""

from optimizers.bases import BaseInfo, base_info, base_names
from optimizers.buffers import frozen_buffers
from optimizers.errors import (
    BaseOptimizerError,
    HyperparameterError,
    OptimizersError,
    ParameterError,
    StepOrderError,
    UnknownNameError,
    nearest,
    unknown_name_message,
)
from optimizers.hyperparameter import Hyperparameter
from optimizers.memoryless import ASAM, GD, MSAM, SAM, USAM, FisherSAM
from optimizers.registry import OptimizerInfo, Source, build, optimizer_info, optimizer_names
from optimizers.remembering import GSAM, FriendlySAM, LookSAM, MomentumSAM
from optimizers.two_pass import TwoPassOptimizer

__all__ = [
    "ASAM",
    "GD",
    "GSAM",
    "MSAM",
    "SAM",
    "USAM",
    "BaseInfo",
    "BaseOptimizerError",
    "FisherSAM",
    "FriendlySAM",
    "Hyperparameter",
    "HyperparameterError",
    "LookSAM",
    "MomentumSAM",
    "OptimizerInfo",
    "OptimizersError",
    "ParameterError",
    "Source",
    "StepOrderError",
    "TwoPassOptimizer",
    "UnknownNameError",
    "base_info",
    "base_names",
    "build",
    "frozen_buffers",
    "nearest",
    "optimizer_info",
    "optimizer_names",
    "unknown_name_message",
]
