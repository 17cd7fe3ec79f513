"""Measures 1-4: how good the best, the average and the worst configuration are, and how many are good enough.

All functions take oriented seed means (higher is better) with the configurations along the last axis, and keep any
axes before it: resampled means go through the same code as the observed ones. Every function needs at least one
configuration and no NaN.

Source of the view: Choi et al., On Empirical Comparisons of Optimizers for Deep Learning, 2019, arXiv:1910.05446, and
Sivaprasad et al., Optimizer Benchmarking Needs to Account for Hyperparameter Tuning, 2020, arXiv:1910.11758: an
optimizer is to be judged by what tuning it over a stated grid gives, not by its best point alone.
"""

import math

import numpy as np

from benchmark.robustness.scoring import BoolArray, FloatArray, IntArray

P10 = 0.1
SLACK = 1e-9  # of the scores' size: a configuration exactly at the tolerance is good whatever rounding did


def best_configuration(validation: FloatArray) -> IntArray:
    """Return the number of the configuration with the best validation mean; the first of them where several tie."""
    return np.asarray(np.argmax(ties_for_best(validation), axis=-1))


def ties_for_best(validation: FloatArray) -> BoolArray:
    """Return which configurations have the best validation mean, up to rounding, which depends on the seeds' order."""
    top = validation.max(axis=-1, keepdims=True)
    return np.asarray(validation >= top - SLACK * np.abs(top))


def best(validation: FloatArray, test: FloatArray) -> FloatArray:
    """Return the test mean of the configuration that validation picks.

    y_test(h*), h* = argmax_h y_val(h). Picking and reporting on different data keeps the best of many noisy means from
    being reported as better than it is.
    """
    picked = best_configuration(validation)[..., np.newaxis]
    return np.asarray(np.take_along_axis(test, picked, axis=-1)[..., 0])


def grid_mean(test: FloatArray) -> FloatArray:
    """Return the mean over the configurations: the expected score of one random trial on the grid."""
    return np.asarray(test.mean(axis=-1))


def interquartile_mean(test: FloatArray, repeats: int = 1) -> FloatArray:
    """Return the mean of the middle half: of n scores the lowest and the highest n // 4 are left out.

    Two runs that diverge more or less do not move it, and it uses more of the scores than a median.
    Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021,
    arXiv:2108.13264, there of all runs together; here of each seed's scores, so that seeds give an honest interval.

    Args:
        test: oriented scores, shape (..., configurations).
        repeats: how often each configuration stands on the common grid.
    """
    n = test.shape[-1] * repeats
    cut = n // 4
    ends = np.clip(np.arange(test.shape[-1] + 1) * repeats, cut, n - cut)
    return np.asarray(np.sort(test, axis=-1) @ (np.diff(ends) / (n - 2 * cut)))


def worst(test: FloatArray) -> FloatArray:
    """Return the lowest seed mean of the grid."""
    return np.asarray(test.min(axis=-1))


def tenth_percentile(test: FloatArray, repeats: int = 1) -> FloatArray:
    """Return the 10th percentile of the seed means, linear between order statistics.

    Definition 7 of Hyndman & Fan, Sample Quantiles in Statistical Packages, 1996, numpy's default.

    Args:
        test: oriented seed means, shape (..., configurations).
        repeats: how often each configuration stands on the common grid; more than once for an optimizer that lacks one
            of its axes and is constant along it.
    """
    rank = P10 * (test.shape[-1] * repeats - 1)
    low, high = math.floor(rank) // repeats, math.ceil(rank) // repeats
    ordered = np.partition(test, (low, high), axis=-1)
    share = rank - math.floor(rank)
    return np.asarray(ordered[..., low] * (1 - share) + ordered[..., high] * share)


def is_good(validation: FloatArray, reference: float, tolerance: float) -> BoolArray:
    """Return which configurations are good: validation mean within the tolerance of the reference.

    Args:
        validation: oriented seed means.
        reference: oriented score that good ones come near: the best validation mean of all optimizers.
        tolerance: in raw units.
    """
    return np.asarray(validation >= reference - tolerance - SLACK * max(abs(reference), tolerance))


def good_share(good: BoolArray) -> FloatArray:
    """Return the share of good configurations."""
    return np.asarray(good.mean(axis=-1))
