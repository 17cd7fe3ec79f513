"""Measure how long each kind of figure takes of 99,999 cells: three optimizers, 41 x 271 configurations, 3 seeds.

    python -m benchmarks.figures [--smoke]

From a frame of runs to an svg, a png, a pdf, and to what Plotly is sent as JSON. What is loaded once, and the frame
itself, are made before the clock starts. Trajectories are left out: they are of landscapes, and not of grids.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from benchmark.figures import FigureData, figure_kinds, figure_of
from benchmark.robustness import AxisInfo, GridInfo, TaskScoring

LIMIT_S = 3.0
OPTIMIZERS = ("gd", "sam", "msam")
SCORING = TaskScoring("digits-mlp", "accuracy", "maximize", 0.01, 0.1)


def make_data(n_rates: int, n_radii: int, n_seeds: int) -> FigureData:
    """Return runs of three optimizers on one grid, a corner of which diverged."""
    rng = np.random.default_rng(0)
    rates = AxisInfo("lr", "log", tuple(np.geomspace(1e-3, 1, n_rates).tolist()))
    radii = AxisInfo("rho", "log", tuple(np.geomspace(1e-2, 1, n_radii).tolist()))
    grid = np.meshgrid(rates.numbers, radii.numbers, np.arange(n_seeds), indexing="ij")
    lr, rho, seed = (part.ravel() for part in grid)
    frames = []
    for shift, optimizer in enumerate(OPTIMIZERS):
        level = 0.9 - 0.1 * (np.log10(lr) + 1.5 - 0.1 * shift) ** 2 - 0.02 * (np.log10(rho) + 1) ** 2
        diverged = (lr * rho > 0.3) & (rng.random(len(lr)) < 0.8)
        columns: dict[str, object] = {"task": SCORING.task, "optimizer": optimizer, "lr": lr, "rho": rho, "seed": seed}
        columns |= {"status": np.where(diverged, "diverged", "completed"), "collapsed": level < 0.3}
        for name in ("val_accuracy", "test_accuracy"):
            columns[name] = np.where(diverged, np.nan, level + 0.02 * rng.standard_normal(len(lr)))
        columns["sharpness_lambda_max"] = np.where(diverged, np.nan, 2 - level + 0.1 * rng.standard_normal(len(lr)))
        frames.append(pd.DataFrame(columns))
    grids = tuple(GridInfo(SCORING.task, optimizer, (rates, radii)) for optimizer in OPTIMIZERS)
    frame = pd.concat(frames, ignore_index=True)
    return FigureData.of_frame(frame, SCORING, grids)


def seconds(draw: Callable[[], object]) -> tuple[float, float]:
    """Return how long a call takes by the wall and by the CPU, which other programs on the machine do not lengthen."""
    start, start_cpu = time.perf_counter(), time.process_time()
    draw()
    return time.perf_counter() - start, time.process_time() - start_cpu


def main() -> int:
    """Print a line a kind of figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="600 cells only")
    arguments = parser.parse_args()
    size = (10, 10, 2) if arguments.smoke else (41, 271, 3)
    small = make_data(4, 4, 2)
    print(f"{np.prod(size) * len(OPTIMIZERS):,} cells; seconds by the wall (by the CPU), at most {LIMIT_S:g} wanted")
    print(f"{'figure':12}" + "".join(f"{name:>14}" for name in ("svg", "png", "pdf", "json")))
    for kind in figure_kinds():
        if kind.needs_curves:
            continue
        figure_of(small, kind.name).image()
        taken = []
        for image_format in ("svg", "png", "pdf"):
            data = make_data(*size)  # what a figure prepares is kept with its data, so each has data of its own
            taken.append(seconds(lambda: figure_of(data, kind.name).image(image_format)))  # noqa: B023 - called at once
        data = make_data(*size)
        taken.append(seconds(lambda: json.dumps(figure_of(data, kind.name).plotly())))  # noqa: B023 - called at once
        print(f"{kind.name:12}" + "".join(f"{f'{wall:.2f} ({cpu:.2f})':>14}" for wall, cpu in taken), flush=True)
    print(f"peak of all {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
