"""Patience: going on through a database that is away for a while."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from service.store import UnavailableError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
Result = TypeVar("Result")
logger = logging.getLogger("rhobust.jobs")


def persist(
    action: Callable[[], Result], what: str, *, give_up_s: float, should_stop: Callable[[], bool] = lambda: False
) -> Result:
    """Run an action on the store, again and again while the database is away.

    Args:
        action: what to do; it must be safe to repeat, as everything behind a lease is.
        what: its name for the log.
        give_up_s: how long the database may be away before the error is let through.
        should_stop: once true, the error is let through at once.

    Raises:
        UnavailableError: when the database stays away.
    """
    away_since = time.monotonic()
    pause = FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        try:
            return action()
        except UnavailableError as error:
            now = time.monotonic()
            if now - began > give_up_s:  # it worked for so long before it failed
                away_since, pause = now, FIRST_PAUSE_S
            if should_stop() or now - away_since > give_up_s:
                raise
            logger.warning("%s waits for the database: %s", what, error)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
