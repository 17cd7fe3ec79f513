"""The codec for numbers: the shortest of a few exact forms, so that a curve costs few bytes and loses nothing.

A packed list is its length followed by runs; a run is one byte for its form and its numbers in that form. Whole
numbers become differences; shares such as an accuracy k/n become n, said once, and the counts k; numbers that single
precision holds take four bytes, all others eight. NaN, infinity and minus zero come back as they were.

The series of a curve are framed: integers (of fractions those that their bits are, in the order of the numbers) less
the least of them, side by side in as many bits as the largest needs. Revision 0003 and earlier ones deflated them
instead, with the bytes of equal weight side by side.
"""

import functools
import itertools
import math
import operator
import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

Number = float | int | bool

PLAIN, DEFLATED, FRAMED = b"\0", b"\1", b"\2"  # the first byte of a curve
MAX_INTEGER = (1 << 63) - 1
MAX_WHOLE = 1 << 53
MAX_DENOMINATOR = 1 << 20
MAX_SINGLE_DENOMINATOR = 1 << 11  # of larger ones, too many shares round to the same number of single precision


_WORDS = {4: "I", 8: "Q"}  # of an unsigned integer of so many bytes, in the language of struct
_BYTES = tuple(bytes((value,)) for value in range(0x80))


class Form(IntEnum):
    """The forms of a run; the numbers are in every stored curve: never change or reuse one."""

    FALSE = 0
    TRUE = 1
    INTEGERS = 2
    WHOLE = 3
    SHARES = 4
    SINGLE_SHARES = 5
    SINGLE = 6
    DOUBLE = 7


# plain integers and functions, since a record has a dozen numbers
_TRUE, _INTEGERS, _WHOLE, _SHARES = map(int, (Form.TRUE, Form.INTEGERS, Form.WHOLE, Form.SHARES))
_SINGLE_SHARES, _SINGLE, _DOUBLE = map(int, (Form.SINGLE_SHARES, Form.SINGLE, Form.DOUBLE))
_FORMS = tuple(bytes((form,)) for form in Form)
_pack_single, _unpack_single = struct.Struct("<f").pack, struct.Struct("<f").unpack_from
_pack_double, _unpack_double = struct.Struct("<d").pack, struct.Struct("<d").unpack_from
# by whether numbers are of single precision
_LIMITS = {False: MAX_DENOMINATOR, True: MAX_SINGLE_DENOMINATOR}
_LITTLE = {False: 2.0**-8, True: 2.0**-1}
N_LATELY = 4
_LATELY: dict[bool, tuple[int, ...]] = {False: (), True: ()}  # the n of shares that were found last, by precision


def pack_numbers(values: Iterable[Number]) -> bytes:
    """Return single numbers, each with its type, as bytes.

    Raises:
        ValueError: for an integer of more than 63 bits.
    """
    # zero is left out of what is remembered, since minus zero equals it
    return b"".join(_pack_alone(value) if type(value) is float and value else _pack_run((value,)) for value in values)


def unpack_numbers(packed: bytes, count: int) -> list[Number]:
    """Return the `count` numbers that `pack_numbers` packed.

    What `_Reader` does, for runs of one number and in one piece: every record that is read comes through here.
    """
    values: list[Number] = []
    at = 0
    for _ in range(count):
        form = packed[at]
        at += 1
        if form == _SINGLE:
            values += _unpack_single(packed, at)
            at += 4
        elif form == _DOUBLE:
            values += _unpack_double(packed, at)
            at += 8
        elif form <= _TRUE:
            values.append(form == _TRUE)
        else:
            first, at = _varint_at(packed, at)
            if form <= _WHOLE:
                whole = first >> 1 if first % 2 == 0 else -(first >> 1) - 1
                values.append(whole if form == _INTEGERS else float(whole))
            else:
                share, at = _varint_at(packed, at)
                if form == _SHARES:
                    values.append(share / first)
                else:
                    values += _unpack_single(_pack_single(share / first))
    return values


