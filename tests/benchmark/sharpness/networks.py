"""Small networks and their losses as functions of stacked parameters, in double precision."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap

from benchmark.sharpness import Losses, Neighbourhood

Parameters = list[Tensor]


def relu_network(seed: int, *, n_hidden: int = 5) -> Parameters:
    """W1, b1, W2, b2 of a network with three inputs and two outputs."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((n_hidden, 3), (n_hidden,), (2, n_hidden), (2,))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


_generator = torch.Generator().manual_seed(99)
INPUTS = torch.randn(16, 3, generator=_generator, dtype=torch.float64)
LABELS = torch.randint(0, 2, (16,), generator=_generator)


def loss_of(parameters: Sequence[Tensor]) -> Tensor:
    """Cross-entropy of the network on 16 fixed examples."""
    first, bias, second, last = parameters
    return torch.nn.functional.cross_entropy(torch.relu(INPUTS @ first.mT + bias) @ second.mT + last, LABELS)


def losses_of(parameters: Sequence[Tensor]) -> Tensor:
    """The losses of stacked networks."""
    losses: Tensor = vmap(loss_of)(list(parameters))
    return losses


def around(*points: Parameters, losses: Losses = losses_of) -> Neighbourhood:
    return Neighbourhood(losses, [torch.stack(each) for each in zip(*points, strict=True)])


def hessian(point: Parameters) -> Tensor:
    """The full Hessian, by torch's own function."""
    sizes = [tensor.numel() for tensor in point]

    def flat(vector: Tensor) -> Tensor:
        parts = torch.split(vector, sizes)
        return loss_of([part.reshape(tensor.shape) for part, tensor in zip(parts, point, strict=True)])

    vector = torch.cat([tensor.reshape(-1) for tensor in point])
    full: Tensor = torch.autograd.functional.hessian(flat, vector)  # type: ignore[no-untyped-call]  # torch leaves it
    return full
