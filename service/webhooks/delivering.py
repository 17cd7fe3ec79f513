"""Delivering: a worker inside the server sends what is due, beside those of other servers on the same database."""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import AsyncIterator, Sequence

from service.store import DeliveryAttempt, DueDelivery, Store, StoreError
from service.webhooks.linking import linked
from service.webhooks.retrying import DELAYS_S, next_delay_s
from service.webhooks.sending import TIMEOUT_S, Answer, send
from service.webhooks.targets import AllowList, RefusedTargetError

POLL_S = 1.0
LEASE_S = 2 * TIMEOUT_S  # longer than an attempt, and short: what a killed server took waits as long
N_AT_ONCE = 8
logger = logging.getLogger("rhobust.webhooks")


@contextlib.asynccontextmanager
async def delivering(
    store: Store,
    allowed: AllowList,
    *,
    public_url: str | None = None,
    delays_s: Sequence[float] = DELAYS_S,
    poll_s: float = POLL_S,
) -> AsyncIterator[None]:
    """Send what is due for as long as the context lasts; at its end attempts in flight finish, and no other begins.

    Args:
        store: whose outbox it is.
        allowed: where messages may go; nothing is sent where it is empty.
        public_url: of the server as people reach it, to which messages then link.
        delays_s: seconds between one attempt of a message and the next.
        poll_s: how long to wait where nothing is due.
    """
    if not allowed:
        yield
        return
    stopping = asyncio.Event()
    worker = asyncio.create_task(_Worker(store, allowed, public_url, delays_s).run(stopping, poll_s))
    try:
        yield
    finally:
        stopping.set()
        await worker


class _Worker:
    """Sends what is due, some at once."""

    def __init__(self, store: Store, allowed: AllowList, public_url: str | None, delays_s: Sequence[float]) -> None:
        self._store = store
        self._allowed = allowed
        self._public_url = public_url
        self._delays_s = delays_s
        self._random = random.Random()  # noqa: S311  (spreads attempts, keeps no secret)
        self._context = ssl.create_default_context()

    async def run(self, stopping: asyncio.Event, poll_s: float) -> None:
        """Send until it is to stop."""
        is_away = False
        while not stopping.is_set():
            due: list[DueDelivery] = []
            try:
                due = await asyncio.to_thread(self._store.claim_deliveries, N_AT_ONCE, LEASE_S)
                is_away = False
            except Exception as error:  # nobody would miss a worker that died
                if not is_away:
                    logger.error("no webhook is told anything until this is over: %s", error, exc_info=_fault(error))
                is_away = True
            for item, fault in zip(due, await self._deliver_all(due), strict=True):
                if fault is not None:
                    words = (item.delivery.id, fault)
                    logger.error("delivery %s is tried again: %s", *words, exc_info=_fault(fault))
            if not due:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), poll_s)

    async def _deliver_all(self, due: Sequence[DueDelivery]) -> list[BaseException | None]:
        return await asyncio.gather(*(self._deliver(item) for item in due), return_exceptions=True)

    async def _deliver(self, due: DueDelivery) -> None:
        delivery, webhook = due.delivery, due.webhook
        try:
            target = self._allowed.target(webhook.url)
            body = linked(delivery.body, self._public_url)
            answer = await send(target, webhook.secret, delivery.id, body, self._context)
        except RefusedTargetError:  # the list may have become shorter
            answer = _nothing("refused")
        except Exception as error:  # it counts as an attempt, so that it ends
            logger.error("delivery %s: %s", delivery.id, error, exc_info=error)
            answer = _nothing("fault")
        attempt = answer.attempt
        delay = None
        if attempt.error is not None and not answer.is_gone:
            delay = next_delay_s(delivery.n_attempts, answer.retry_after_s, self._random, self._delays_s)
        await asyncio.to_thread(self._store.settle_delivery, delivery, attempt, again_in_s=delay, gone=answer.is_gone)
        if attempt.error is not None:
            told = "given up" if delay is None else f"sent again in {delay:.0f} s"
            reason = f"status {attempt.status}" if attempt.error == "status" else attempt.error
            words = (delivery.id, webhook.id, reason, delivery.n_attempts, told)
            logger.warning("delivery %s to webhook %s: %s at attempt %d, %s", *words)


def _nothing(error: str) -> Answer:
    return Answer(attempt=DeliveryAttempt(status=None, error=error, elapsed_s=0.0))


def _fault(error: BaseException) -> BaseException | None:
    """Return an error that is a fault of ours, and so worth its traceback."""
    return None if isinstance(error, StoreError) else error
