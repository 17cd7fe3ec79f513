"""What a job costs the process that plans it and takes its records: seconds and memory by the number of cells.

    python -m benchmarks.planning            # a minute or two
    python -m benchmarks.planning --smoke    # seconds; small jobs

Nothing is trained: cells are expanded, ordered and cut into packs as a run does it, and records of a real cell's size
arrive pack by pack. A service's driver hands them on and lets them go; `benchmark.run` keeps them, and makes its frame
and table of them. Each row is a process of its own, Ray imported but not started; memory is what it held at its peak.
"""

import argparse
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark import PackPlace, Record, Records, Spec
from benchmark.execution import device_for, train_cell
from benchmark.packs import Pack, PackQueue, plan_packs
from benchmark.rayenv import RayOptions, prepare_ray_environment
from benchmark.spec import Cell, expand

SIDES = {1_000: (10, 10), 10_000: (50, 20), 100_000: (100, 100)}  # of the two grids, rho and lr
SMOKE_SIDES = {200: (5, 4)}
RULES = ("sam", "msam")
N_WORKERS = 2
LIMIT_MB = 600


@dataclass(frozen=True)
class Measured:
    """What a job took.

    Attributes:
        plan_s: from the spec to its packs.
        take_s: to take all records, pack by pack.
        table_s: to make the frame and the table, where the records were kept.
        imported_mb: what the process held before the job.
        peak_mb: the most that it ever held.
    """

    n_packs: int
    plan_s: float
    take_s: float
    table_s: float
    imported_mb: float
    peak_mb: float


def spec_of(n_cells: int) -> Spec:
    """Return a spec of so many cells."""
    n_rho, n_lr = {**SIDES, **SMOKE_SIDES}[n_cells]
    document = {
        "name": "bench",
        "gd": False,
        "tasks": [{"name": "digits-mlp"}],
        "optimizers": [{"name": name, "space": {"rho": {"log": [0.01, 1.0], "n": n_rho}}} for name in RULES],
        "space": {"lr": {"log": [0.001, 1.0], "n": n_lr}},
        "seeds": {"count": n_cells // (len(RULES) * n_rho * n_lr)},
    }
    return Spec.from_mapping(document)


def measure(n_cells: int, *, keep: bool) -> Measured:
    """Return what a job takes in this process."""
    prepare_ray_environment(RayOptions())
    from benchmark import raytune  # noqa: F401  (a driver has it)

    first, place = next(expand(spec_of(n_cells))), PackPlace("bench", 1, 0)
    example = train_cell(first, place, device=device_for(use_gpu=False), limit_s=60)
    imported_mb = held_mb("VmRSS")
    started = time.perf_counter()
    spec = spec_of(n_cells)
    cells = tuple(expand(spec))
    in_order = sorted(cells, key=lambda cell: (cell.optimizer, cell.seed))
    packs = plan_packs(in_order, n_workers=N_WORKERS, fused={cell.setting.key for cell in in_order})
    plan_s = time.perf_counter() - started
    kept, take_s = take(in_order, packs, example, keep=keep)
    started = time.perf_counter()
    if keep:
        records = Records(spec, tuple(kept))
        if len(records.to_pandas()) != n_cells or len(records.table().rows) != len(RULES):
            raise SystemExit("the results are not what they should be")
    return Measured(len(packs), plan_s, take_s, time.perf_counter() - started, imported_mb, held_mb("VmHWM"))


def take(cells: Sequence[Cell], packs: Sequence[Pack], example: Record, *, keep: bool) -> tuple[list[Record], float]:
    """Take the records of every pack; return those that are kept, and the seconds without the making of records."""
    queue, kept, seconds = PackQueue(packs), list[Record](), 0.0
    while pack := queue.take("bench"):
        records = made(cells[pack.start : pack.stop], example)
        started = time.perf_counter()
        queue.report("bench", len(records))
        if keep:
            kept += records
        seconds += time.perf_counter() - started
    return kept, seconds


def made(cells: Sequence[Cell], example: Record) -> list[Record]:
    """Return a record for each cell of a pack as they come from another process: they share nothing but names."""
    text = json.dumps(example.to_dict())
    records = []
    for cell in cells:
        document = json.loads(text, object_pairs_hook=lambda pairs: {sys.intern(name): value for name, value in pairs})
        own = {"id": cell.key, "config_key": cell.key, "setting": cell.setting.key, "seed": cell.seed}
        records.append(Record.from_dict({**document, **own, "hyperparameters": cell.hyperparameters}))
    arrived: list[Record] = pickle.loads(pickle.dumps(records))  # noqa: S301  (our own, as Ray sends it)
    return arrived


def held_mb(name: str) -> float:
    """Return what the process holds (VmRSS), or held at its peak (VmHWM)."""
    # Not getrusage's maximum, which a process inherits from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) / 1024


def main() -> None:
    """Print a line a job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="hundreds of cells: does it run at all?")
    parser.add_argument("--cells", type=int, help="measure a job of so many cells here and print it as JSON")
    parser.add_argument("--keep", action="store_true", help="with --cells: keep the records")
    arguments = parser.parse_args()
    if arguments.cells:
        print(json.dumps(asdict(measure(arguments.cells, keep=arguments.keep))))
        return
    print(
        f"{'cells':>8} {'records':<8}{'packs':>6}{'plan s':>8}{'take s':>8}{'table s':>9}{'all, us a cell':>16}"
        f"{'MB before':>11}{'peak MB':>9}{'KB a cell':>11}{'of aim':>8}"
    )
    for keep in (False, True):
        for n_cells in SMOKE_SIDES if arguments.smoke else SIDES:
            command = [sys.executable, "-m", "benchmarks.planning", "--cells", str(n_cells), *(["--keep"] * keep)]
            found = Measured(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            each_us = (found.plan_s + found.take_s + found.table_s) / n_cells * 1e6
            more_kb = (found.peak_mb - found.imported_mb) * 1024 / n_cells
            print(
                f"{n_cells:>8,} {'kept' if keep else 'let go':<8}{found.n_packs:>6,}{found.plan_s:>8.3f}"
                f"{found.take_s:>8.3f}{found.table_s:>9.3f}{each_us:>16.1f}{found.imported_mb:>11.0f}"
                f"{found.peak_mb:>9.0f}{more_kb:>11.2f}{found.peak_mb / LIMIT_MB:>8.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
