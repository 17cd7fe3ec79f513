"""Warming: what takes long is done before anybody waits for it.

That is what the page of a large job shows, as soon as the job has ended, and what the first spec and the first table
of a process load.
"""

import asyncio
import contextlib
import gc
import json
import logging
from collections.abc import AsyncIterator, Awaitable

from benchmark import BenchmarkError, Spec
from service.states import JobState
from service.store import JobOrder, JobQuery, Store, StoreError
from service.web.results import figure_of_job, table_of
from service.web.state import AppState

LARGE = 5_000  # cells: what fewer show is computed in well under a second
LOOK_EVERY_S = 2.0
LAST_ENDED = JobQuery(
    states=tuple(state for state in JobState if state.is_terminal), order=JobOrder.LAST_FINISHED, limit=20
)
SMALLEST = {
    "name": "loading",
    "tasks": [{"name": "parabola"}],
    "budget": {"epochs": 1},
    "optimizers": [{"name": "gd"}],
    "space": {"lr": {"values": [0.1]}},
}
_Ended = set[tuple[str, int]]  # ids and revisions of jobs
logger = logging.getLogger("rhobust.web")


@contextlib.asynccontextmanager
async def warming(state: AppState, *, look_every_s: float = LOOK_EVERY_S, large: int = LARGE) -> AsyncIterator[None]:
    """Load what requests need, then compute the tables and heat maps of large jobs that end while the context lasts.

    Args:
        state: of the app that will be asked for them.
        look_every_s: how often it is looked which jobs have ended.
        large: the least number of cells.
    """
    known: _Ended = set()
    with contextlib.suppress(StoreError):
        known = await _ended(state.store)
    worker = asyncio.create_task(_warm(state, known, look_every_s, large))
    try:
        yield
    finally:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


async def _warm(state: AppState, known: _Ended, look_every_s: float, large: int) -> None:
    told: set[str] = set()
    await _attempt(asyncio.to_thread(_load), told)
    while True:
        await _attempt(_look(state, known, large, told), told)
        await asyncio.sleep(look_every_s)


async def _look(state: AppState, known: _Ended, large: int, told: set[str]) -> None:
    with contextlib.suppress(StoreError):  # the database is away; whoever asks is told so
        ended = await _ended(state.store)
        new = await asyncio.to_thread(state.store.jobs_of, [job_id for job_id, _ in ended - known])
        known.clear()
        known |= ended
        for job in new.values():
            if job.n_cells >= large:
                await _attempt(_render(state, job.id), told)


async def _attempt(step: Awaitable[None], told: set[str]) -> None:
    """Do a step. A fault of ours is told once, and the next step comes all the same: nobody would miss a dead task."""
    try:
        await step
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        if words not in told:
            logger.exception("warming does not work: %s", words)
        told.add(words)


def _load() -> None:
    """Load what takes seconds: torch loads its compiler with its first optimizer, and tables want statistics."""
    import scipy.stats  # noqa: F401  (to load it is all that is wanted)

    Spec.from_mapping(SMALLEST)
    gc.collect()
    gc.freeze()  # what is loaded stays: a full collection would hold up requests for as long as it looks through it


async def _ended(store: Store) -> _Ended:
    """Return the jobs that ended last."""
    return {(job.id, job.revision) for job in await asyncio.to_thread(store.listed, LAST_ENDED)}


async def _render(state: AppState, job_id: str) -> None:
    try:
        table = await table_of(state, job_id)
        for task in json.loads(table.content)["tasks"]:
            await figure_of_job(state, job_id, "heatmap", task["task"])
    except (BenchmarkError, StoreError) as error:  # whoever asks is told so
        logger.debug("job %s is not warmed: %s", job_id, error)
