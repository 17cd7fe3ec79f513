"""When a message is sent again."""

from datetime import UTC, datetime
from random import Random

import pytest

from service.webhooks.retrying import DELAYS_S, JITTER, next_delay_s, retry_after_s

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


def test_ten_attempts_go_over_three_days_and_each_a_little_later_than_planned() -> None:
    random = Random(1)  # noqa: S311  (a test's)
    for place, planned in enumerate(DELAYS_S, 1):
        delays = [next_delay_s(place, None, random) for _ in range(200)]
        found = [delay for delay in delays if delay is not None]
        assert len(found) == 200
        assert planned <= min(found) < max(found) <= planned * (1 + JITTER)
        assert max(found) - min(found) > planned * JITTER / 2, "they are spread"
    assert next_delay_s(len(DELAYS_S) + 1, None, random) is None
    assert sum(DELAYS_S) / 86_400 == pytest.approx(3.15, abs=0.01)


@pytest.mark.parametrize(("asked", "expected"), [(0.0, 5.0), (100.0, 100.0), (10_000_000.0, 86_400.0)])
def test_a_receiver_may_ask_for_more_time_up_to_a_day(asked: float, expected: float) -> None:
    assert next_delay_s(1, asked, Random(1), (5.0,)) == pytest.approx(expected, rel=JITTER)  # noqa: S311  (a test's)
    assert next_delay_s(2, asked, Random(1), (5.0,)) is None  # noqa: S311  (a test's)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Tue, 03 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 03 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 03 Nov 2026 12:00:30", 30.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("9" * 5_000, None),
        ("Tue, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    assert retry_after_s(value, NOW) == expected
