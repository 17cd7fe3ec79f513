"""When a message is sent again: the schedule of Standard Webhooks, stretched by chance and at the receiver's wish."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

# Seconds between one attempt and the next: ten attempts in three days.
DELAYS_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
LONGEST_S = 86_400.0
JITTER = 0.2


def next_delay_s(
    n_attempts: int, retry_after_s: float | None, random: Random, delays_s: Sequence[float] = DELAYS_S
) -> float | None:
    """Return after how many seconds a message is sent again; None when it was sent often enough.

    Args:
        n_attempts: how often it was sent.
        retry_after_s: what the receiver asked for, which is heeded up to a day.
        random: for up to a fifth more, so that what failed together does not come back together.
        delays_s: the schedule.
    """
    if n_attempts > len(delays_s):
        return None
    delay = delays_s[n_attempts - 1] * random.uniform(1, 1 + JITTER)
    return max(delay, min(retry_after_s or 0.0, LONGEST_S))


def retry_after_s(value: str, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for; None where it cannot be read.

    Args:
        value: seconds, or a date.
        now: to which a date is compared; with its time zone.
    """
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())
