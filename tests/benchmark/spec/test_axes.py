import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.canonical import round_significant
from benchmark.spec import Axis

POSITIVE = st.floats(1e-12, 1e12)
KINDS = st.sampled_from(["log", "linear"])


@given(kind=KINDS, first=POSITIVE, ratio=st.floats(1.001, 1e6), n=st.integers(2, 60))
def test_points_rise_from_end_to_end(kind: str, first: float, ratio: float, n: int) -> None:
    axis = Axis.model_validate({kind: (first, first * ratio), "n": n})
    points = axis.points()
    assert len(points) == axis.n_points == n
    assert (points[0], points[-1]) == (round_significant(first), round_significant(first * ratio))
    assert all(low < high for low, high in itertools.pairwise(points))
    assert all(round_significant(point) == point for point in points)


@given(kind=KINDS, first=st.floats(1e-320, 1e12), width=st.floats(1e-14, 1e-8), n=st.integers(2, 1000))
def test_an_axis_is_accepted_where_its_points_differ(kind: str, first: float, width: float, n: int) -> None:
    ends = first, first * (1 + width)
    points = (Axis.model_construct(log=ends, n=n) if kind == "log" else Axis.model_construct(linear=ends, n=n)).points()
    try:
        Axis.model_validate({kind: ends, "n": n})
    except ValidationError:
        assert len(set(points)) < n
    else:
        assert len(set(points)) == n


@given(kind=KINDS, first=POSITIVE, ratio=st.floats(1.001, 1e6), n=st.integers(2, 40))
def test_a_denser_grid_contains_the_points_of_the_coarser(kind: str, first: float, ratio: float, n: int) -> None:
    coarse, dense = (Axis.model_validate({kind: (first, first * ratio), "n": size}).points() for size in (n, 2 * n - 1))
    assert dense[::2] == coarse


@given(first=POSITIVE, ratio=st.floats(1.001, 1e6), n=st.integers(3, 40))
def test_steps_of_a_log_axis_are_even(first: float, ratio: float, n: int) -> None:
    points = Axis(log=(first, first * ratio), n=n).points()
    steps = [math.log(high / low) for low, high in itertools.pairwise(points)]
    assert steps == pytest.approx([math.log(ratio) / (n - 1)] * (n - 1), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("axis", "points"),
    [
        ({"log": (0.001, 1), "n": 4}, (0.001, 0.01, 0.1, 1.0)),
        ({"linear": (0, 1), "n": 5}, (0.0, 0.25, 0.5, 0.75, 1.0)),
        ({"linear": (-1, 1), "n": 3}, (-1.0, 0.0, 1.0)),
        ({"log": (0.1, 0.1), "n": 1}, (0.1,)),
        ({"values": (3, 0.1, 2)}, (3, 0.1, 2)),
        ({"values": (True, False)}, (True, False)),
        ({"values": ("1e-3", "2")}, (0.001, 2)),
        ({"values": (0.1 + 0.2,)}, (0.3,)),
        ({"linear": (0, 1.7976931348623157e308), "n": 2}, (0.0, 1.79769313486e308)),
        ({"log": ("1e-3", "1e1"), "n": "3"}, (0.001, 0.1, 10.0)),
        ({"log": ("1e-3", "1e1")}, (0.001, 10.0)),
    ],
)
def test_points_by_hand(axis: dict[str, Any], points: tuple[float, ...]) -> None:
    found = Axis.model_validate(axis).points()
    assert found == points
    assert [type(value) for value in found] == [type(value) for value in points]


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({}, "exactly one of log, linear, values, but got none"),
        ({"log": (1, 2), "linear": (1, 2), "n": 2}, "exactly one of log, linear, values, but got log, linear"),
        ({"log": (2, 1), "n": 2}, "low <= high must hold, but got low=2.0, high=1.0"),
        ({"log": (0, 1), "n": 2}, "low > 0 must hold on a log axis, but got low=0.0"),
        ({"log": (-1, 1), "n": 2}, "low > 0 must hold on a log axis, but got low=-1.0"),
        ({"log": (1, 2), "n": 0}, "greater than or equal to 1"),
        ({"log": (1, 2), "n": 1001}, "less than or equal to 1000"),
        ({"log": (1, 2), "n": 1}, "n = 1 and low = high go together, but got low=1.0, high=2.0, n=1"),
        ({"log": (1, 1), "n": 2}, "n = 1 and low = high go together"),
        ({"linear": (1, 1 + 1e-11), "n": 100}, "leave no room for n=100"),
        ({"linear": (-1, -1 + 1e-11), "n": 100}, "leave no room for n=100"),
        ({"log": (1, 1 + 1e-11), "n": 100}, "leave no room for n=100"),
        ({"log": (5e-324, 2e-323), "n": 10}, "leave no room for n=10"),
        ({"linear": (0, 2e-323), "n": 10}, "leave no room for n=10"),
        ({"linear": (math.nan, 1), "n": 2}, "a finite number is needed"),
        ({"linear": (0, math.inf), "n": 2}, "a finite number is needed"),
        ({"values": ()}, "at least one value, but got an empty list"),
        ({"values": (1, 2, 1.0)}, "must differ, but got 1.0 twice"),
        ({"values": (0.0, -0.0)}, "must differ, but got 0.0 twice"),
        ({"values": (0.1, 0.1 + 1e-16)}, "must differ, but got 0.1 twice"),
        ({"values": (1,), "n": 1}, "n goes with log and linear only"),
        ({"values": tuple(range(1001))}, "at most 1000 items"),
        ({"values": ("a",)}, "a number is needed"),
        ({"lag": (1, 2), "n": 2}, "unknown key 'lag'; did you mean 'log'"),
    ],
)
def test_a_wrong_axis_says_why(axis: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Axis.model_validate(axis)
