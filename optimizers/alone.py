"""An optimizer that takes the descent step itself, counted and measured like a rule over a base."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optimizers.buffers import frozen_buffers
from optimizers.errors import HyperparameterError, OptimizersError
from optimizers.foreach import Foreach
from optimizers.info import OptimizerInfo

__all__ = ["Alone"]


class Alone:
    """An optimizer of any class with ``step(closure)``: how often it asks for the loss is counted.

    Buffers of the model (statistics of batch norm) count once an update: in the first pass.

    Args:
        info: of the optimizer; it has no base.
        parameters: what it optimizes.
        values: one for each of its hyperparameters.
        model: whose buffers count once.

    Raises:
        HyperparameterError: the optimizer refuses the values.
    """

    def __init__(
        self,
        info: OptimizerInfo,
        parameters: Sequence[Tensor],
        values: Mapping[str, Any],
        *,
        model: nn.Module | None = None,
    ) -> None:
        if info.make is None:
            raise ValueError(f"{info.name} must be an optimizer without a base, but it has one.")
        try:
            self.optimizer: Optimizer = info.make(parameters, **values)
        except Exception as error:
            shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
            message = f"{info.name} cannot be made with {shown}: {type(error).__name__}: {error}"
            raise HyperparameterError(info.name, message) from error
        self._name, self._parameters, self._model = info.name, list(parameters), model
        self._has_radius = "rho" in info.hyperparameters
        self.gradient_evaluations = 0
        first = next(iter(self._parameters))
        self._zero = torch.zeros((), device=first.device)
        self.grad_norm = self.delta_norm = self._zero

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of the optimizer, each with its learning rate."""
        return self.optimizer.param_groups

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer, and how often it asked for the loss."""
        return {"optimizer": self.optimizer.state_dict(), "gradient_evaluations": self.gradient_evaluations}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.optimizer.load_state_dict(dict(state_dict["optimizer"]))
        self.gradient_evaluations = state_dict["gradient_evaluations"]

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad()

    def step(self, closure: Callable[[], Any]) -> Any:
        """Update the parameters once.

        Args:
            closure: zeroes the gradients, computes the loss, backpropagates and returns the loss.

        Returns:
            The loss of the first pass.

        Raises:
            OptimizersError: the optimizer never asked for the loss.
        """
        losses: list[Any] = []
        theta: list[Tensor] = []
        self.delta_norm = self._zero

        def observed() -> Any:
            is_first = not losses
            again = nullcontext() if is_first or self._model is None else frozen_buffers(self._model)
            if len(losses) == 1 and theta:
                moved = [new.detach() - old for new, old in zip(self._parameters, theta, strict=True)]
                self.delta_norm = self._zero + Foreach().norm(moved)
            with torch.enable_grad(), again:
                losses.append(closure())
            self.gradient_evaluations += 1
            if is_first:
                gradients = [p.grad for p in self._parameters if p.grad is not None]
                self.grad_norm = self._zero + (Foreach().norm(gradients) if gradients else 0.0)
                theta.extend(p.detach().clone() for p in self._parameters if self._has_radius)
            return losses[-1]

        self.optimizer.step(observed)
        if not losses:
            raise OptimizersError(f"step(closure) must call its closure, but that of {self._name} did not.")
        return losses[0]
