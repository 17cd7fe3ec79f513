"""Timings that are remembered; records are looked at in tests/service/test_estimates.py."""

import math

from benchmark.canonical import content_hash
from benchmark.choice import StepTiming
from service.store import Store

KEYS = [content_hash(str(number)) for number in range(3)]


def test_timings_are_kept_by_key_and_the_newest_counts(store: Store) -> None:
    assert store.timings(KEYS) == {}
    first = {KEYS[0]: StepTiming(0.1, 0.2), KEYS[1]: StepTiming(None, 0.3)}
    store.remember_timings(first)
    store.remember_timings(first)
    assert store.timings([*KEYS, KEYS[0]]) == first
    store.remember_timings({KEYS[0]: StepTiming(0.5, 0.6)})
    assert store.timings(KEYS) == {**first, KEYS[0]: StepTiming(0.5, 0.6)}


def test_what_is_not_finite_is_not_kept(store: Store) -> None:
    store.remember_timings({KEYS[0]: StepTiming(math.nan, 0.1), KEYS[1]: StepTiming(0.1, math.inf)})
    store.remember_timings({})
    assert store.timings(KEYS) == {}


def test_many_timings_are_found(store: Store) -> None:
    timings = {content_hash(str(number)): StepTiming(float(number), 1.0) for number in range(1_200)}
    store.remember_timings(timings)
    assert store.timings(list(timings)) == timings
