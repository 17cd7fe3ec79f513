"""Sharpness-aware optimizers over any ``torch.optim`` class: SAM, Monge SAM and their relatives.

    from optimizers import MSAM
    optimizer = MSAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9, model=model)
    loss = optimizer.step(closure)

An optimizer of one's own is made known by ``rule_info`` or ``class_info``, and named by specs once it is registered.
The arithmetic is in ``optimizers.rules``, as pure functions that also run over many cells under ``torch.func.vmap``.
"""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from optimizers.alone import Alone
    from optimizers.bases import NO_BASE, BaseInfo, base_info, base_names
    from optimizers.buffers import frozen_buffers
    from optimizers.errors import (
        BaseOptimizerError,
        HyperparameterError,
        OptimizersError,
        ParameterError,
        RegistrationError,
        StepOrderError,
        UnknownNameError,
        nearest,
        unknown_name_message,
    )
    from optimizers.hyperparameter import Hyperparameter
    from optimizers.info import OptimizerInfo, Seen, Source
    from optimizers.memoryless import ASAM, GD, MSAM, SAM, USAM, FisherSAM
    from optimizers.own import OwnRule, class_info, rule_info
    from optimizers.registry import (
        adopt_optimizer,
        build,
        check_optimizer_name,
        optimizer_info,
        optimizer_names,
        optimizer_source,
        register_optimizer,
        registered_optimizers,
    )
    from optimizers.remembering import GSAM, FriendlySAM, LookSAM, MomentumSAM
    from optimizers.source_files import source_file_hash
    from optimizers.two_pass import TwoPassOptimizer
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = [
    "ASAM",
    "GD",
    "GSAM",
    "MSAM",
    "NO_BASE",
    "SAM",
    "USAM",
    "Alone",
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
    "OwnRule",
    "ParameterError",
    "RegistrationError",
    "Seen",
    "Source",
    "StepOrderError",
    "TwoPassOptimizer",
    "UnknownNameError",
    "adopt_optimizer",
    "base_info",
    "base_names",
    "build",
    "check_optimizer_name",
    "class_info",
    "frozen_buffers",
    "nearest",
    "optimizer_info",
    "optimizer_names",
    "optimizer_source",
    "register_optimizer",
    "registered_optimizers",
    "rule_info",
    "source_file_hash",
    "unknown_name_message",
]
