"""A scheduler that is killed in the midst of a start leaves nothing of it, or all of it."""

import signal
import subprocess
import sys

import pytest

from service.schedules.running import start_due_runs
from service.store import Store
from service.store.regression_tables import schedule as table
from service.store.tables import db_now
from tests.service.store.scheduling import count_queued, count_runs, schedule, writing

pytestmark = pytest.mark.slow
PROGRAM = """
import os, signal, sys
from service.schedules import running
from service.store import Store, scheduled_runs

url, moment = sys.argv[1:]
place, name = {"before": (scheduled_runs, "queue_job"), "after": (Store, "start_due_run")}[moment]
real = getattr(place, name)

def last(*arguments, **options):
    real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, last)
with Store.open(url) as store:
    running.start_due_runs(store)
"""


@pytest.mark.parametrize(("moment", "n_left"), [("before", 0), ("after", 1)], ids=["before it commits", "after"])
def test_a_scheduler_that_is_killed_starts_each_run_once(database_url: str, moment: str, n_left: int) -> None:
    with Store.open(database_url) as store:
        schedule(store)
        with writing(database_url) as connection:
            connection.execute(table.update().values(next_due_at=db_now() - 1))
        done = subprocess.run([sys.executable, "-c", PROGRAM, database_url, moment], timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL
        assert count_runs(database_url) == count_queued(store) == n_left
        assert start_due_runs(store) is (n_left == 0)
        assert count_runs(database_url) == count_queued(store) == 1
        assert not start_due_runs(store)
