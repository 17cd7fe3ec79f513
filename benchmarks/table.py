"""Measure time and memory of the robustness table: all measures and intervals of 100,000 and 1,000,000 cells.

    python -m benchmarks.table [--smoke | --million] [--seeds N]

Each size runs in a process of its own, so that its peak of memory is its own. The frame is built before the clock
starts; its bytes are part of the peak, as they are for a caller.
"""

import argparse
import math
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from benchmark.robustness import AxisInfo, GridInfo, TaskScoring, robustness_table

OPTIMIZERS = ("gd", "sam", "msam")
SCORING = TaskScoring("digits-mlp", "accuracy", "maximize", 0.01, 0.1)


@dataclass(frozen=True)
class Size:
    """A table to measure, and what it should take."""

    n_cells: int
    n_seeds: int
    limit_s: float
    limit_mb: float


@dataclass(frozen=True)
class Measured:
    """What a table took."""

    n_cells: int
    elapsed_s: float
    peak_mb: float


def make_runs(n_cells: int, n_seeds: int) -> tuple[pd.DataFrame, tuple[GridInfo, ...]]:
    """Return runs of three optimizers with about `n_cells` cells, one in 50 diverged, and their grids."""
    side = max(2, math.isqrt(n_cells // (len(OPTIMIZERS) * n_seeds)))
    rng = np.random.default_rng(0)
    rates = AxisInfo("lr", "log", tuple(np.geomspace(1e-3, 1, side).tolist()))
    radii = AxisInfo("rho", "log", tuple(np.geomspace(1e-2, 1, side).tolist()))
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
    robustness_table(*make_small())
    frame, grids = make_runs(size.n_cells, size.n_seeds)
    start = time.perf_counter()
    table = robustness_table(frame, SCORING, grids)
    elapsed = time.perf_counter() - start
    if len(table.rows) != len(OPTIMIZERS):
        raise SystemExit("the table is not what it should be")
    return Measured(len(frame), elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make_small() -> tuple[pd.DataFrame, TaskScoring, tuple[GridInfo, ...]]:
    """Return the arguments of a table of a few cells, to load what is loaded once."""
    frame, grids = make_runs(120, 10)
    return frame, SCORING, grids


def main() -> int:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="3,000 cells only")
    parser.add_argument("--million", action="store_true", help="1,000,000 cells too")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each configuration (default: 10)")
    arguments = parser.parse_args()
    sizes = [Size(3_000 if arguments.smoke else 100_000, arguments.seeds, 1.0, 500)]
    if arguments.million:
        sizes.append(Size(1_000_000, arguments.seeds, 10.0, 3_000))
    print(f"{'cells':>10} {'seeds':>6} {'seconds':>8} {'of aim':>7} {'peak MB':>8} {'of aim':>7}")
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            done = pool.submit(measure, size).result()
        time_used = f"{done.elapsed_s:8.2f} {done.elapsed_s / size.limit_s:7.0%}"
        memory_used = f"{done.peak_mb:8.0f} {done.peak_mb / size.limit_mb:7.0%}"
        print(f"{done.n_cells:>10,} {size.n_seeds:>6} {time_used} {memory_used}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
