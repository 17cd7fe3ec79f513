"""Performance profiles: which share of an optimizer's runs reaches a score, for every score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.errors import TableError
from benchmark.robustness.cells import Cells, TaskCells
from benchmark.robustness.inference import tasks_of
from benchmark.robustness.intervals import Band, band_of, weights_for
from benchmark.robustness.reference import reference_of
from benchmark.robustness.scoring import FloatArray, GridInfo, TaskScoring

N_LEVELS = 201


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The performance profile of one optimizer on one task.

    Attributes:
        task: label of the task.
        optimizer: label.
        levels: normalised scores, ascending from 0 to the best of all profiles of the task, or 1 if that is more.
        share: of the runs whose normalised test score is at least the level; not increasing.
        band: pointwise intervals over the seeds; None under ten of them, for shares near 0 and 1 are far from normal.
    """

    task: str
    optimizer: str
    levels: FloatArray
    share: FloatArray
    band: Band | None


def performance_profiles(
    frame: pd.DataFrame,
    scorings: TaskScoring | Sequence[TaskScoring],
    grids: Sequence[GridInfo] | None = None,
    *,
    y_ref: Mapping[str, float] | None = None,
) -> list[Profile]:
    """Return the profile of each optimizer on each task where it has complete configurations.

    The share of runs with z >= tau, over tau: all measures of a row at a glance, and where one optimizer's line is
    above another's everywhere, no choice of a threshold can turn their order. A diverged run has z = 0. Adaptive
    searches have none: what they try depends on what they found.

    Source: E. Dolan & J. More, Benchmarking Optimization Software with Performance Profiles, 2002; as a distribution of
    scores Agarwal et al. 2021, arXiv:2108.13264, section 4.2.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        grids: what was planned, one an optimizer and task; inferred from the frame where not given.
        y_ref: reference by task, in raw units; else the best validation mean over all optimizers.

    Raises:
        TableError: where the runs allow none, with what is wrong and where.
    """
    return profiles_of(tasks_of(frame, scorings, grids), y_ref or {})


def profiles_of(tasks: Sequence[TaskCells], y_ref: Mapping[str, float]) -> list[Profile]:
    """Return the profiles of runs that are arranged already, as `performance_profiles` does."""
    profiles = []
    for task in tasks:
        reference = reference_of(task, y_ref)
        if reference.score is None or reference.problem is not None:
            raise TableError(f"a profile needs a reference, but {task.scoring.task} has none: {reference.problem}.")
        floor = task.scoring.oriented_floor
        able = [cells for cells in task.optimizers if cells.complete.any() and not cells.grid.is_adaptive]
        scores = [(cells.test[cells.complete] - floor) / (reference.score - floor) for cells in able]
        top = max([1.0, *(float(own.max()) for own in scores)])
        levels, weights = np.linspace(0.0, top, N_LEVELS), weights_for(len(task.seeds))
        profiles += [_profile(cells, own, levels, weights) for cells, own in zip(able, scores, strict=True)]
    return profiles


def _profile(cells: Cells, scores: FloatArray, levels: FloatArray, weights: FloatArray | None) -> Profile:
    n_configurations = len(scores)
    ordered = np.sort(scores, axis=0).T
    by_seed = np.array([1 - np.searchsorted(own, levels, side="left") / n_configurations for own in ordered])
    band = None if weights is None else band_of(by_seed, weights)
    if band is not None:
        band = Band(np.maximum(band.low, 0.0), np.minimum(band.high, 1.0), band.level, band.method)
    return Profile(cells.grid.task, cells.grid.optimizer, levels, by_seed.mean(axis=0), band)
