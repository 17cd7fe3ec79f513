"""Checks of the database: reachable, of the right schema, whole, and with somebody who runs its jobs."""

import os
from collections.abc import Iterator

from service.doctor.findings import Finding, ok, problem, warning
from service.jobs.dispatcher import ALIVE_WITHIN_S
from service.settings import Settings
from service.store import SchemaError, Store, StoreError

FOREVER_S = 1e12
N_NAMED = 3


def examine_database(settings: Settings) -> Iterator[Finding]:
    """Yield what the checks of the database find; there is only one where it cannot be opened."""
    path = settings.data_dir.expanduser().absolute() / "rhobust.db"
    if settings.is_embedded and not os.path.exists(path):  # noqa: PTH110  (Path.exists raises where it may not look)
        yield ok("database", f"{path} is made by the first command that uses it")
        return
    try:
        with Store.open(settings.store_url) as store:
            yield ok("database", f"{store.address} answers and has the schema that this version needs")
            yield integrity(store)
            yield dispatchers(store)
            yield leases(store)
    except SchemaError as error:
        yield problem("database", str(error), "Nothing works on it before that is done.")
    except StoreError as error:
        remedy = "Look after it, or set RHOBUST_DATABASE_URL to another; `rhobust db restore` brings a backup back."
        yield problem("database", str(error), remedy)


def integrity(store: Store) -> Finding:
    """Check a SQLite file for damage."""
    damage = store.damage()
    if damage is None:
        return ok("integrity", "PostgreSQL sees to it")
    if damage:
        remedy = "Stop every server and dispatcher, and bring a backup back with `rhobust db restore`."
        return problem("integrity", f"the file is damaged: {_some(damage)}.", remedy)
    return ok("integrity", "the file is whole, as far as a quick check sees")


def dispatchers(store: Store) -> Finding:
    """Check that somebody runs jobs."""
    known = sorted(store.dispatchers(FOREVER_S), key=lambda one: one.age_s)
    alive = [one for one in known if one.age_s <= ALIVE_WITHIN_S]
    if alive:
        shown = [f"{one.id} ({one.age_s:.0f} s ago, {one.job_id or 'idle'})" for one in alive]
        return ok("dispatchers", f"{len(alive)} alive: {_some(shown)}")
    last = f"; {known[0].id} was the last to report, {known[0].age_s:.0f} s ago" if known else ""
    remedy = "Jobs wait until one is started: `rhobust serve`, or `rhobust worker` beside a server."
    return warning("dispatchers", f"none is alive{last}.", remedy)


def leases(store: Store) -> Finding:
    """Check for jobs whose owner went silent."""
    lapsed = store.lapsed_jobs()
    if not lapsed:
        return ok("leases", "every running job has an owner that reports")
    shown = _some([f"{job.id} of {job.owner}" for job in lapsed])
    remedy = "The next dispatcher that is free takes them over; start one with `rhobust worker`, or cancel them."
    return warning("leases", f"{len(lapsed)} running jobs have an owner that went silent: {shown}.", remedy)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - N_NAMED} more" if len(items) > N_NAMED else ""
    return ", ".join(items[:N_NAMED]) + more
