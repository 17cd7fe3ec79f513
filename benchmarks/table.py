"""Measure time and memory of the robustness table: all measures and intervals of 100,000 and 1,000,000 cells.

    python -m benchmarks.table [--smoke | --million] [--profile]

Three optimizers, each on a full grid with 3 seeds (t-intervals) and with 10 (the joint bootstrap, which takes longer).
Each size runs in a process of its own, so that its peak of memory is its own. The frame is built before the clock
starts; its bytes are part of the peak, as they are for a caller, and so is what Python and its libraries take.
"""

import argparse
import cProfile
import multiprocessing
import pstats
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from benchmark.robustness import AxisInfo, GridInfo, RobustnessTable, TaskScoring, robustness_table

OPTIMIZERS = ("gd", "sam", "msam")
SCORING = TaskScoring("digits-mlp", "accuracy", "maximize", 0.01, 0.1)


@dataclass(frozen=True)
class Size:
    """A table to measure: learning rates, radii and seeds of each optimizer; and what it should take."""

    shape: tuple[int, int, int]
    limit_s: float
    limit_mb: float


SMALL = Size((4, 5, 10), 1.0, 500)
SMOKE = (Size((10, 10, 3), 1.0, 500), Size((10, 10, 10), 1.0, 500))
USUAL = (Size((41, 271, 3), 1.0, 500), Size((33, 101, 10), 1.0, 500))  # 99,999 and 99,990 cells
MILLION = (Size((273, 407, 3), 10.0, 3_000), Size((123, 271, 10), 10.0, 3_000))  # 999,999 and 999,990
N_LINES = 25  # of a profile


@dataclass(frozen=True)
class Measured:
    """What a table took."""

    n_cells: int
    elapsed_s: float
    cpu_s: float
    before_mb: float
    peak_mb: float


def make_runs(shape: tuple[int, int, int]) -> tuple[pd.DataFrame, tuple[GridInfo, ...]]:
    """Return runs of three optimizers with this many learning rates, radii and seeds, and their grids."""
    n_rates, n_radii, n_seeds = shape
    rng = np.random.default_rng(0)
    rates = AxisInfo("lr", "log", tuple(np.geomspace(1e-3, 1, n_rates).tolist()))
    radii = AxisInfo("rho", "log", tuple(np.geomspace(1e-2, 1, n_radii).tolist()))
    lr, rho, seed = (
        part.ravel() for part in np.meshgrid(rates.numbers, radii.numbers, np.arange(n_seeds), indexing="ij")
    )
    frames, grids = [], []
    for shift, optimizer in enumerate(OPTIMIZERS):
        level = 0.9 - 0.1 * (np.log10(lr) + 1.5 - 0.1 * shift) ** 2 - 0.02 * (np.log10(rho) + 1) ** 2
        diverged = rng.random(len(lr)) < 0.02
        scores = {
            name: np.where(diverged, np.nan, level + 0.02 * rng.standard_normal(len(lr)))
            for name in ("val_accuracy", "test_accuracy")
        }
        status = np.where(diverged, "diverged", "completed")
        columns = {"task": SCORING.task, "optimizer": optimizer, "lr": lr, "rho": rho, "seed": seed, "status": status}
        frames.append(pd.DataFrame({**columns, "collapsed": False, **scores, "elapsed_s": 1.0}))
        grids.append(GridInfo(SCORING.task, optimizer, (rates, radii)))
    return pd.concat(frames, ignore_index=True), tuple(grids)


def measure(size: Size) -> Measured:
    """Return what the table of one size takes in this process."""
    table_of(SMALL)  # loads what is loaded once
    before = peak_mb()
    frame, grids = make_runs(size.shape)
    start, start_cpu = time.perf_counter(), time.process_time()
    table = robustness_table(frame, SCORING, grids)
    elapsed, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    if len(table.rows) != len(OPTIMIZERS) or not all(row.ranked for row in table.rows):
        raise SystemExit("the table is not what it should be")
    return Measured(len(frame), elapsed, cpu, before, peak_mb())


def profile(size: Size) -> None:
    """Print where the time of a table goes."""
    table_of(SMALL)
    frame, grids = make_runs(size.shape)
    profiler = cProfile.Profile()
    profiler.runcall(robustness_table, frame, SCORING, grids)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats("benchmark/robustness", N_LINES)


def table_of(size: Size) -> RobustnessTable:
    """Return the table of one size."""
    frame, grids = make_runs(size.shape)
    return robustness_table(frame, SCORING, grids)


def peak_mb() -> float:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few hundred cells only")
    parser.add_argument("--million", action="store_true", help="1,000,000 cells too")
    parser.add_argument("--profile", action="store_true", help="say where the time goes instead")
    arguments = parser.parse_args()
    sizes = SMOKE if arguments.smoke else USUAL + (MILLION if arguments.million else ())
    if arguments.profile:
        profile(sizes[-1])
        return 0
    time_title, memory_title = f"{'seconds':>8} {'of aim':>7} {'by CPU':>7}", f"{'peak MB':>8} {'of aim':>7}"
    print(f"{'cells':>10} {'seeds':>6} {time_title} {memory_title} {'MB before':>10}")
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            done = pool.submit(measure, size).result()
        time_used = f"{done.elapsed_s:8.2f} {done.elapsed_s / size.limit_s:7.0%} {done.cpu_s:7.2f}"
        memory_used = f"{done.peak_mb:8.0f} {done.peak_mb / size.limit_mb:7.0%}"
        print(f"{done.n_cells:>10,} {size.shape[2]:>6} {time_used} {memory_used} {done.before_mb:>10.0f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
