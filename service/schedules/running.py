"""Running schedules: a worker inside the server starts what is due, beside those of other servers on one database.

The worker also settles what has ended since: it is the one loop in which runs are judged and baselines calibrated.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmark import Spec
from service.calibrating import settle_calibrations
from service.schedules.judging import judge_ended_runs
from service.store import NewJob, Schedule, Store, StoreError
from service.stored_spec import ForgottenNameError, known_spec
from service.submission import new_job

POLL_S = 1.0
DEFAULTS: Mapping[str, Any] = {"reuse": False, "priority": 10}
SEEDS: Mapping[str, Any] = {"count": 10}
Step = Callable[[Store], bool]
logger = logging.getLogger("rhobust.schedules")


def start_due_runs(store: Store) -> bool:
    """Start the run of every schedule that is due; one that cannot be started keeps no other from it.

    Returns:
        Whether one was started.
    """
    started, faults = False, []
    for due in store.due_schedules():
        try:
            started = _start(store, due) or started
        except Exception as fault:  # noqa: BLE001  (raised when the others have had their turn)
            faults.append(fault)
    if faults:
        raise faults[0]
    return started


def scheduled_spec(document: Mapping[str, Any], *, max_cells: int) -> Spec:
    """Return the spec that a schedule runs: trained anew, with ten seeds, and before other jobs, unless it says so.

    Args:
        document: a spec as somebody wrote it; what it says stands.
        max_cells: the largest number of cells that is accepted.

    Raises:
        SpecError: with one problem a broken rule.
    """
    seeds = document.get("seeds", {})
    filled = {**DEFAULTS, **document}
    if isinstance(seeds, Mapping):
        filled["seeds"] = {**SEEDS, **seeds}
    return Spec.from_mapping(filled, max_cells=max_cells)


def scheduled_job(schedule: Schedule) -> NewJob:
    """Return the job that a run of a schedule trains.

    Raises:
        ForgottenNameError: when the spec names what is not known here any more.
    """
    once = f"the spec of schedule {schedule.name} was valid when it was made"
    spec = known_spec(schedule.spec, schedule.n_cells, once)
    new = new_job(spec, submitted_by=schedule.created_by)
    return replace(new, tags=(*new.tags, f"schedule:{schedule.name}"))


STEPS: tuple[Step, ...] = (start_due_runs, judge_ended_runs, settle_calibrations)


@contextlib.asynccontextmanager
async def running_schedules(
    store: Store, *, steps: Sequence[Step] = STEPS, poll_s: float = POLL_S
) -> AsyncIterator[None]:
    """Start what is due for as long as the context lasts; at its end the step under way finishes, and no other begins.

    Args:
        store: whose schedules they are.
        steps: what is done in each round, one after another; each says whether there may be more of it at once.
        poll_s: how long to wait where nothing was to be done.
    """
    stopping = asyncio.Event()
    worker = asyncio.create_task(_run(store, steps, stopping, poll_s))
    try:
        yield
    finally:
        stopping.set()
        await worker


async def _run(store: Store, steps: Sequence[Step], stopping: asyncio.Event, poll_s: float) -> None:
    told: dict[Step, str] = {}
    while not stopping.is_set():
        is_busy = False
        for step in steps:
            if stopping.is_set():
                return
            try:
                is_busy = await asyncio.to_thread(step, store) or is_busy
                told.pop(step, None)
            except Exception as error:  # nobody would miss a worker that died
                words = f"{type(error).__name__}: {error}"
                if told.get(step) != words:  # once, and not every second
                    fault = None if isinstance(error, StoreError) else error
                    logger.error("schedules: %s does not work: %s", step.__name__, error, exc_info=fault)
                told[step] = words
        if not is_busy:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), poll_s)


def _start(store: Store, due: Schedule) -> bool:
    try:
        new, problem = scheduled_job(due), None
    except ForgottenNameError as error:
        new, problem = None, str(error)
    run = store.start_due_run(due, new, problem=problem)
    if run is None:
        return False
    missed = f", {run.n_missed} later times with it" if run.n_missed else ""
    logger.info("schedule %s: run %s has started as job %s%s", due.name, run.id, run.job_id, missed)
    return True
