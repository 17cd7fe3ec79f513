"""An optimizer that shares its parameter groups and its state with a base optimizer under it."""

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer, SparseAdam
from torch.optim.optimizer import ParamsT

from optimizers.errors import BaseOptimizerError, HyperparameterError
from optimizers.hyperparameter import Hyperparameter, refuse_unknown
from optimizers.layout import Layout, check_parameters

__all__ = ["OverBase"]

COUNTS = ("total_steps", "n_updates", "n_evaluations")

TOTAL_STEPS = Hyperparameter("total_steps", int, low=1, description="updates in the run, for a warm-up of rho")


class OverBase(Optimizer):
    """Hyperparameters of a rule beside those of a base, in groups and a state that both see.

    What is counted lives in the parameter groups, so that whatever carries groups carries it: ``state_dict``, pickling.

    Args:
        params: parameters, named parameters, or groups of them.
        base_optimizer: class of the base.
        total_steps: number of updates in the run, where it is known.
        arguments: hyperparameters of the rule and of the base.
    """

    hyperparameters: ClassVar[Mapping[str, Hyperparameter]] = {}
    """The rule's own, by name."""

    remembers: ClassVar[str | None] = None
    """Name, in a state dictionary, of the tensor that the rule keeps for each parameter; None where it keeps none."""

    def __init__(
        self,
        params: ParamsT,
        base_optimizer: type[Optimizer],
        *,
        total_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        _check_base(base_optimizer)
        self._check_arguments(base_optimizer, arguments)
        own = {name: arguments.pop(name, h.default) for name, h in self.hyperparameters.items()}
        base = base_optimizer(params, **arguments)
        self._check_clash(base)
        self._layout: Layout | None = None
        # Apart from the base's state: Adam takes a state that is not empty for one that it has made.
        self._remembered: dict[Tensor, Tensor] = {}
        counts = dict(zip(COUNTS, (total_steps, 0, 0), strict=True))
        super().__init__(base.param_groups, {**base.defaults, **own, **counts})
        self._base = base
        self._share()

    @property
    def base_optimizer(self) -> Optimizer:
        """The optimizer that takes the descent step; it sees these groups and this state."""
        return self._base

    @property
    def gradient_evaluations(self) -> int:
        """Gradients of the loss computed so far, in all updates."""
        return int(self.param_groups[0]["n_evaluations"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to optimize.

        Args:
            param_group: ``params`` and the hyperparameters in which it differs, ``rho`` and ``lr`` among them.

        Raises:
            HyperparameterError: a hyperparameter is outside its range, or may not differ between groups.
            ParameterError: a parameter is complex, sparse, of a foreign class, or on another device than the others.
        """
        for name in COUNTS if self.param_groups else ():
            param_group.setdefault(name, self.param_groups[0][name])
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except Exception:
            self.param_groups.pop()
            raise
        self._layout = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of rule and base as one dictionary, as of ``torch.optim.Optimizer``."""
        own = self.state
        self.state = defaultdict(dict, own)
        for parameter, kept in self._remembered.items():
            self.state[parameter] = {**own.get(parameter, {}), str(self.remembers): kept}
        try:
            return super().state_dict()
        finally:
            self.state = own

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_base": self._base, "_remembered": self._remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._layout = None
        if "_remembered" not in state:
            self._remembered = self._taken_from_state()
        for group in self.param_groups:
            # A checkpoint of the base alone is a fine start for a rule over it.
            for name in (*self.hyperparameters, *COUNTS):
                group.setdefault(name, self.defaults[name])
        self._share()

    def _taken_from_state(self) -> dict[Tensor, Tensor]:
        kept = {}
        for parameter in [key for key, own in self.state.items() if isinstance(own, dict) and self.remembers in own]:
            kept[parameter] = self.state[parameter].pop(self.remembers)
            if not self.state[parameter]:
                del self.state[parameter]
        return kept

    def _share(self) -> None:
        self._base.__setstate__({"state": self.state, "param_groups": self.param_groups})

    def _count(self, name: str) -> None:
        for group in self.param_groups:
            group[name] += 1

    @property
    def _places(self) -> Layout:
        if self._layout is not None and self._layout.outdated:
            self._layout = None
            self._remembered = {parameter: kept.to(parameter) for parameter, kept in self._remembered.items()}
        if self._layout is None:
            self._layout = Layout(self.param_groups)
        return self._layout

    def _check_group(self, group: dict[str, Any]) -> None:
        first = self.param_groups[0]
        devices = (parameter.device for other in self.param_groups for parameter in other["params"])
        check_parameters(group["params"], next(devices, torch.device("cpu")))
        for name, hyperparameter in self.hyperparameters.items():
            group[name] = hyperparameter.check(group[name])
            if not hyperparameter.per_group and group[name] != first[name]:
                message = (
                    f"{name} must be the same in every parameter group, for it enters a projection over all, "
                    f"but got {first[name]!r} and {group[name]!r}."
                )
                raise HyperparameterError(name, message)
        if group["total_steps"] is not None:
            group["total_steps"] = TOTAL_STEPS.check(group["total_steps"])
        elif group.get("rho_warmup"):
            message = (
                "rho_warmup is a share of the run's steps, so total_steps must be given with it, "
                f"but got rho_warmup={group['rho_warmup']!r} and total_steps=None."
            )
            raise HyperparameterError("total_steps", message)

    def _check_arguments(self, base_optimizer: type[Optimizer], arguments: Mapping[str, Any]) -> None:
        theirs = _parameters(base_optimizer).values()  # type: ignore[arg-type]  # mypy: a class has no hash
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in theirs):
            known = {*self.hyperparameters, *_keywords(type(self)), *_keywords(base_optimizer)} - {"base_optimizer"}
            refuse_unknown(arguments, known, f"{type(self).__name__} over {base_optimizer.__name__}")

    def _check_clash(self, base: Optimizer) -> None:
        for name in (*self.hyperparameters, *COUNTS):
            if name in base.defaults or name in _keywords(type(base)):
                message = (
                    f"a name must mean one thing in a parameter group, but {type(self).__name__} and "
                    f"{type(base).__name__} both have {name!r}. Use another base, such as SGD or AdamW."
                )
                raise BaseOptimizerError(message)

    def _step_base(self, found_inf: Tensor | None = None) -> None:
        """Let the base step; with ``found_inf``, as for a gradient scaler: its fused kernel skips where that is 1."""
        base = cast(Any, self._base)
        # Without the base's own hooks: global step hooks and profiles are to see one step an update, which is ours.
        step: Any = type(base).step
        # Those of torch whose multi-tensor path gives the same bits and leaves the gradients alone.
        may = isinstance(base, SGD | Adam) and self._places.small
        together = [group for group in self.param_groups if may and _takes_foreach(group)]
        for group in together:
            group["foreach"] = True
        if found_inf is not None:
            base.found_inf, base.grad_scale = found_inf, None
        try:
            (step.__wrapped__ if hasattr(step, "hooked") else step)(base)
        finally:
            for group in together:
                group["foreach"] = None
            if found_inf is not None:
                del base.found_inf, base.grad_scale


def _takes_foreach(group: Mapping[str, Any]) -> bool:
    """Return whether the base's multi-tensor kernels may take a group's step: nobody has chosen, nothing forbids."""
    if group.get("foreach", False) is not None or any(map(group.get, ("fused", "differentiable", "nesterov"))):
        return False
    values = (value for name, value in group.items() if name != "params")
    return not any(isinstance(x, Tensor) for value in values for x in (value if type(value) is tuple else (value,)))


@functools.lru_cache(maxsize=256)
def _parameters(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or a function; to read them takes longer than all else when one is made."""
    return inspect.signature(function).parameters


def _keywords(cls: type[Optimizer]) -> list[str]:
    parameters = _parameters(cls).values()  # type: ignore[arg-type]  # as above
    return [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD and p.name != "params"]


def _check_base(base_optimizer: object) -> None:
    if not (isinstance(base_optimizer, type) and issubclass(base_optimizer, Optimizer)):
        message = (
            "the base optimizer must be a class of torch.optim.Optimizer, such as torch.optim.SGD, "
            f"but got {base_optimizer!r}."
        )
        raise BaseOptimizerError(message)
    if issubclass(base_optimizer, OverBase):
        message = f"the base optimizer must be a plain one, but got {base_optimizer.__name__}; rules do not nest."
        raise BaseOptimizerError(message)
    if issubclass(base_optimizer, SparseAdam):
        message = "the base optimizer must take dense gradients, but SparseAdam takes sparse ones alone. Use Adam."
        raise BaseOptimizerError(message)
    closure = _parameters(base_optimizer.step).get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        message = (
            f"the base optimizer's step must need no closure, but that of {base_optimizer.__name__} does: it evaluates "
            "the loss at points of its own. Use SGD, Adam or AdamW."
        )
        raise BaseOptimizerError(message)
