"""What can be seen of an optimizer's last update, and what must not be looked at in the middle of one."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from optimizers.elementwise import Scalar
from optimizers.errors import StepOrderError
from optimizers.over_base import OverBase
from optimizers.update import Phase, Update

__all__ = ["Observed"]


class Observed(OverBase):
    """Diagnostics that stay on the device until they are asked for.

    Args:
        params: parameters, named parameters, or groups of them.
        base_optimizer: class of the base.
        arguments: those of :class:`OverBase`.
    """

    def __init__(self, params: ParamsT, base_optimizer: type[Optimizer], **arguments: Any) -> None:
        self._update = Update()
        super().__init__(params, base_optimizer, **arguments)

    @property
    def grad_norm(self) -> Tensor:
        """||g|| in the last update, 0-dim, on the device; NaN before the first.

        It is taken at theta, or where a rule has no gradient there, as Momentum-SAM, at the perturbed point.
        """
        seen = self._update.seen()
        return self._places.scalar(seen[0] if seen else math.nan)

    @property
    def delta_norm(self) -> Tensor:
        """||delta|| in the last update, 0-dim, on the device; 0 where nothing was perturbed."""
        parts = [(self._places.scalar(scale), norm) for scale, norm in self._update.lengths()]
        squares = [torch.where(scale == 0, 0, scale * norm).square() for scale, norm in parts]
        return torch.stack(squares).sum().sqrt() if squares else self._places.scalar(0.0)

    @property
    def non_finite(self) -> Tensor:
        """Whether a gradient of the last update was NaN or infinite: 0-dim, boolean, on the device.

        With ``skip_non_finite=False`` only the first is looked at, for nothing depends on the second.
        """
        return ~self._all_finite(self._update.seen())

    def state_dict(self) -> dict[str, Any]:
        """Return the state of rule and base as one dictionary, as of ``torch.optim.Optimizer``.

        Raises:
            StepOrderError: the parameters are perturbed, and so would be a checkpoint of the model.
        """
        self._refuse_perturbed("state_dict()")
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of rule and base, as of ``torch.optim.Optimizer``.

        Args:
            state_dict: what :meth:`state_dict` returned, or that of the base alone.

        Raises:
            StepOrderError: the parameters are perturbed, and theta would be forgotten.
        """
        self._refuse_perturbed("load_state_dict()")
        super().load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """See :meth:`OverBase.add_param_group`.

        Raises:
            StepOrderError: the parameters are perturbed, and the new ones would not be.
        """
        self._refuse_perturbed("add_param_group()")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        self._refuse_perturbed("a copy")
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._update = Update()
        super().__setstate__(state)

    def _all_finite(self, seen: Sequence[Scalar]) -> Tensor:
        return torch.stack([torch.isfinite(self._places.scalar(scalar)) for scalar in (0.0, *seen)]).all()

    def _refuse_perturbed(self, action: str) -> None:
        if self._update.phase is Phase.PERTURBED:
            message = (
                f"{action} needs the parameters at theta, but they are perturbed since first_step(). "
                "Call second_step(), or restore() to give the update up."
            )
            raise StepOrderError(message)
