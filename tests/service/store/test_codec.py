"""The codec loses nothing and is small where it can be."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.codec import (
    MAX_DENOMINATOR,
    MAX_INTEGER,
    MAX_SINGLE_DENOMINATOR,
    Form,
    Number,
    pack_curve,
    pack_numbers,
    unpack_curve,
    unpack_numbers,
)

SHARES = st.builds(lambda k, n: min(k, n) / n, st.integers(0, 5000), st.integers(1, 5000))
SINGLES = st.floats(width=32)
FLOATS = st.one_of(
    st.floats(), SINGLES, SHARES, st.integers(-(1 << 60), 1 << 60).map(float), st.sampled_from([-0.0, 5e-324])
)
NUMBERS = st.one_of(FLOATS, st.booleans(), st.integers(-MAX_INTEGER, MAX_INTEGER))


def exactly(values: list[Number]) -> list[tuple[type, object]]:
    """Bits and types, so that NaN equals itself and minus zero is no zero."""
    return [
        (float, "nan" if math.isnan(value) else struct.pack("d", value))
        if isinstance(value, float)
        else (type(value), value)
        for value in values
    ]


@given(st.lists(NUMBERS, max_size=8))
def test_single_numbers_come_back_with_their_types(values: list[Number]) -> None:
    assert exactly(unpack_numbers(pack_numbers(values), len(values))) == exactly(values)


@given(st.integers(2, MAX_DENOMINATOR).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_a_share_is_kept_as_one(share: tuple[int, int]) -> None:
    k, n = share
    single = struct.unpack("f", struct.pack("f", k / n))[0]
    if k / n != single:
        assert pack_numbers([k / n])[0] == Form.SHARES
    if n <= MAX_SINGLE_DENOMINATOR:
        assert pack_numbers([single])[0] == Form.SINGLE_SHARES


@given(st.integers(0, 30).flatmap(lambda n: st.lists(st.lists(FLOATS, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_curves_come_back(series: list[list[float]]) -> None:
    curve = {f"series {index}": tuple(values) for index, values in enumerate(series)}
    back = unpack_curve(pack_curve(curve), list(curve))
    assert {name: exactly(list(values)) for name, values in back.items()} == {
        name: exactly(list(values)) for name, values in curve.items()
    }


@given(
    st.integers(2, 2000).flatmap(lambda n: st.lists(st.integers(0, n).map(lambda k: k / n), min_size=1, max_size=20))
)
def test_series_of_shares_come_back_in_both_precisions(values: list[float]) -> None:
    single = [struct.unpack("f", struct.pack("f", value))[0] for value in values]
    curve = {"double": tuple(values), "single": tuple(single)}
    assert unpack_curve(pack_curve(curve), ["double", "single"]) == curve


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        (tuple(float(23 * step) for step in range(1, 21)), 6),
        (tuple(correct / 360 for correct in range(20, 340, 16)), 24),
        (tuple(struct.unpack("f", struct.pack("f", correct / 360))[0] for correct in range(20, 340, 16)), 24),
        (tuple(struct.unpack("f", struct.pack("f", 2.3 * math.exp(-step / 7)))[0] for step in range(20)), 73),
        (tuple(2.3 * math.exp(-step / 7) for step in range(20)), 150),
        ((*(struct.unpack("f", struct.pack("f", 2.3 * math.exp(-step / 7)))[0] for step in range(19)), math.inf), 88),
        ((0.1,) * 20, 6),
    ],
    ids=[
        "steps",
        "accuracy",
        "accuracy in single precision",
        "loss in single precision",
        "loss",
        "loss that overflows",
        "constant",
    ],
)
def test_twenty_points_are_small(values: tuple[float, ...], limit: int) -> None:
    packed = pack_curve({"series": values})
    assert packed is not None
    assert len(packed) <= limit


def test_no_curve_and_an_empty_one_differ() -> None:
    assert pack_curve({}) is None
    assert unpack_curve(None, []) == {}
    assert unpack_curve(pack_curve({"step": ()}), ["step"]) == {"step": ()}


def test_an_integer_that_no_database_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="must fit into 63 bits, but got 9223372036854775808"):
        pack_numbers([1 << 63])


def test_what_earlier_versions_packed_is_still_read() -> None:
    curve = bytes.fromhex(
        "016366d6636060179d35277466e9d6990cbb67766c9c69933df309d34e7307fb3a160f4e1507360686300606be030d9ef6f5200e18343034d83b0000"
    )
    assert unpack_curve(curve, ["step", "train_loss", "val_accuracy", "val_loss", "signs"]) == {
        "step": (23.0, 46.0, 69.0),
        "train_loss": (2.3025850929940455, 0.1, 1e300),
        "val_accuracy": (0.125, 0.5, 320 / 360),
        "val_loss": (1.5, math.inf, 3.1414999961853027),
        "signs": (-0.0, 1.0, 2.0),
    }
    numbers = bytes.fromhex("040a09010206060000008004e80701028eaedad68b95ee2b079243a04edc30a03f")
    expected = [0.9, True, 3, -0.0, 0.001, 12345678901234567, 0.0316227766017]
    assert exactly(unpack_numbers(numbers, 7)) == exactly(expected)
