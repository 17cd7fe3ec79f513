"""Measure 7: over how many decades of rho an optimizer stays good."""

from dataclasses import dataclass

import numpy as np

from benchmark.robustness.scoring import BoolArray, FloatArray


def decades(rho: FloatArray) -> FloatArray:
    """Return how many decades each value of rho stands for.

    A grid point owns the interval between the geometric midpoints to its neighbours; the first and the last own their
    half only, so that the sum is the span of the grid and nothing beyond it is claimed.

    Args:
        rho: at least two positive values, ascending.
    """
    gaps = np.diff(np.log10(rho))
    return np.asarray((np.append(gaps, 0.0) + np.insert(gaps, 0, 0.0)) / 2)


def widths(good: BoolArray, rho: FloatArray) -> FloatArray:
    """Return the decades of rho within the tolerance at each learning rate; 0 where there are none.

    The good values need not be neighbours: what is measured is how likely a rho drawn uniformly in log rho is good.

    Args:
        good: which configurations are good, shape (..., learning rates, rhos).
        rho: the values of rho, ascending.

    Returns:
        Shape (..., learning rates).
    """
    return np.asarray(good @ decades(rho))


@dataclass(frozen=True, slots=True)
class Censoring:
    """Whether a width goes on beyond the lowest or the highest rho of the grid: it is then a lower bound."""

    low: bool
    high: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of the table that say so."""
        ends = (("censored_low", self.low), ("censored_high", self.high))
        return tuple(name for name, is_censored in ends if is_censored)


def censoring(good: BoolArray) -> Censoring:
    """Return whether the rho at an end of the grid is good at any of the learning rates.

    Args:
        good: which configurations are good, shape (learning rates, rhos); for the largest width, those at the learning
            rates that attain it.
    """
    return Censoring(low=bool(good[:, 0].any()), high=bool(good[:, -1].any()))
