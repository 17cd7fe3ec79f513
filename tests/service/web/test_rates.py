"""The bucket of tokens: never more than the rate and one burst, and whoever waits as told is let through."""

from hypothesis import given
from hypothesis import strategies as st

from service.web import rates
from service.web.rates import BURST_S, RateLimit


@given(
    per_s=st.floats(0.01, 1_000),
    steps=st.lists(st.tuples(st.floats(0, 10), st.sampled_from("ab")), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_the_rate_and_a_burst(per_s: float, steps: list[tuple[float, str]]) -> None:
    now = 0.0
    limit = RateLimit(per_s, lambda: now)
    let_through: dict[str, int] = {"a": 0, "b": 0}
    for pause, caller in steps:
        now += pause
        let_through[caller] += limit.wait_s(caller) == 0
    for count in let_through.values():
        assert count <= max(1, BURST_S * per_s) + now * per_s + 1e-6


@given(per_s=st.floats(0.01, 1_000), n_calls=st.integers(1, 50))
def test_who_waits_as_told_is_let_through(per_s: float, n_calls: int) -> None:
    now = 0.0
    limit = RateLimit(per_s, lambda: now)
    for _ in range(n_calls):
        wait = limit.wait_s("a")
        if wait:
            now += wait * (1 + 1e-9) + 1e-9
            assert limit.wait_s("a") == 0


def test_callers_are_forgotten_when_there_are_many() -> None:
    now = 0.0
    limit = RateLimit(1e-6, lambda: now)
    for number in range(rates.MAX_CALLERS + 1):
        assert limit.wait_s(str(number)) == 0
    assert limit.wait_s(str(rates.MAX_CALLERS)) > 0
    assert limit.wait_s("0") == 0
    assert len(limit._buckets) == rates.MAX_CALLERS
