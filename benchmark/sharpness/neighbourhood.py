"""The loss around the points where some cells ended: values, gradients, and products with the Hessian."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Losses = Callable[[Sequence[Tensor]], Tensor]
"""The losses of some cells, (cells,), as a function of their parameters: one tensor a parameter, (cells, ...).

Every loss depends on the parameters of its own cell alone, and can be differentiated twice.
"""


class Neighbourhood:
    """What the losses of some cells are around their parameters.

    The gradient of the sum of the losses is the gradient of each, for a cell has no part in the loss of another; and so
    are products with the Hessian. One backward pass serves all cells, whether they are mapped or there is one alone.

    Args:
        losses: of the cells.
        parameters: theta, one tensor a parameter, (cells, ...); they are copied and never changed.
    """

    def __init__(self, losses: Losses, parameters: Sequence[Tensor]) -> None:
        self._losses = losses
        self.parameters = [parameter.detach().clone().requires_grad_() for parameter in parameters]
        with torch.enable_grad():
            values = losses(self.parameters)
            self._gradients = self._derivatives(values, create_graph=True)
        self.values = values.detach()

    @property
    def gradients(self) -> list[Tensor]:
        """g, one tensor a parameter, (cells, ...)."""
        return [gradient.detach() for gradient in self._gradients]

    @property
    def n_parameters(self) -> int:
        """Number of parameters of a cell."""
        return sum(parameter[0].numel() for parameter in self.parameters)

    def values_at(self, displacements: Sequence[Tensor]) -> Tensor:
        """Return the losses at theta + displacement, (cells,)."""
        with torch.no_grad():
            moved = [parameter + by for parameter, by in zip(self.parameters, displacements, strict=True)]
            return self._losses(moved)

    def product(self, vectors: Tensor) -> Tensor:
        """Return the Hessian of each cell times its vector: both (cells, parameters)."""
        n_cells = len(vectors)
        parts = torch.split(vectors, [parameter[0].numel() for parameter in self.parameters], dim=1)
        with torch.enable_grad():
            along = [
                (gradient * part.reshape(gradient.shape)).sum()
                for gradient, part in zip(self._gradients, parts, strict=True)
            ]
            products = self._derivatives(torch.stack(along), create_graph=False)
        return torch.cat([product.reshape(n_cells, -1) for product in products], dim=1)

    def _derivatives(self, value: Tensor, *, create_graph: bool) -> tuple[Tensor, ...]:
        if not value.requires_grad:  # nothing of it depends on the parameters: a gradient that is constant
            return tuple(torch.zeros_like(parameter) for parameter in self.parameters)
        return torch.autograd.grad(
            value.sum(), self.parameters, create_graph=create_graph, retain_graph=True, materialize_grads=True
        )
