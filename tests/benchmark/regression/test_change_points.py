"""Change points: against every possible segmentation, against ruptures, by hand, and under noise without any change."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from benchmark.regression.change_points import segment_starts, shifts
from benchmark.robustness.scoring import FloatArray


def steps(*levels: tuple[float, int]) -> list[float]:
    return [level for level, count in levels for _ in range(count)]


def cost(values: FloatArray, starts: Sequence[int], penalty: float) -> float:
    parts = np.split(values, starts[1:])
    return sum(float(((part - part.mean()) ** 2).sum()) + penalty for part in parts)


def test_the_segments_are_the_best_of_all() -> None:
    rng = np.random.default_rng(3)
    every = [[0, *inner] for n in range(9) for inner in itertools.combinations(range(1, 9), n)]
    assert len(every) == 2**8
    for _ in range(20):
        values = rng.normal(size=9) + np.repeat(rng.normal(scale=3, size=4), [1, 3, 2, 3])
        penalty = float(rng.uniform(0.5, 8))
        best = min(every, key=lambda starts: cost(values, starts, penalty))
        assert segment_starts(values, penalty) == best


def test_the_segments_are_those_of_ruptures() -> None:
    ruptures = pytest.importorskip("ruptures", reason="its releases know no newer Python than 3.13 yet")
    rng = np.random.default_rng(4)
    n_changes = 0
    for n in (1, 2, 5, 20, 60):
        for _ in range(8):
            values = rng.normal(size=n) + 4.0 * (np.arange(n) >= rng.integers(n)) - 3.0 * (np.arange(n) >= n // 2)
            penalty = float(3 * np.log(n))
            ends = ruptures.Pelt(model="l2", min_size=1, jump=1).fit_predict(values, penalty)
            assert segment_starts(values, penalty) == [0, *ends[:-1]]
            n_changes += len(ends) - 1
    assert n_changes > 20


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (steps((0.9, 5), (0.8, 3)), [(5, 0.9, 0.8)]),
        (steps((0.9, 30), (0.8, 2)), [(30, 0.9, 0.8)]),
        (steps((0.9, 2), (0.8, 2)), [(2, 0.9, 0.8)]),
        (steps((0.9, 4), (0.8, 6), (0.95, 3)), [(4, 0.9, 0.8), (10, 0.8, 0.95)]),
        (steps((0.9, 12)), []),
        (steps((0.9, 6), (0.8, 1)), []),
        (steps((0.9, 6), (0.8, 1), (0.9, 6)), []),
        (steps((0.9, 6), (0.8, 1), (0.7, 1)), [(6, 0.9, 0.75)]),
        (steps((0.9, 6), (0.8, 1), (0.7, 4)), [(7, 0.9, 0.7)]),
        (steps((0.9, 6), (1.0, 1), (0.8, 1), (0.9, 6)), []),
        (steps((0.9, 6), (0.895, 6)), []),
        (steps((0.9, 1), (0.8, 2)), []),
        ([], []),
    ],
    ids=[
        "a drop",
        "two runs after many",
        "two and two",
        "down and up",
        "no change",
        "one run may be a freak",
        "one run was a freak",
        "down and further down",
        "through one run to the next level",
        "two freaks on either side",
        "below the margin",
        "too few",
        "no run",
    ],
)
def test_what_repeats_bit_for_bit_changes_its_level_where_it_does(
    values: list[float], found: list[tuple[int, float, float]]
) -> None:
    assert [(one.index, round(one.before, 9), round(one.after, 9)) for one in shifts(values, 0.01)] == found


def test_runs_without_a_value_are_left_out_and_places_are_those_of_all_runs() -> None:
    values = [None, 0.9, 0.9, None, 0.9, None, 0.8, None, 0.8]
    assert [(one.index, round(one.before, 9), round(one.after, 9)) for one in shifts(values, 0.01)] == [(6, 0.9, 0.8)]


def test_a_slow_decline_is_told_in_steps_that_matter() -> None:
    found = shifts(list(np.linspace(0.9, 0.8, 21)), 0.01)
    assert found
    assert all(one.before - one.after >= 0.01 for one in found)


def test_a_change_is_found_under_noise_at_its_place() -> None:
    rng = np.random.default_rng(5)
    n_right = 0
    for _ in range(200):
        values = rng.normal(scale=0.01, size=40) + np.where(np.arange(40) >= 30, -0.04, 0.0)
        found = shifts(list(values), 0.01)
        n_right += len(found) == 1 and abs(found[0].index - 30) <= 1
    assert n_right >= 180


@pytest.mark.parametrize("n", [4, 10, 15, 30, 100])
def test_noise_as_large_as_the_margin_seldom_looks_like_a_change(n: int) -> None:
    rng = np.random.default_rng(n)
    n_found = sum(bool(shifts(list(rng.normal(scale=0.01, size=n)), 0.01)) for _ in range(300))
    assert n_found <= 0.05 * 300


def test_a_margin_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"the margin must be positive, but got margin=0\.0\."):
        shifts([1.0, 2.0], 0.0)
