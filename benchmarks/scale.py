"""Whether dispatchers and the store keep up with more workers than one machine has, and what a pack costs a driver.

    python -m benchmarks.scale            # about ten minutes
    python -m benchmarks.scale --smoke    # half a minute; shows that it runs, not how fast

Records: drivers whose workers are made up hand over 2,000 records a second with curves of 20 points, for a minute, on
both databases, while somebody reads progress and a page of records four times a second. One job in reports of 100, as
packs that are trained at once give them, one in reports of 10, and four jobs at once in reports of 10. They are written
as always: 20 or a whole report at a time, each a transaction that renews the lease, as durable as a job's. Lag is how
much later than due a record has been handed over; who falls behind has a lag that grows to the end.

Packs: a real driver's Ray Tune trains packs of one descent of two steps, which costs nothing itself: what is left is
what a pack costs Ray Tune and us, of which a driver does one after another.

Bytes: a record as a worker sends it to its driver, and as it is kept.
"""

import argparse
import json
import multiprocessing
import multiprocessing.synchronize
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import RayOptions, Record, Spec
from benchmark.fingerprint import Fingerprint
from benchmark.packs import plan_packs
from benchmark.rayenv import prepare_ray_environment
from benchmark.spec import Cell, expand
from benchmarks.store import BACKENDS, USUAL, databases, make_records
from service.jobs import Dispatcher
from service.jobs.child import end_with_parent
from service.settings import Settings
from service.store import NewJob, Store

DRIVER = "benchmarks.drivers.simulated"
RATE, SECONDS = 2_000, 60
LOOK_EVERY_S = 0.25
N_PACKS = 400
DEADLINE_S = 300.0


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: see that it runs")
    smoke = parser.parse_args().smoke
    rate, seconds, n_packs = (200, 2, 20) if smoke else (RATE, SECONDS, N_PACKS)
    print(f"{rate:,} records a second for {seconds} s, load {os.getloadavg()[0]:.1f} at the start")
    print(f"{'':<28}{'records/s':>10}{'worst lag':>11}{'last lag':>10}{'driver CPU':>12}{'read, worst':>13}")
    for backend in BACKENDS:
        for n_jobs, report in ((1, 100), (1, 10), (4, 10)):
            seen = keep_up(backend, n_jobs, rate // n_jobs, seconds, report)
            share = f"{seen.cpu_s / seen.elapsed_s:.0%}"
            print(
                f"{backend + f', {n_jobs} x reports of {report}':<28}{seen.n_records / seen.elapsed_s:10,.0f}"
                f"{seen.worst_lag_s:9.2f} s{seen.last_lag_s:8.2f} s{share:>12}{seen.worst_read_s:11.2f} s"
            )
    print(f"{'a pack, for a driver':<28}{1e3 * seconds_a_pack(n_packs):7.1f} ms")
    sent = len(pickle.dumps(make_records(200, USUAL))) / 200
    print(f"{'a record, as it is sent':<28}{sent:7.0f} B     (kept: benchmarks.store)")


@dataclass
class Seen:
    """What jobs at once came to.

    Attributes:
        n_records: of all of them.
        elapsed_s: of the slowest.
        worst_lag_s: of any record.
        last_lag_s: of the last record of any.
        cpu_s: that all their drivers took.
        worst_read_s: of a reader.
    """

    n_records: int
    elapsed_s: float = 0.0
    worst_lag_s: float = 0.0
    last_lag_s: float = 0.0
    cpu_s: float = 0.0
    worst_read_s: float = 0.0


def keep_up(backend: str, n_jobs: int, rate: int, seconds: int, report: int) -> Seen:
    """Run jobs at once, each by a dispatcher of its own, and return what was seen."""
    context = multiprocessing.get_context("spawn")
    with databases(backend) as new_url, tempfile.TemporaryDirectory(prefix="rhobust-") as folder:
        url, stop = next(new_url), context.Event()
        dispatchers = [
            context.Process(target=dispatch, args=(url, f"{folder}/{number}", stop, os.getpid()))
            for number in range(n_jobs)
        ]
        for process in dispatchers:
            process.start()
        with Store.open(url) as store:
            spec = {"rate": rate, "report": report, "limits": {"job_s": DEADLINE_S + seconds}}
            jobs = [store.submit(NewJob(name=str(n), spec=spec, n_cells=rate * seconds))[0] for n in range(n_jobs)]
            seen = Seen(n_jobs * rate * seconds)
            deadline = time.monotonic() + seconds + DEADLINE_S
            while not all(store.job(job.id).state.is_terminal for job in jobs):
                if time.monotonic() > deadline:
                    raise SystemExit(f"the jobs do not end: {[store.job(job.id) for job in jobs]}")
                time.sleep(LOOK_EVERY_S)
                started = time.perf_counter()
                store.progress(jobs[0].id)
                store.parts_of_records(jobs[0].id, limit=100)
                seen.worst_read_s = max(seen.worst_read_s, time.perf_counter() - started)
            written = sum(store.progress(job.id).n_linked for job in jobs)
        stop.set()
        for process in dispatchers:
            process.join()
        for log in Path(folder).rglob("*.log"):
            lines = log.read_text().splitlines()
            told = next((json.loads(line) for line in lines if line.startswith("{")), None)
            if told is None:
                raise SystemExit(f"a driver did not come to its end: {lines}")
            seen.cpu_s += told["cpu_s"]
            for name in ("elapsed_s", "worst_lag_s", "last_lag_s"):
                setattr(seen, name, max(getattr(seen, name), told[name]))
    if written != seen.n_records:
        raise SystemExit(f"{seen.n_records} records must be there, but there are {written}.")
    return seen


def dispatch(url: str, folder: str, stop: multiprocessing.synchronize.Event, parent_pid: int) -> None:
    """Run a dispatcher until it is told to stop."""
    end_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Store.open(url) as store:
        dispatcher = Dispatcher(store, Settings(data_dir=Path(folder), database_url=url), driver_module=DRIVER)
        dispatcher.run(lambda: dispatcher.stop() if stop.is_set() else None)


@dataclass
class Counted:
    """A sink that keeps when the first and the last record came."""

    times: list[float] = field(default_factory=list)

    def on_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Leave it."""

    def on_cells(self, cells: Sequence[Cell]) -> None:
        """Leave them."""

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None:
        """Leave it."""

    def flush(self) -> None:
        """Nothing waits."""

    def on_records(self, records: Sequence[Record]) -> None:
        """Note the time."""
        self.times += [time.perf_counter()] * len(records)


def seconds_a_pack(n_packs: int) -> float:
    """Return the seconds from one pack to the next, where training them takes none."""
    document = {
        "name": "packs",
        "tasks": [{"name": "parabola"}],
        "budget": {"epochs": 2},
        "optimizers": [{"name": "gd"}],
        "space": {"lr": {"values": [0.1]}},
        "seeds": {"count": n_packs},
        "resources": {"pack": 1, "gpus_per_pack": 0},
    }
    spec = Spec.from_mapping(document)
    cells, sink = list(expand(spec)), Counted()
    prepare_ray_environment(RayOptions())
    from benchmark import raysession, raytune  # Ray reads the environment when it is imported

    with raysession.ray_session(RayOptions(n_cpus=2)):
        packs = plan_packs(cells, n_workers=2, size=1)
        raytune.train_packs(cells, packs, spec, sink, {cells[0].setting.key: "sequential"}, lambda: False)
    warm = sink.times[len(sink.times) // 5 :]  # workers start with the first
    return (warm[-1] - warm[0]) / (len(warm) - 1)


if __name__ == "__main__":
    main()
