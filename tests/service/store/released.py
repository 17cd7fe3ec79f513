"""What a release wrote, kept as JSON for ever: rows of its database, and what it read in them.

At a release: python -m tests.service.store.released > tests/service/store/assets/VERSION.json
"""

import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmark.choice import StepTiming
from benchmark.records import Status
from service.keys import Scope
from service.states import JobState
from service.store import NewWebhook, RecordFilter, Store
from service.store.entities import StoredRecord
from service.store.tables import REVISION
from tests.service.store.samples import SETTING, TTL_S, make_record, new_job, place, running, want, write
from tests.service.store.scheduling import add_alert, end_run, schedule, start_run

KEY = "rhb_" + "0" * 10 + "_" + "A" * 43
SECRET = "whsec_" + "A" * 43 + "="
NOT_KEPT = {"alembic_version", "sqlite_sequence"}


def fill(store: Store, url: str) -> None:
    """Write something into every table."""
    store.submit(new_job("keyed"), idempotency_key="a key")
    store.cancel(store.jobs()[0].id)
    failed = running(store, n_cells=4)
    statuses = (Status.COMPLETED, Status.DIVERGED, Status.TIMED_OUT, Status.FAILED)
    records = [make_record(cell, status) for cell, status in enumerate(statuses)]
    write(store, failed, records[:2])
    store.write_records(failed.id, failed.attempt, place(*records[2:], optimizer="sam-warm"), TTL_S)
    store.finish(failed.id, failed.attempt, JobState.FAILED, error="one cell failed")
    done = running(store, n_cells=2)
    store.link_reusable(done.id, done.attempt, want(0), TTL_S)
    write(store, done, [make_record(9)])
    store.set_execution(done.id, done.attempt, {"digits-mlp": {"sam": "fused"}}, made_by={"torch": "2"})
    store.finish(done.id, done.attempt, JobState.COMPLETED)
    store.set_baseline("last-good", done.id, {"digits-mlp": 0.5}, revision=store.job(done.id).revision)
    schedule(store)
    runs = []
    for _ in range(2):
        run = start_run(store)
        end_run(url, run)
        runs.append(run)
    add_alert(url, runs[0], runs[1], acknowledged=True)
    store.remember_timings({SETTING: StepTiming(0.25, 0.5)})
    webhook = NewWebhook(url="https://hooks.example.org/runs", secret=SECRET, events=("job.completed",))
    store.test_webhook(store.create_webhook(webhook)[0].id)
    store.open_session(store.add_key(KEY, "ann's laptop", Scope.SUBMIT).id, TTL_S)


def seen(store: Store) -> dict[str, Any]:
    """Return what can be read of it."""
    jobs = {job.id: job for job in store.jobs()}
    progress = {job_id: store.progress(job_id) for job_id in jobs}
    return {
        "records": {job_id: [_of_record(one) for one in store.records(job_id)] for job_id in jobs},
        "progress": {
            job_id: [one.reused, one.completed, one.diverged, one.timed_out, one.failed]
            for job_id, one in progress.items()
        },
        "warm": {
            job_id: [one.record.id for one in store.records(job_id, which=RecordFilter(optimizer="sam-warm"))]
            for job_id in jobs
        },
        "states": {job_id: [job.name, str(job.state), job.error, job.execution] for job_id, job in jobs.items()},
        "baselines": [[one.name, one.job_id, dict(one.y_ref)] for one in store.baselines()],
        "schedules": [[one.name, one.cron] for one in store.schedules()],
        "runs": [[one.id, str(one.state)] for one in store.scheduled_runs("nightly")],
        "alerts": [[one.task, one.optimizer, str(one.state)] for one in store.alerts()],
        "webhooks": [[one.url, sorted(one.events)] for one in store.webhooks()],
        "keys": [[one.label, str(one.scope)] for one in store.api_keys()],
        "timings": {key: [one.fused_s, one.sequential_s] for key, one in store.timings([SETTING]).items()},
    }


def _of_record(stored: StoredRecord) -> dict[str, Any]:
    names = ("job_id", "attempt", "created_at", "seq", "task", "optimizer", "reused")
    found: dict[str, Any] = stored.record.to_dict() | {name: getattr(stored, name) for name in names}
    return found


def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of a SQLite file as they are kept, bytes as hexadecimal numbers."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [
                {key: value.hex() if isinstance(value, bytes) else value for key, value in dict(row).items()}
                for row in connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608  (a name from the schema)
            ]
            for name in sorted(set(names) - NOT_KEPT)
        }


def main() -> None:
    """Print the asset of this version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "released.db"
        url = f"sqlite:///{path}"
        with Store.open(url, create=True) as store:
            fill(store, url)
            told = seen(store)
        tables = _tables(path)
    empty = [name for name, rows in tables.items() if not rows]
    assert empty == ["dispatcher", "replay"], "each other table has a row, that of a new one as well"
    json.dump({"revision": REVISION, "tables": tables, "seen": told}, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
