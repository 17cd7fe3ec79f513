"""One update in the making: where theta is kept meanwhile, and what was seen on the way."""

import enum
from collections.abc import Sequence

import torch

from optimizers.elementwise import Scalar, Tensors
from optimizers.foreach import Foreach, Scratch, add_scaled_
from optimizers.layout import Active
from optimizers.rules import Ascent

__all__ = ["Phase", "Update"]


class Phase(enum.Enum):
    """Where an update stands."""

    AT_REST = enum.auto()
    PERTURBED = enum.auto()
    RESTORED = enum.auto()


class Update:
    """Theta while the parameters are away from it, and the norms met, all on the device.

    Attributes:
        phase: where the update stands.
        first_norm: global norm of the gradient at theta, None where there was none.
        second: what is finite where the gradient of the second pass is, and where that is the only one, its norm;
            None where there was none or nobody needs it.
    """

    def __init__(self) -> None:
        self.phase = Phase.AT_REST
        self.first_norm: Scalar | None = None
        self.second: Scalar | None = None
        self._displaced: tuple[Tensors, Scratch] | None = None
        self._steps: list[tuple[Scalar, Scalar]] = []

    def displace(self, active: Active, memory: Scratch, ascent: Ascent, radii: Sequence[float]) -> None:
        """Copy theta to ``memory`` and add delta to the parameters, in place.

        Args:
            active: what is perturbed.
            memory: where theta is kept.
            ascent: delta up to its radius.
            radii: one for all of the parameters, or one for each; negative where theta moves against delta.
        """
        self.first_norm = ascent.gradient_norm
        torch._foreach_copy_(memory.views, active.parameters)
        self._displaced = active.parameters, memory
        distinct = dict.fromkeys(radii)
        for radius in distinct:
            parameters, direction, norm = active.parameters, ascent.direction, ascent.direction_norm
            if len(distinct) > 1:
                parameters = [p for p, own in zip(parameters, radii, strict=True) if own == radius]
                direction = [x for x, own in zip(direction, radii, strict=True) if own == radius]
                norm = Foreach().norm(direction)
            self._steps.append((add_scaled_(parameters, direction, ascent.coefficient * radius), norm))

    def put_back(self) -> None:
        """Copy theta back, bitwise and in place; nothing where nothing was displaced. The phase follows."""
        if self._displaced is not None:
            parameters, memory = self._displaced
            torch._foreach_copy_(parameters, memory.views)
            self._displaced = None
        if self.phase is Phase.PERTURBED:
            self.phase = Phase.RESTORED

    def lengths(self) -> list[tuple[Scalar, Scalar]]:
        """Return factors and norms whose products are the norms of delta's parts; a factor of 0 makes it 0."""
        return self._steps

    def seen(self) -> list[Scalar]:
        """Return a scalar for each gradient seen, finite where that is; the first is its norm."""
        return [scalar for scalar in (self.first_norm, self.second) if scalar is not None]
