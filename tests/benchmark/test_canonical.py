import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.canonical import canonical_json, content_hash, finite_or_none, round_significant

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE)
def test_rounding_is_idempotent_close_and_keeps_the_sign(value: float) -> None:
    rounded = round_significant(value)
    assert round_significant(rounded) == rounded
    assert math.isclose(rounded, value, rel_tol=1e-11, abs_tol=5e-324)
    assert rounded == 0 or (rounded > 0) == (value > 0)


@given(FINITE, FINITE)
def test_rounding_keeps_the_order(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert round_significant(low) <= round_significant(high)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.1 + 0.2, 0.3),
        (1 / 3, 0.333333333333),
        (123456789012345.0, 123456789012000.0),
        (1.7976931348623157e308, 1.79769313486e308),
        (1e-3, 0.001),
    ],
)
def test_rounding_of_known_numbers(value: float, rounded: float) -> None:
    assert round_significant(value) == rounded


def test_there_is_one_zero() -> None:
    assert math.copysign(1, round_significant(-0.0)) == 1


@given(st.dictionaries(st.text(max_size=5), FINITE | st.integers() | st.booleans() | st.text(max_size=5)))
def test_the_order_of_keys_does_not_count(document: dict[str, object]) -> None:
    backwards = dict(reversed(document.items()))
    assert canonical_json(document) == canonical_json(backwards)
    assert canonical_json(document).isascii()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_without_nan(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"value": value})
    assert finite_or_none(value) is None


def test_the_type_of_a_number_counts() -> None:
    assert len({content_hash(value) for value in (1, 1.0, True, "1")}) == 4


def test_hashes_stay_what_they_are() -> None:
    assert content_hash({"b": [1, 2.5, True, None], "a": "\u00e9"}) == "690f9726e7dfabeff3409b5636c1525f"
    assert finite_or_none(2.5) == 2.5
