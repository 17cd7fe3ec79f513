"""What steps have given and nobody has read: tensors that stay on their device, for reading them waits for it."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Pending:
    """Tensors of the steps since the last reading, kept on the device until they are read together."""

    def __init__(self, series: Iterable[Tensor] = ()) -> None:
        """Begin with what `series` of another one returned."""
        self._steps: list[tuple[Tensor, ...]] = list(zip(*(one.unbind() for one in series), strict=True))

    def add(self, *scalars: Tensor) -> None:
        """Add what a step gave."""
        self._steps.append(scalars)

    def series(self) -> list[Tensor]:
        """Return one tensor for each scalar of a step, with an element a step; none where nothing is pending."""
        return [torch.stack(one) for one in zip(*self._steps, strict=True)]

    def read(self) -> list[list[float]]:
        """Return one series for each scalar of a step, and forget them."""
        series = [one.cpu().to(torch.float64).tolist() for one in self.series()]
        self._steps.clear()
        return series
