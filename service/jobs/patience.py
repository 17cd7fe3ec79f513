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
        give_up_s: seconds after which the error is let through.
        should_stop: once true, the error is let through at once.

    Raises:
        UnavailableError: when the database stays away.
    """
    give_up = time.monotonic() + give_up_s
    pause = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except UnavailableError as error:
            if should_stop() or time.monotonic() > give_up:
                raise
            logger.warning("%s waits for the database: %s", what, error)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
