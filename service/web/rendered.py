"""What takes long to compute, kept as the bytes that are sent, and computed once however many ask at the same time."""

import asyncio
import gzip
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread

from service.web.kept import KeptFiles

MAX_KEPT_BYTES = 64 * 1024**2
LONG_S = 0.2  # what took so long is kept in a file as well
MIN_GZIPPED = 1_000  # bytes: what is shorter fits into one packet anyhow
MUCH_LESS = 0.9
LEVEL = 4  # of gzip
MAX_COMPUTING = 2  # more at once would only hold threads that short requests need


@dataclass(frozen=True, slots=True)
class Rendered:
    """The bytes of a representation and their strong entity tag.

    Attributes:
        content: as it is.
        tag: of the content.
        gzipped: the same compressed; None where that would not be much less.
    """

    content: bytes
    tag: str
    gzipped: bytes | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of memory that both take."""
        return len(self.content) + len(self.gzipped or b"")


def json_bytes(document: object) -> bytes:
    """Return a document as compact JSON.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
    """
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class RenderedCache:
    """Representations by key, the least used of which go first. Belongs to one event loop.

    Args:
        files: where what took long is kept when this process has ended; nowhere if None.
        max_bytes: of all that are kept in memory together.
    """

    def __init__(self, files: KeptFiles | None = None, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._kept: OrderedDict[Hashable, Rendered] = OrderedDict()
        self._computing: dict[Hashable, asyncio.Task[Rendered]] = {}
        self._limiter = CapacityLimiter(MAX_COMPUTING)

    def __contains__(self, key: Hashable) -> bool:
        """Whether a representation is kept in memory."""
        return key in self._kept

    async def get(self, key: Hashable, render: Callable[[], bytes], *, keep: bool = True) -> Rendered:
        """Return a representation; whoever asks while it is computed waits for the same one.

        Args:
            key: names all that the bytes depend on.
            render: computes them, in a thread.
            keep: whether they are kept for whoever asks later.

        Raises:
            Exception: what `render` raises, to all who wait; it is tried again by the next who asks.
        """
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        task = self._computing.get(key)
        if task is None:
            task = asyncio.create_task(self._compute(key, render, keep=keep))
            task.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # be it that nobody waits any more
            self._computing[key] = task
        # who goes away does not take it from the others
        return await asyncio.shield(task)

    async def _compute(self, key: Hashable, render: Callable[[], bytes], *, keep: bool) -> Rendered:
        try:
            rendered = await to_thread.run_sync(self._rendered, key, render, keep, limiter=self._limiter)
            if keep and rendered.n_bytes <= self._max_bytes:
                self._kept[key] = rendered
                self._n_bytes += rendered.n_bytes
                while self._n_bytes > self._max_bytes:
                    _, oldest = self._kept.popitem(last=False)
                    self._n_bytes -= oldest.n_bytes
            return rendered
        finally:
            del self._computing[key]

    def _rendered(self, key: Hashable, render: Callable[[], bytes], keep: bool) -> Rendered:
        content = self._content(key, render, keep)
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        # to compress what is sent once takes longer than to send it
        return Rendered(content, tag, _gzipped(content) if keep else None)

    def _content(self, key: Hashable, render: Callable[[], bytes], keep: bool) -> bytes:
        if self._files is None or not keep:
            return render()
        found = self._files.read(key)
        if found is None:
            began = time.perf_counter()
            found = render()
            if time.perf_counter() - began >= LONG_S:
                self._files.write(key, found)
        return found


def _gzipped(content: bytes) -> bytes | None:
    if len(content) < MIN_GZIPPED:
        return None
    packed = gzip.compress(content, LEVEL, mtime=0)
    return packed if len(packed) < MUCH_LESS * len(content) else None
