"""What it costs to lose nothing: the speed of the store, overhead over a bare sweep, and time to cancel and come back.

    python -m benchmarks.durability            # about half an hour
    python -m benchmarks.durability --smoke    # a minute; shows that it runs, not how fast

Store: jobs that processes claim and finish in a second, together, and records that one process writes, on both
databases; each batch is a transaction that also renews the lease.

Overhead: the quickstart's cells by `benchmark.run` in a process of its own, which keeps records in memory, from its
start to its end, and as a job of a server, from its claim to its end; the two take turns, and the ratio is of each
pair, and of the fastest of either, which whatever else the machine does disturbs least. The bare sweep times steps
before it chooses how to train; the server remembers such timings. Cancel: from the request to the state `cancelled`
with no process left of the driver. Kill: from SIGKILL of the driver to the next record that a new one wrote.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import psutil

from benchmark import Spec
from benchmarks.quickstart import QUICKSTART, fresh_server
from benchmarks.store import BACKENDS, claims_per_second, databases, records_per_second
from service.client import Client, Job
from service.jobs.child import DRIVER_MODULE, session_members

N_ROUNDS = 3
N_PAIRS = 3
N_CLAIMERS, N_JOBS = 8, 500
N_RECORDS = {1: 200, 20: 4_000, 200: 4_000}  # by the size of their batches
POLL_S = 0.05
BARE = "import json, sys; from benchmark import Spec, run; run(Spec.from_mapping(json.load(sys.stdin)))"
DEADLINE_S = 300.0


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: see that it runs")
    smoke = parser.parse_args().smoke
    document = Spec.from_file(QUICKSTART).to_dict()
    if smoke:
        document |= {"tasks": [{"name": "digits-mlp", "params": {"hidden": 8}}], "budget": {"epochs": 1}}
        document["seeds"] = {"count": 1}
    n_rounds, n_pairs = (1, 1) if smoke else (N_ROUNDS, N_PAIRS)
    print_speeds(*((2, 16, dict.fromkeys(N_RECORDS, 200)) if smoke else (N_CLAIMERS, N_JOBS, N_RECORDS)))
    with fresh_server() as url, Client(url) as client:
        pairs = [overhead(client, document) for _ in range(n_pairs)]
        n_cells = Spec.from_mapping(document).n_cells
        print(f"{Spec.from_mapping(document).name}: {n_cells} cells, median of {n_pairs}")
        print(f"{'bare sweep, records in memory':<44}{statistics.median(bare for bare, _ in pairs):9.2f} s")
        print(f"{'as a job, from claim to end':<44}{statistics.median(job for _, job in pairs):9.2f} s")
        print(f"{'service and store, over the bare sweep':<44}{statistics.median(j / b for b, j in pairs) - 1:9.1%}")
        fastest = min(job for _, job in pairs) / min(bare for bare, _ in pairs) - 1
        print(f"{'the same, of the fastest of either':<44}{fastest:9.1%}")
        rounds = [killed_and_cancelled_s(client) for _ in range(n_rounds)]
    words = ("kill of the driver, to the next record", "cancel, to no process left")
    for what, seconds in zip(words, zip(*rounds, strict=True), strict=True):
        spread = f"({min(seconds):.2f} to {max(seconds):.2f}, {n_rounds} rounds)"
        print(f"{what:<44}{statistics.median(seconds):9.2f} s  {spread}")


def print_speeds(n_claimers: int, n_jobs: int, n_records: dict[int, int]) -> None:
    """Print how fast jobs are claimed and records written on each database, and the ratio."""
    speeds: dict[str, list[float]] = {}
    for backend in BACKENDS:
        with databases(backend) as new_url:
            speeds[backend] = [claims_per_second(next(new_url), n_jobs, n_claimers)]
            speeds[backend] += [records_per_second(next(new_url), n, size) for size, n in n_records.items()]
    words = [f"claims and finishes, {n_claimers} dispatchers, {n_jobs} jobs"]
    words += [f"records in batches of {size}" for size in n_records]
    print(f"{'a second':<44}{'SQLite':>9}{'PostgreSQL':>12}{'ratio':>8}{'to batches of 1':>18}")
    for place, (what, sqlite, postgresql) in enumerate(zip(words, *speeds.values(), strict=True)):
        alone = "" if place < 2 else f"{sqlite / speeds['sqlite'][1]:8.1f},{postgresql / speeds['postgresql'][1]:9.1f}"
        print(f"{what:<44}{sqlite:9,.0f}{postgresql:12,.0f}{postgresql / sqlite:8.2f}{alone}")


def overhead(client: Client, document: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of the cells as a bare sweep, and as a job from its claim to its end."""
    spec = {**document, "reuse": False}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", BARE], input=json.dumps(spec), text=True, check=True)
    bare_s = time.perf_counter() - started
    job = client.submit(spec).wait()
    if job.state != "completed":
        raise SystemExit(f"the job is {job.state}: {job.error}")
    begun, ended = (datetime.fromisoformat(job.values[f"{name}_at"]) for name in ("started", "finished"))
    return bare_s, (ended - begun).total_seconds()


def killed_and_cancelled_s(client: Client) -> tuple[float, float]:
    """Return the seconds from the death of a job's driver to the next record, and from cancelling it to rest."""
    job = _running(client)
    driver = _driver()
    driver.kill()
    started = time.perf_counter()
    psutil.wait_procs([driver], timeout=5)
    before = job.refresh().progress.completed
    _until(lambda: job.refresh().progress.completed > before)
    back_s = time.perf_counter() - started
    driver = _driver()
    started = time.perf_counter()
    job.cancel()
    _until(lambda: job.refresh().state == "cancelled" and not list(session_members(driver.pid)))
    return back_s, time.perf_counter() - started


def _running(client: Client) -> Job:
    """Return a long job that has a record."""
    spec = {
        "name": "long",
        "reuse": False,
        "tasks": [{"name": "digits-mlp", "params": {"hidden": 8}}],
        "budget": {"epochs": 20},
        "space": {"lr": {"log": [0.01, 0.1], "n": 500}},
        "seeds": {"count": 4},
        "resources": {"pack": "sequential"},
    }
    job = client.submit(spec)
    _until(lambda: job.refresh().progress.completed > 0)
    return job


def _driver() -> psutil.Process:
    """Return the driver of this program's server."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if DRIVER_MODULE in process.cmdline():
                return process
    raise SystemExit("the job runs, but no driver was found.")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not come to that in {DEADLINE_S:g} s.")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
