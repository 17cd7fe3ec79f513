"""Numbers of many records at once: what `codec.unpack_numbers` reads one by one, read place by place as arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.store.codec import Form, Number, unpack_numbers

MANY = 200  # records: fewer are read faster one by one, such as those of a page

_Bytes = NDArray[np.uint8]
_Places = NDArray[np.intp]


def unpack_columns(packed: Sequence[bytes], count: int) -> list[list[Number]]:
    """Return the numbers that `pack_numbers` packed, `count` of each record: a list of the first of each, and so on.

    Raises:
        ValueError: if those of a record are not `count`; what follows would be taken for them.
    """
    return [column.tolist() for column in _unpacked(packed, count, np.object_)]


def unpack_arrays(packed: Sequence[bytes], count: int) -> list[NDArray[np.float64]]:
    """Return what `unpack_columns` does as arrays, whole numbers and truth values too; raises as that does."""
    return _unpacked(packed, count, np.float64)


def unpack_rows(packed: Sequence[bytes], count: int) -> list[tuple[Number, ...]]:
    """Return the `count` numbers of each record that `pack_numbers` packed."""
    if not count:
        return [()] * len(packed)
    if len(packed) < MANY:
        return [tuple(unpack_numbers(one, count)) for one in packed]
    return list(zip(*unpack_columns(packed, count), strict=True))


def _unpacked(packed: Sequence[bytes], count: int, kind: type[np.generic]) -> list[NDArray[Any]]:
    buffer = np.frombuffer(b"".join(packed), dtype=np.uint8)
    lengths = np.fromiter(map(len, packed), dtype=np.intp, count=len(packed))
    ends = np.cumsum(lengths)
    at = ends - lengths
    columns = [_next_column(buffer, at, kind) for _ in range(count)]
    if not np.array_equal(at, ends):
        n_wrong = np.count_nonzero(at != ends)
        raise ValueError(f"each record must have {count} numbers, but {n_wrong} have not: the database is damaged.")
    return columns


def _next_column(buffer: _Bytes, at: _Places, kind: type[np.generic]) -> NDArray[Any]:
    """Return the number at each place, with its type where objects are asked for, and move the places behind it."""
    forms = buffer[at]
    at += 1
    values = np.empty(len(at), dtype=kind)
    for form in map(Form, np.flatnonzero(np.bincount(forms)).tolist()):
        chosen = np.flatnonzero(forms == form)
        places = at[chosen]
        values[chosen] = _READERS[form](buffer, places)
        at[chosen] = places
    return values


def _fixed(kind: str) -> Callable[[_Bytes, _Places], NDArray[np.float64]]:
    width = np.dtype(kind).itemsize

    def read(buffer: _Bytes, at: _Places) -> NDArray[np.float64]:
        found: NDArray[np.float64] = buffer[at[:, np.newaxis] + np.arange(width)].view(kind)[:, 0].astype(np.float64)
        at += width
        return found

    return read


def _integers(buffer: _Bytes, at: _Places) -> NDArray[np.int64]:
    coded = _varints(buffer, at)
    return (coded >> np.uint64(1)).astype(np.int64) ^ -(coded & np.uint64(1)).astype(np.int64)


def _whole(buffer: _Bytes, at: _Places) -> NDArray[np.float64]:
    return _integers(buffer, at).astype(np.float64)


def _shares(buffer: _Bytes, at: _Places) -> NDArray[np.float64]:
    totals = _varints(buffer, at)
    found: NDArray[np.float64] = _varints(buffer, at) / totals
    return found


def _single_shares(buffer: _Bytes, at: _Places) -> NDArray[np.float64]:
    return _shares(buffer, at).astype(np.float32).astype(np.float64)


def _varints(buffer: _Bytes, at: _Places) -> NDArray[np.uint64]:
    values = np.zeros(len(at), dtype=np.uint64)
    going, shift = np.arange(len(at)), 0
    while len(going):
        read = buffer[at[going]]
        values[going] |= (read & 0x7F).astype(np.uint64) << np.uint64(shift)
        at[going] += 1
        going, shift = going[read >= 0x80], shift + 7
    return values


_READERS: dict[Form, Callable[[_Bytes, _Places], NDArray[np.generic]]] = {
    Form.FALSE: lambda _, at: np.zeros(len(at), dtype=np.bool_),
    Form.TRUE: lambda _, at: np.ones(len(at), dtype=np.bool_),
    Form.INTEGERS: _integers,
    Form.WHOLE: _whole,
    Form.SHARES: _shares,
    Form.SINGLE_SHARES: _single_shares,
    Form.SINGLE: _fixed("<f4"),
    Form.DOUBLE: _fixed("<f8"),
}
