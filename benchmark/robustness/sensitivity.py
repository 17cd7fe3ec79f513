"""Measure 8: how much of the variation rho and learning rate explain, and what one setting for all tasks costs."""

import numpy as np

from benchmark.errors import TableError
from benchmark.robustness.levels import best_configuration
from benchmark.robustness.scoring import FloatArray

MIN_TASKS = 3
ROUNDING = 1e-12  # of the scores' size: variation below it is rounding


def variance_shares(means: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the shares of the variance of the seed means that are due to rho, to the learning rate, and to both.

    The exact two-way analysis of variance of a full grid with one value a point: with m the grand mean, m_r and m_l
    the means of a rho and of a learning rate, the sums of squares

        total = sum (m_rl - m)^2,  rho = L sum_r (m_r - m)^2,  lr = R sum_l (m_l - m)^2,  interaction = the rest

    add up. The interaction holds what noise of the seeds is left in the means. Source: R. A. Fisher, Statistical
    Methods for Research Workers, 1925; for hyperparameters Hutter et al., An Efficient Approach for Assessing
    Hyperparameter Importance, 2014, of which this is the case without a model between the grid and the answer.

    Args:
        means: oriented seed means, shape (..., rhos, learning rates).

    Returns:
        Three arrays of shape (...): the shares; NaN where the means do not vary.
    """
    grand = means.mean(axis=(-2, -1))
    n_rho, n_lr = means.shape[-2:]
    total = ((means - grand[..., np.newaxis, np.newaxis]) ** 2).sum(axis=(-2, -1))
    by_rho = n_lr * ((means.mean(axis=-1) - grand[..., np.newaxis]) ** 2).sum(axis=-1)
    by_lr = n_rho * ((means.mean(axis=-2) - grand[..., np.newaxis]) ** 2).sum(axis=-1)
    least = n_rho * n_lr * (ROUNDING * np.abs(means).max(axis=(-2, -1), initial=0.0)) ** 2
    total = np.where(total > least, total, np.nan)
    rho, lr = by_rho / total, by_lr / total
    return rho, lr, np.clip(1 - rho - lr, 0.0, 1.0)


def phi(validation: FloatArray, test: FloatArray) -> float:
    """Return what is lost by using one configuration for all tasks instead of the best one for each.

        Phi = mean_e max_h z(e, h) - max_h mean_e z(e, h)

    with e a task, h a configuration, z the normalised seed mean; 0 where one configuration is the best of every task.
    Both maxima are picked by validation and reported on test, so that noise can make it slightly negative. Source:
    Adkins et al., A Method for Evaluating Hyperparameter Sensitivity in Reinforcement Learning, 2024, arXiv:2412.07165,
    where scores are normalised by percentiles of all algorithms; here by floor and reference.

    Args:
        validation: normalised seed means, shape (tasks, configurations), no NaN.
        test: likewise.

    Raises:
        TableError: for fewer than three tasks.
    """
    if len(validation) < MIN_TASKS:
        raise TableError(f"Phi needs at least {MIN_TASKS} tasks, but got {len(validation)}.")
    own = np.take_along_axis(test, best_configuration(validation)[:, np.newaxis], axis=1).mean()
    shared = test[:, best_configuration(validation.mean(axis=0))].mean()
    return float(own - shared)
