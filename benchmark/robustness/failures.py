"""Measure 5: the shares of runs that diverged, and of runs that ended without having learned anything.

A diverged run (NaN or infinity in loss or parameters) is a result and scores the floor; a collapsed one keeps its
score. They are counted apart because they ask for different remedies.
"""

import numpy as np

from benchmark.robustness.scoring import BoolArray, FloatArray


def failure_rates(failed: BoolArray, is_result: BoolArray) -> tuple[float, FloatArray]:
    """Return the share of runs that failed, and the same for each seed.

    The mean of the shares of the seeds is the share of all runs where no run is missing.

    Args:
        failed: which runs diverged, or collapsed; shape (configurations, seeds).
        is_result: which runs have a result; at least one. The others count neither as failed nor as fine.

    Returns:
        The share, and shape (seeds,): the shares by seed; NaN for a seed without a result.
    """
    n_failed, n_results = (failed & is_result).sum(axis=0), is_result.sum(axis=0)
    by_seed = np.full(len(n_results), np.nan)
    np.divide(n_failed, n_results, out=by_seed, where=n_results > 0)
    return float(n_failed.sum() / n_results.sum()), by_seed
