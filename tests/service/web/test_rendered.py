"""What takes long is computed once, and kept within bounds."""

import asyncio
import gzip
import threading

import numpy as np
import pytest

from service.web import rendered
from service.web.rendered import RenderedCache


def test_who_asks_at_the_same_time_waits_for_one_computation() -> None:
    calls = []
    everybody_asks = threading.Event()

    def render() -> bytes:
        calls.append(1)
        assert everybody_asks.wait(10)
        return b"table"

    async def ask() -> None:
        cache = RenderedCache()
        waiting = [asyncio.create_task(cache.get("key", render)) for _ in range(16)]
        await asyncio.sleep(0)
        waiting.pop().cancel()  # who goes away does not take it from the others
        everybody_asks.set()
        found = await asyncio.gather(*waiting)
        assert {one.content for one in found} == {b"table"}
        assert (await cache.get("key", render)) is found[0]

    asyncio.run(ask())
    assert len(calls) == 1


def test_a_failure_is_told_to_all_and_not_kept() -> None:
    calls = []

    def render() -> bytes:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no luck")
        return b"table"

    async def ask() -> None:
        cache = RenderedCache()
        answers = await asyncio.gather(*(cache.get("key", render) for _ in range(3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["no luck"] * 3
        assert (await cache.get("key", render)).content == b"table"

    asyncio.run(ask())


def test_what_was_used_least_lately_goes_first() -> None:
    calls: list[str] = []

    async def ask() -> None:
        cache = RenderedCache(max_bytes=25)

        async def get(key: str, size: int = 10, *, keep: bool = True) -> bytes:
            def render() -> bytes:
                calls.append(key)
                return key.encode() * size

            return (await cache.get(key, render, keep=keep)).content

        for key in ("a", "b", "a", "c", "a", "b"):
            assert await get(key) == key.encode() * 10
        assert calls == ["a", "b", "c", "b"], "c took the place of b, and b that of c"
        assert len(await get("d", 26)) == 26, "what is larger than the bound is sent and not kept"
        await get("e", keep=False)
        await get("e", keep=False)
        await get("a")
        assert calls[4:] == ["d", "e", "e"]

    asyncio.run(ask())


def test_only_a_few_compute_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered, "MAX_COMPUTING", 2)
    lock, running, most = threading.Lock(), 0, 0
    started = threading.Semaphore(0)

    def render() -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        started.release()
        with lock:
            running -= 1
        return b""

    async def ask() -> None:
        cache = RenderedCache()
        await asyncio.gather(*(cache.get(number, render) for number in range(10)))

    asyncio.run(ask())
    assert 1 <= most <= 2


def test_tags_are_of_the_bytes() -> None:
    async def ask() -> None:
        cache = RenderedCache()
        first, second, other = [
            await cache.get(number, lambda content=content: content)  # type: ignore[misc]
            for number, content in enumerate((b"x", b"x", b"y"))
        ]
        assert first.tag == second.tag != other.tag
        assert first.tag.startswith('"')
        assert first.tag.endswith('"')

    asyncio.run(ask())


def test_only_what_becomes_much_less_is_compressed_and_both_count_as_kept() -> None:
    noise, text = np.random.default_rng(0).bytes(5_000), b"table" * 1_000

    async def ask() -> None:
        cache = RenderedCache(max_bytes=5_100)
        assert [
            (await cache.get(number, lambda content=content: content, keep=keep)).gzipped  # type: ignore[misc]
            for number, (content, keep) in enumerate(((noise, True), (b"table" * 100, True), (text, False)))
        ] == [None, None, None]
        found = await cache.get("text", lambda: text)
        assert found.gzipped is not None
        assert gzip.decompress(found.gzipped) == text
        assert found.n_bytes == len(text) + len(found.gzipped)
        assert "text" in cache
        assert 0 not in cache
        large = await cache.get("larger", lambda: text + b"!" * 90)
        assert len(large.content) < 5_100 < large.n_bytes
        assert "larger" not in cache

    asyncio.run(ask())
