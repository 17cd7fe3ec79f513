"""Rows of a split that are read when they are wanted, ahead of the step that wants them, by a few threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.sending import sent

N_AHEAD = 2  # batches that are read while one is trained on: what is held in memory, beside that one

Row = NDArray[Any]


@dataclass(frozen=True)
class LazyRows:
    """A column of a split that stays where it is, in files for instance, and of which rows are read one by one.

    Attributes:
        read: returns the row of a place, the same whenever it is asked for; all have one shape and type. Threads call
            it side by side, and what it raises ends the cell that wants the row.
        n: number of rows.
        checksum: returns that of all rows, without decoding them.
        device: on which what was read is wanted.
    """

    read: Callable[[int], Row]
    n: int
    checksum: Callable[[], bytes]
    device: torch.device = torch.device("cpu")  # noqa: RUF009  (nothing changes it)

    def __len__(self) -> int:
        return self.n

    def to(self, device: torch.device) -> "LazyRows":
        """Return these rows, wanted on a device."""
        return replace(self, device=device)


Column = Tensor | LazyRows
Split = tuple[Column, ...]
"""The columns of a split, of one length."""


def is_in_memory(split: Split) -> TypeGuard[tuple[Tensor, ...]]:
    """Return whether nothing of a split has to be read."""
    return not any(isinstance(column, LazyRows) for column in split)


def in_memory(split: Split) -> tuple[Tensor, ...]:
    """Return a split with all its rows read."""
    if is_in_memory(split):
        return split
    (whole,) = taken(split, [torch.arange(len(split[0]))])
    return whole


def taken(split: Split, indices: Iterable[Tensor]) -> Generator[tuple[Tensor, ...], None, None]:
    """Yield the rows of a split at each of the indices, in their order, on its device.

    Rows that have to be read are read up to two batches ahead, by as many threads as torch has; what comes of it does
    not depend on how many there are. None of them outlives the iterator: close it where it is not used up.

    Args:
        split: its columns on one device.
        indices: whole numbers (batch,) each, on the CPU; on the device where that spares a copy.

    Raises:
        Exception: whatever a row's reading raised, when its batch is asked for.
    """
    if is_in_memory(split):
        for index in indices:
            yield tuple(column[index.to(column.device)] for column in split)
        return
    pool, waiting = ThreadPoolExecutor(torch.get_num_threads(), "rows"), deque[_Wanted]()
    try:
        for index in indices:
            waiting.append(_Wanted(split, index, pool))
            if len(waiting) > N_AHEAD:
                yield waiting.popleft().batch()
        while waiting:
            yield waiting.popleft().batch()
    finally:
        pool.shutdown(cancel_futures=True)


class _Wanted:
    """A batch whose rows are being read."""

    def __init__(self, split: Split, index: Tensor, pool: ThreadPoolExecutor) -> None:
        self._split, self._index = split, index
        places = index.tolist()
        self._rows: list[list[Future[Row]]] = [
            [pool.submit(column.read, place) for place in places] if isinstance(column, LazyRows) else []
            for column in split
        ]

    def batch(self) -> tuple[Tensor, ...]:
        """Return the batch; waits for what is still to be read."""
        return tuple(
            column[sent(self._index, column.device)]
            if isinstance(column, Tensor)
            else sent(torch.stack([torch.from_numpy(row.result()) for row in rows]), column.device)
            for column, rows in zip(self._split, self._rows, strict=True)
        )
