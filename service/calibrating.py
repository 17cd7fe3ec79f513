"""Calibrating: what the replays of baselines tell when they have ended, and the limits that they set."""

import logging

from benchmark import BenchmarkError
from benchmark.regression import limits_of, worst_change
from service.comparing import side_of
from service.results import JobResults, job_results
from service.store import NotFoundError, Store
from service.store.calibrating import DueReplay

logger = logging.getLogger("rhobust.calibrating")


def settle_calibrations(store: Store) -> bool:
    """Settle replays that have ended, and set the limits of baselines all of whose replays are settled.

    Any number of processes may do so at once: each keeps the same.

    Returns:
        Whether there was anything to do.
    """
    due, faults = store.due_replays(), []
    originals: dict[str, JobResults] = {}  # a baseline has many replays
    for one in due:
        try:
            statistic, problem = _told(store, one, originals)
        except Exception as fault:  # noqa: BLE001  (raised when the others have had their turn)
            faults.append(fault)
            continue
        if problem is not None:
            logger.warning("replay %s of baseline %s: %s", one.number, one.baseline.name, problem)
        store.settle_replay(one, statistic=statistic, problem=problem)
    whole = store.uncalibrated()
    for baseline, statistics in whole:
        store.set_limits(baseline, limits_of(statistics, baseline.alarm_rate or 0.0))
    if faults:
        raise faults[0]
    return bool(due or whole)


def _told(store: Store, due: DueReplay, originals: dict[str, JobResults]) -> tuple[float | None, str | None]:
    """Return the statistic of a replay, or why it has none; `originals` keeps what was read of baselines, by job."""
    try:
        job_id = due.baseline.job_id
        if job_id not in originals:
            originals[job_id] = job_results(store, job_id)
        original, replayed = originals[job_id], job_results(store, due.job_id)
        differing = _differing(store, original, replayed)
        if differing:
            return None, (
                f"it was not made as the baseline was: {', '.join(differing)} differs, so that not only rounding "
                "changed; set the baseline to a job of today's making, and calibrate that"
            )
        return worst_change(side_of(original), side_of(replayed), y_ref=due.baseline.y_ref), None
    except (BenchmarkError, NotFoundError) as error:
        return None, str(error)


def _differing(store: Store, original: JobResults, replayed: JobResults) -> list[str]:
    """Return what of their making differs between a job and its replay, beside that it is one.

    A baseline was made in one way; a replay that went on after an upgrade was not.
    """
    made_by = [
        {(record.setting, record.fingerprint) for record in results.records.values()}
        for results in (original, replayed)
    ]
    documents = store.fingerprints({fingerprint for made in made_by for _, fingerprint in made})
    mine = {setting: documents.get(fingerprint, {}) for setting, fingerprint in made_by[0]}
    theirs = [(setting, documents.get(fingerprint, {})) for setting, fingerprint in made_by[1]]
    names = {
        name
        for setting, document in theirs
        for name in {*document, *mine.get(setting, {})}
        if mine.get(setting, {}).get(name) != document.get(name)
    }
    return sorted(names - {"replay"})