def _varint_at(packed: bytes, at: int) -> tuple[int, int]:
    """Return an integer and the place after it."""
    byte = packed[at]
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        at += 1
        byte = packed[at]
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at + 1


def pack_curve(series: Mapping[str, Sequence[float]]) -> bytes | None:
    """Return series of one length as bytes, without their names; None where there are none."""
    if not series:
        return None
    return FRAMED + _pack_runs([tuple(map(float, values)) for values in series.values()], framed=True)


def pack_unframed(series: Sequence[Sequence[float]]) -> bytes:
    """Return series of one length as bytes, not framed, which revision 0003 and earlier ones can read."""
    packed = _pack_runs(series, framed=False)
    deflated = zlib.compress(packed, 6, -zlib.MAX_WBITS)
    return DEFLATED + deflated if len(deflated) < len(packed) else PLAIN + packed


def unpack_curve(packed: bytes | None, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return the series that `pack_curve` packed, under their names."""
    if packed is None:
        return {}
    kind, body = packed[:1], packed[1:]
    reader = _Reader(zlib.decompress(body, -zlib.MAX_WBITS) if kind == DEFLATED else body, framed=kind == FRAMED)
    length = reader.varint()
    return {name: tuple(float(value) for value in reader.run(length)) for name in names}


@functools.lru_cache(maxsize=4096)
def _pack_alone(value: float) -> bytes:
    """Return the run of one number other than zero, which those of a grid do again and again.

    What `_pack_run` does, in one piece: every record that is written comes through here.
    """
    if value.is_integer() and -MAX_WHOLE < value < MAX_WHOLE:
        return _FORMS[_WHOLE] + _varint(_zigzag(int(value)))
    single = _is_single(value)
    if 0 < value < 1 and (total := _total_of(value, single=single)):
        form = _FORMS[_SINGLE_SHARES if single else _SHARES]
        count = round(value * total)
        divisor = math.gcd(total, count)
        return form + _varint(total // divisor) + _varint(count // divisor)
    return _FORMS[_SINGLE] + _pack_single(value) if single else _FORMS[_DOUBLE] + _pack_double(value)


def _is_single(value: float) -> bool:
    try:
        return _unpack_single(_pack_single(value))[0] == value or value != value
    except OverflowError:  # too large for it
        return False


def _total_of(value: float, *, single: bool) -> int:
    """Return an n for which a number is k/n, be it one of those found lately or the least; 0 where none will do."""
    for total in _LATELY[single]:
        if _is_share(value, total, single=single):
            return total
    total = _denominator(value, single=single)
    if total:
        _found_lately(total, single=single)
    return total


def _found_lately(total: int, *, single: bool) -> None:
    _LATELY[single] = (total, *_LATELY[single][: N_LATELY - 1])


def _pack_runs(series: Sequence[Sequence[float]], *, framed: bool) -> bytes:
    return _varint(len(series[0])) + b"".join(_pack_run(values, framed=framed) for values in series)


def _pack_run(values: Sequence[Number], *, framed: bool = False) -> bytes:
    if not values:
        return bytes((Form.DOUBLE,))
    first = values[0]
    if isinstance(first, bool):
        return bytes((Form.TRUE if first else Form.FALSE,))
    if isinstance(first, int):
        if not -MAX_INTEGER <= first <= MAX_INTEGER:
            raise ValueError(f"an integer must fit into 63 bits, but got {first!r}.")
        return bytes((Form.INTEGERS,)) + _differences((first,))
    if _are_whole(values):
        whole = list(map(int, values))
        return bytes((Form.WHOLE,)) + (_framed_progression(whole) if framed else _differences(whole))
    narrow = _narrowed(values).tolist()
    single = narrow == list(values) or all(
        near == value or value != value for near, value in zip(narrow, values, strict=True)
    )
    shares = _shares(values, single=single)
    if shares is not None:
        total, counts = shares
        packed = _frame(counts) if framed else b"".join(map(_varint, counts))
        return bytes((Form.SINGLE_SHARES if single else Form.SHARES,)) + _varint(total) + packed
    form, letter, width = (Form.SINGLE, "f", 4) if single else (Form.DOUBLE, "d", 8)
    packed = struct.pack(f"<{len(values)}{letter}", *values)
    return bytes((form,)) + (_frame_of_bits(packed, width) if framed else _planes(packed, width))


def _planes(packed: bytes, width: int) -> bytes:
    """Return numbers of `width` bytes with all first bytes first, then all second bytes, and so on."""
    return b"".join(packed[place::width] for place in range(width))


def _narrowed(values: Iterable[float]) -> "array[float]":
    """Return the nearest numbers of single precision; infinity where a number is too large for it."""
    return array("f", values)


def _are_whole(values: Sequence[float]) -> bool:
    """Whether all are whole numbers that fit; minus zero is none."""
    if not all(map(float.is_integer, values)):
        return False
    return min(values) > -MAX_WHOLE and max(values) < MAX_WHOLE and not _has_minus_zero(values)


def _has_minus_zero(values: Sequence[float]) -> bool:
    return 0.0 in values and any(not value and math.copysign(1.0, value) < 0 for value in values)


def _shares(values: Sequence[float], *, single: bool) -> tuple[int, list[int]] | None:
    """Return n and the k of each value that is k/n, rounded to its precision; None where no small n will do.

    The n is the least. Those found lately are tried first, since a task scores every run by the same number of samples.
    """
    if not 0 <= min(values) <= max(values) <= 1 or any(map(math.isnan, values)) or _has_minus_zero(values):
        return None
    for common in _LATELY[single]:
        if _is_share(values[0], common, single=single) and (counts := _counts(values, common, single=single)):
            divisor = math.gcd(common, *counts)
            return common // divisor, [count // divisor for count in counts]
    common = 1
    while 0 < common <= _LIMITS[single]:
        wrong = next((value for value in values if not _is_share(value, common, single=single)), None)
        if wrong is None:
            _found_lately(common, single=single)
            return common, [round(value * common) for value in values]
        larger = math.lcm(common, _denominator(wrong, single=single))
        common = larger if larger != common else 0
    return None


def _counts(values: Sequence[float], total: int, *, single: bool) -> list[int] | None:
    """Return the k of each value that is k/n; None where one is not."""
    counts = [round(value * total) for value in values]
    return counts if _restored(counts, total, single=single) == list(values) else None


def _is_share(value: float, total: int, *, single: bool) -> bool:
    share = round(value * total) / total
    return value == (_unpack_single(_pack_single(share))[0] if single else share)


def _restored(counts: Iterable[int], total: int, *, single: bool) -> list[float]:
    shares = [count / total for count in counts]
    return list(_narrowed(shares)) if single else shares


@functools.lru_cache(maxsize=4096)
def _denominator(value: float, *, single: bool) -> int:
    """Return an n up to the limit for which `value` is a rounded k/n, by continued fraction; 0 if there is none.

    A rounded k/n is so near to k/n that little is left where the fraction has come to it: less than n * n times the
    precision. Only there is it looked at.
    """
    limit, little = _LIMITS[single], _LITTLE[single]
    before, denominator, rest = 0, 1, value
    while denominator <= limit:
        rest -= int(rest)
        if rest < little and _is_share(value, denominator, single=single):
            return denominator
        if rest * limit < 1:  # the next denominator is beyond the limit
            return 0
        rest = 1 / rest
        before, denominator = denominator, int(rest) * denominator + before
    return 0


def _differences(values: Sequence[int]) -> bytes:
    """Return integers as their second differences: an even progression costs a byte a point."""
    before, step, parts = 0, 0, []
    for value in values:
        parts.append(_varint(_zigzag(value - before - step)))
        before, step = value, value - before
    return b"".join(parts)


def _framed_progression(values: Sequence[int]) -> bytes:
    """Return integers as the first of them and a frame of their differences: an even progression costs few bytes."""
    steps = [_zigzag(after - before) for before, after in itertools.pairwise(values)]
    return _varint(_zigzag(values[0])) + (_frame(steps) if steps else b"")


def _frame_of_bits(packed: bytes, width: int) -> bytes:
    """Return the frame of numbers of `width` bytes, without the last bits where those are 0 in all of them."""
    sign = 1 << (8 * width - 1)
    read = struct.unpack(f"<{len(packed) // width}{_WORDS[width]}", packed)
    ordered = [2 * sign - 1 - bits if bits & sign else bits | sign for bits in read]  # `_bits` is the way back
    every = functools.reduce(operator.or_, ordered)
    shift = (every & -every).bit_length() - 1 if every else 0
    return bytes((shift,)) + _frame([bits >> shift for bits in ordered])


def _bits(ordered: int, width: int) -> int:
    """Return the bits of a number from the integer that grows with it, whatever its sign."""
    sign = 1 << (8 * width - 1)
    return ordered ^ sign if ordered & sign else 2 * sign - 1 - ordered


def _frame(values: Sequence[int]) -> bytes:
    """Return integers that are not negative as the least of them, a number of bits, and the rest of each in so many."""
    least = min(values)
    width = (max(values) - least).bit_length()
    joined = 0
    for value in values:
        joined = joined << width | value - least
    return _varint(least) + bytes((width,)) + joined.to_bytes(-(-len(values) * width // 8))


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(coded: int) -> int:
    return coded // 2 if coded % 2 == 0 else -(coded + 1) // 2


def _varint(value: int) -> bytes:
    if value <= 0x7F:
        return _BYTES[value]
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


class _Reader:
    """Reads runs one after another."""

    def __init__(self, packed: bytes, *, framed: bool = False) -> None:
        self._packed = packed
        self._framed = framed
        self._at = 0

    def varint(self) -> int:
        value, self._at = _varint_at(self._packed, self._at)
        return value

    def run(self, length: int) -> Sequence[Number]:
        form = Form(self._packed[self._at])
        self._at += 1
        if form in (Form.FALSE, Form.TRUE):
            return (form is Form.TRUE,)
        if form in (Form.SINGLE, Form.DOUBLE):
            letter, width = ("f", 4) if form is Form.SINGLE else ("d", 8)
            if self._framed and length:
                return self._framed_bits(length, letter, width)
            planes = self._packed[self._at : self._at + width * length]
            self._at += width * length
            # taking every length-th byte puts the planes back into numbers
            return struct.unpack(f"<{length}{letter}", _planes(planes, length)) if length else ()
        if form in (Form.SHARES, Form.SINGLE_SHARES):
            total = self.varint()
            counts = self._frame(length) if self._framed else [self.varint() for _ in range(length)]
            return _restored(counts, total, single=form is Form.SINGLE_SHARES)
        integers = self._framed_progression(length) if self._framed else self._progression(length)
        return integers if form is Form.INTEGERS else [float(value) for value in integers]

    def _frame(self, length: int) -> list[int]:
        least, width = self.varint(), self._packed[self._at]
        n_bytes = -(-length * width // 8)
        self._at += 1 + n_bytes
        joined, mask = int.from_bytes(self._packed[self._at - n_bytes : self._at]), (1 << width) - 1
        return [least + (joined >> place * width & mask) for place in range(length - 1, -1, -1)]

    def _framed_bits(self, length: int, letter: str, width: int) -> Sequence[float]:
        shift = self._packed[self._at]
        self._at += 1
        words = [_bits(ordered << shift, width) for ordered in self._frame(length)]
        return struct.unpack(f"<{length}{letter}", struct.pack(f"<{length}{_WORDS[width]}", *words))

    def _framed_progression(self, length: int) -> list[int]:
        first = self._signed()
        steps = [_unzigzag(step) for step in self._frame(length - 1)] if length > 1 else []
        return list(itertools.accumulate(steps, initial=first))

    def _signed(self) -> int:
        return _unzigzag(self.varint())

    def _progression(self, length: int) -> list[int]:
        values: list[int] = []
        before = step = 0
        for _ in range(length):
            value = before + step + self._signed()
            before, step = value, value - before
            values.append(value)
        return values
