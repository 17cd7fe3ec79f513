"""How fast the server answers: reads at 1, 16 and 64 clients, submissions, and files of a million records.

    python -m benchmarks.service [--smoke] [--only sqlite|postgresql] [--jobs N] [--cells N] [--seconds S]

A store is filled with made-up records, then `rhobust serve --no-dispatcher` serves it in a process of its own. Clients
are another process, and do no more than HTTP needs: a library's client takes longer than the server. What is to be
reached on two cores: reads with a p99 under 100 ms at 16 clients, the table of a finished job of 100,000 cells under
50 ms, 100 durable submissions a second, and files at more than 50,000 records a second in under 300 MB beyond what the
server held before. Of the cells 100,000 are of the job whose table is asked for, and half of the rest of the job whose
records are sent as files; with fewer --cells these are smaller in proportion, and so is what filling takes. Reads are
of the job of the table; its surface has megabytes, so one of a small job is read too; of its records the first page,
which is kept once it was read, and any other one.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from unittest import mock
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import numpy as np
import psutil

from benchmark import Outcome, PackPlace, Record, Spec
from benchmark.spec import Cell, expand
from benchmarks.store import USUAL, databases, make_records
from service.states import JobState
from service.store import PlacedRecord, Store
from service.store.codec import pack_curve
from service.submission import new_job

FINGERPRINT = "0123456789abcdef0123456789abcdef"
N_OUTCOMES = 500  # that are dealt out again and again
BATCH, TTL_S = 500, 600.0
N_SEEDS = 5
N_WARM = 21
MAX_CELLS = 10_000_000
N_TABLE = 100_000
CLIENTS = (1, 16, 64)
START_S, IDLE_S = 60.0, 30.0
IDLE_SHARE = 0.05  # of a second
MAX_WAITING_BYTES = 16 * 1024**2
ANY = "ANY"  # in a path, for a page that nobody has asked for
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
REACH_P99_MS, REACH_TABLE_MS, REACH_SUBMISSIONS, REACH_RECORDS, REACH_MB = 100, 50, 100, 50_000, 300


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        n_jobs: in the store.
        n_cells: of all jobs together.
        n_table: cells of the job whose table is asked for.
        seconds: of each measurement of reads, and of submissions.
        clients: how many ask at once.
    """

    n_jobs: int
    n_cells: int
    n_table: int
    seconds: float
    clients: Sequence[int]

    def cells_of_jobs(self) -> list[int]:
        """Return how many cells each job has: first the job of the table, then that of the files."""
        n_rest = self.n_cells - self.n_table
        n_small = max(n_rest // 2 // max(self.n_jobs - 2, 1), 4)
        return [self.n_table, max(n_rest - n_small * (self.n_jobs - 2), 4), *[n_small] * (self.n_jobs - 2)]


@dataclass(frozen=True)
class Filled:
    """Ids of the jobs that are asked for."""

    table: str
    files: str
    small: str
    n_files: int


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: see that it runs")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="measure one database")
    parser.add_argument("--jobs", type=int, default=1_000, help="jobs in the store")
    parser.add_argument("--cells", type=int, default=1_000_000, help="cells of all of them")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    options = parser.parse_args()
    n_table = min(N_TABLE, options.cells // 2)
    sizes = Sizes(options.jobs, options.cells, n_table, options.seconds, CLIENTS)
    if options.smoke:
        sizes = Sizes(4, 200, 40, 0.2, (1, 4))
    for backend in ("sqlite", "postgresql"):
        if options.only in (None, backend):
            with databases(backend) as new_url:
                measure(backend, next(new_url), sizes)


def measure(backend: str, url: str, sizes: Sizes) -> None:
    """Fill a database, and print how fast a server of it is."""
    started = time.perf_counter()
    with Store.open(url) as store:
        filled = fill(store, sizes)
    took_s = time.perf_counter() - started
    print(f"\n{backend}: {sizes.n_jobs:,} jobs, {sizes.n_cells:,} cells, filled in {took_s:.0f} s", flush=True)
    with served(url) as (address, pid), multiprocessing.get_context("spawn").Pool(1) as beside:
        _print_tables(address, filled, sizes)
        _print_reads(beside, address, filled, sizes)
        _print_submissions(beside, address, sizes)
    for chosen in ("csv", "parquet"):
        with served(url) as (address, pid):  # a fresh one each time: a peak is of the whole life of a process
            _print_file(address, pid, filled, chosen)


def fill(store: Store, sizes: Sizes) -> Filled:
    """Write finished jobs with made-up records."""
    pool = [record.outcome for record in make_records(N_OUTCOMES, USUAL)]
    packed = {id(outcome.curve): pack_curve(outcome.curve) for outcome in pool}
    ids = []
    # to pack the same curves again and again would be half of the work
    with mock.patch("service.store.rows.pack_curve", lambda series: packed[id(series)]):
        for number, n_cells in enumerate(sizes.cells_of_jobs()):
            spec = spec_of(f"job-{number}", n_cells)
            job, _ = store.submit(new_job(spec))
            claimed = store.claim("bench", TTL_S, only=job.id)
            if claimed is None:
                raise RuntimeError(f"the job {job.id} must be free to be claimed.")
            _write(store, job.id, claimed.attempt, spec, pool)
            store.finish(job.id, claimed.attempt, JobState.COMPLETED)
            ids.append((job.id, spec.n_cells))
    return Filled(ids[0][0], ids[1][0], ids[-1][0], ids[1][1])


def spec_of(name: str, n_cells: int) -> Spec:
    """Return a spec of about so many cells: two optimizers over a square grid, five seeds."""
    n_seeds = N_SEEDS if n_cells >= 4 * 2 * N_SEEDS else 1
    side = max(round((n_cells / 2 / n_seeds) ** 0.5), 1)
    rho = {"rho": {"log": [0.01, 1.0], "n": side}} if side > 1 else {"rho": {"values": [0.1]}}
    document: dict[str, Any] = {
        "name": name,
        "tags": ["bench"],
        "gd": False,
        "tasks": [{"name": "digits-mlp"}],
        "optimizers": [{"name": rule, "space": rho} for rule in ("sam", "msam")],
        "space": {"lr": {"log": [0.001, 1.0], "n": side} if side > 1 else {"values": [0.1]}},
        "seeds": {"count": n_seeds},
    }
    return Spec.from_mapping(document, max_cells=MAX_CELLS)


def _write(store: Store, job_id: str, attempt: int, spec: Spec, pool: Sequence[Outcome]) -> None:
    draw = np.random.default_rng(0)
    settings = {grid.setting.key: grid.setting.to_dict() for grid in spec.grids}
    store.register(settings, {FINGERPRINT: {}})
    batch: list[PlacedRecord] = []
    for cell in expand(spec):
        batch.append(_placed(cell, pool[int(draw.integers(len(pool)))], len(batch)))
        if len(batch) == BATCH:
            store.write_records(job_id, attempt, batch, TTL_S)
            batch = []
    store.write_records(job_id, attempt, batch, TTL_S)


def _placed(cell: Cell, outcome: Outcome, position: int) -> PlacedRecord:
    place = PackPlace("pack", BATCH, position)
    record = Record(cell.key, FINGERPRINT, cell.setting.key, cell.hyperparameters, cell.seed, outcome, place)
    return PlacedRecord(record, cell.task, cell.optimizer)


@contextlib.contextmanager
def served(url: str, data_dir: Path | None = None) -> Iterator[tuple[str, int]]:
    """Serve a store in a process of its own, by default with a fresh data folder; gives address and process id."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="rhobust-") as fresh:
        folder = str(data_dir or fresh)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("RHOBUST_")}
        env = {**ours, "RHOBUST_DATABASE_URL": url, "RHOBUST_DATA_DIR": folder, "RHOBUST_MAX_CELLS": str(MAX_CELLS)}
        env |= {"RHOBUST_MAX_QUEUED": "1000000", "RHOBUST_MAX_REQUESTS_PER_S": "1000000"}
        command = [sys.executable, "-m", "service.cli", "serve", "--no-dispatcher", "--port", str(port)]
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parent.parent
        )
        try:
            deadline = time.monotonic() + START_S
            while not _answers(address):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"the server must answer within {START_S:g} s.")
                time.sleep(0.05)
            _wait_until_idle(process.pid)
            yield address, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait_until_idle(pid: int) -> None:
    """Wait until a server has loaded in the background what it loads there, for half a minute at most."""
    process = psutil.Process(pid)
    deadline, before = time.monotonic() + IDLE_S, -1.0
    while (used := sum(process.cpu_times()[:2])) - before > IDLE_SHARE and time.monotonic() < deadline:
        before = used
        time.sleep(1.0)  # over which the CPU is counted


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _print_tables(address: str, filled: Filled, sizes: Sizes) -> None:
    path = f"{address}/api/v1/jobs/{filled.table}/table"
    took_ms = []
    with httpx.Client(timeout=600) as client:
        for _ in range(1 + N_WARM):
            started = time.perf_counter()
            client.get(path).raise_for_status()
            took_ms.append(1e3 * (time.perf_counter() - started))
    warm = sorted(took_ms[1:])[N_WARM // 2]
    print(f"  table of {sizes.n_table:,} cells: {took_ms[0]:,.0f} ms at first, then {warm:.1f} ms", end="")
    print(f" ({warm / REACH_TABLE_MS:.2f} of what is to be reached)", flush=True)


def _print_reads(beside: Pool, address: str, filled: Filled, sizes: Sizes) -> None:
    paths = {
        "GET /jobs": "/jobs",
        "GET /jobs/{id}": f"/jobs/{filled.table}",
        "GET /table": f"/jobs/{filled.table}/table",
        "GET /surface": f"/jobs/{filled.table}/surface",
        "GET /surface, small": f"/jobs/{filled.small}/surface",
        "GET /records": f"/jobs/{filled.table}/records",
        "GET /records, any": f"/jobs/{filled.table}/records?page_token={ANY}",
    }
    print(f"  {'ms':<20}" + "".join(f"{f'p50 at {n}':>12}{f'p99 at {n}':>12}" for n in sizes.clients))
    for name, path in paths.items():
        httpx.get(f"{address}/api/v1{path.replace(ANY, uuid.uuid4().hex)}", timeout=600).raise_for_status()
        cells = ""
        for n_clients in sizes.clients:
            took_ms = 1e3 * np.array(_beside(beside, _reads, address, path, n_clients, sizes.seconds))
            p50, p99 = np.percentile(took_ms, [50, 99])
            cells += f"{p50:12.1f}{p99:12.1f}"
        print(f"  {name:<20}{cells}", flush=True)
    print(f"  to be reached: p99 under {REACH_P99_MS} ms at 16")


def _print_submissions(beside: Pool, address: str, sizes: Sizes) -> None:
    document = spec_of("submitted", 4).to_dict()
    for name, same in (("distinct", False), ("the same", True)):
        took_s = _beside(beside, _submissions, address, json.dumps(document), 16, sizes.seconds, same)
        rate = len(took_s) / sizes.seconds
        print(f"  submissions with {name} keys, 16 clients: {rate:,.0f} /s", end="")
        print(f" ({rate / REACH_SUBMISSIONS:.2f} of what is to be reached)", flush=True)


def _print_file(address: str, pid: int, filled: Filled, chosen: str) -> None:
    path = f"{address}/api/v1/jobs/{filled.files}/records"
    before_mb = _peak_mb(pid)
    n_bytes, started = 0, time.perf_counter()
    with httpx.stream("GET", path, params={"format": chosen}, timeout=600) as response:
        response.raise_for_status()
        for piece in response.iter_raw():
            n_bytes += len(piece)
    rate = filled.n_files / (time.perf_counter() - started)
    peak_mb = _peak_mb(pid)
    print(
        f"  {chosen}: {filled.n_files:,} records at {rate:,.0f} /s ({rate / REACH_RECORDS:.2f} of what is to be", end=""
    )
    grown_mb = peak_mb - before_mb
    print(
        f" reached), {n_bytes / 1e6:,.0f} MB; the server, at {before_mb:.0f} MB before, took {grown_mb:.0f} MB", end=""
    )
    print(f" more at its peak ({grown_mb / REACH_MB:.2f})", flush=True)


def _peak_mb(pid: int) -> float:
    """Return the most memory that a process ever held, where the system tells it."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def _beside(beside: Pool, function: Callable[..., Awaitable[list[float]]], *arguments: object) -> list[float]:
    """Return what a coroutine function gives in a process of its own."""
    return beside.apply(_run, (function, arguments))


def _run(function: Callable[..., Any], arguments: tuple[object, ...]) -> list[float]:
    found: list[float] = asyncio.run(function(*arguments))
    return found


async def _reads(address: str, path: str, n_clients: int, seconds: float) -> list[float]:
    """Return how long each request took."""

    async def ask(client: _Client) -> None:
        await client.ask("GET", path.replace(ANY, uuid.uuid4().hex), headers={"Accept-Encoding": "gzip"})

    return await _together(address, ask, n_clients, seconds)


async def _submissions(address: str, document: str, n_clients: int, seconds: float, same: bool) -> list[float]:
    """Return how long each submission took."""
    key = uuid.uuid4().hex

    async def ask(client: _Client) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key if same else uuid.uuid4().hex}
        await client.ask("POST", "/jobs", document.encode(), headers)

    return await _together(address, ask, n_clients, seconds)


async def _together(
    address: str, ask: Callable[["_Client"], Awaitable[None]], n_clients: int, seconds: float
) -> list[float]:
    """Return how long each request took that some clients send one after another, all at the same time."""
    took_s: list[float] = []

    async def loop() -> None:
        async with _Client(address) as client:
            while (started := time.perf_counter()) < end:
                await ask(client)
                took_s.append(time.perf_counter() - started)

    end = time.perf_counter() + seconds
    await asyncio.gather(*(loop() for _ in range(n_clients)))
    return took_s


class _Client:
    """One connection that is kept; it reads answers of a length that is told."""

    def __init__(self, address: str) -> None:
        self._where = urlsplit(address)

    async def __aenter__(self) -> Self:
        host, port = self._where.hostname, self._where.port
        self._reader, self._writer = await asyncio.open_connection(host, port, limit=MAX_WAITING_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Send a request and read its answer; raises RuntimeError where that is an error."""
        given = {"Host": self._where.netloc, "Content-Length": str(len(body)), **headers}
        lines = [f"{method} /api/v1{path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        await self._reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
        if not head.startswith(("http/1.1 200", "http/1.1 202")):
            raise RuntimeError(f"{method} {path} must be answered well, but got {head.partition(chr(13))[0]}.")


if __name__ == "__main__":
    main()
