"""Measure 6: what to expect from tuning with k trials."""

from collections.abc import Sequence

import numpy as np

from benchmark.errors import TableError
from benchmark.robustness.scoring import FloatArray


def expected_best(validation: FloatArray, test: FloatArray, trials: Sequence[int]) -> FloatArray:
    """Return, for each seed, the expected test score of the best of k configurations drawn at random.

    For each seed the n configurations are ranked by that seed's validation score; the one of rank i from below is the
    best of k drawn without replacement with probability C(i-1, k-1) / C(n, k), and its test score is weighted with
    that. Configurations with equal validation scores share their probabilities equally.

    Source: Tang et al., Showing Your Work Doesn't Always Work, 2020, arXiv:2004.13705, whose exact form corrects the
    one of Dodge et al., Show Your Work, 2019, arXiv:1909.03004, which draws with replacement and is biased low.

    Args:
        validation: oriented scores, shape (configurations, seeds), no NaN.
        test: likewise.
        trials: the numbers k; 1 <= k <= n.

    Returns:
        Shape (trials, seeds).

    Raises:
        TableError: for k < 1 or k > n.
    """
    from scipy.stats import rankdata  # takes a second, and few processes make tables

    n = validation.shape[0]
    for k in trials:
        if not 1 <= k <= n:
            raise TableError(f"1 <= k <= n must hold, but got k={k}, n={n}.")
    below = rankdata(validation, method="min", axis=0).astype(np.int64) - 1
    upto = rankdata(validation, method="max", axis=0).astype(np.int64)
    values = np.empty((len(trials), validation.shape[1]))
    for row, k in enumerate(trials):
        within = share_within(n, k)
        weights = (within[upto] - within[below]) / (upto - below)
        values[row] = np.einsum("hs,hs->s", weights, test)
    return values


def share_within(n: int, k: int) -> FloatArray:
    """Return the probability that all of k draws from n, without replacement, are among the lowest i, for i = 0..n.

    C(i, k) / C(n, k), from above by C(i-1, k) / C(i, k) = (i - k) / i: no number in it overflows or cancels.
    """
    steps = np.maximum(1 - k / np.arange(n, 0, -1, dtype=np.float64), 0.0)
    return np.concatenate([[1.0], np.cumprod(steps)])[::-1]
