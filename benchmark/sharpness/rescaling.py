"""Rescaling of layers: what a ReLU network computes stays, and whatever changes is no property of the function."""

from collections.abc import Sequence

from torch import Tensor


def rescaled(parameters: Sequence[Tensor], factor: float) -> list[Tensor]:
    """Return (W1 a, b1 a, W2/a, b2): another point with the same function, for relu(a x) = a relu(x).

    L. Dinh, R. Pascanu, S. Bengio, Y. Bengio, Sharp Minima Can Generalize For Deep Nets (2017), arXiv 1703.04933.

    Args:
        parameters: W1, b1, W2, b2 of a network with one hidden ReLU layer.
        factor: a > 0.
    """
    if not factor > 0:
        raise ValueError(f"factor > 0 must hold, for a ReLU turns nothing around, but got factor={factor}.")
    first, bias, second, last = parameters
    return [first * factor, bias * factor, second / factor, last]
