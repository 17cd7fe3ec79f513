"""How many requests one caller may send: a bucket of tokens each, in the memory of this process."""

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 4.0  # of requests that may come at once after a rest: a page with its scripts and figures
MAX_CALLERS = 10_000


class RateLimit:
    """Buckets of tokens that fill with time; each request takes one.

    Args:
        per_s: requests a second that a caller may send for ever.
        clock: seconds that never go back.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._size = max(1.0, BURST_S * per_s)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when there were as many

    def wait_s(self, caller: str) -> float:
        """Take a token of a caller, and return 0; or return the seconds until there is one."""
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (self._size, now))
        tokens = min(self._size, tokens + (now - then) * self._per_s)
        wait = max(0.0, (1 - tokens) / self._per_s)
        self._buckets[caller] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > MAX_CALLERS:  # whoever has been silent for longest has a full bucket, or nearly
            self._buckets.popitem(last=False)
        return wait
