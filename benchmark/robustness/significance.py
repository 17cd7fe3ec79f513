"""p-values of paired differences, from the same spread over the seeds as their intervals."""

import math

import numpy as np
from scipy import special

from benchmark.robustness.intervals import MIN_SEEDS, ROUNDING, Sample

T_TEST = "paired t-test over seeds"
SIGN_TEST = "sign test over seeds"
BOOTSTRAP_TEST = "joint bootstrap over seeds, inverted"


def test_of(sample: Sample) -> str:
    """Return the name of the test of a difference."""
    if sample.by_seed is None:
        return BOOTSTRAP_TEST
    return SIGN_TEST if sample.is_flat else T_TEST


def two_sided_p(value: float, sample: Sample) -> float | None:
    """Return the p-value of the hypothesis that a difference is zero; None where the seeds allow none."""
    above, below = p_not_above(value, sample), p_not_above(-value, sample.negated())
    return None if above is None or below is None else min(1.0, 2 * min(above, below))


def p_not_above(value: float, sample: Sample) -> float | None:
    """Return the p-value of the hypothesis that a difference is zero or less; None where the seeds allow none.

    Of a mean over seeds it is Student's paired t-test; where the same difference came out of every seed, as it does of
    few seeds and scores in steps, it is that of the sign test, 2^-n, since their spread is not known. Of any other
    measure, from ten seeds on, it is the level at which the bootstrap's one-sided interval begins to hold zero, so that
    test and interval agree; with 2,000 resamples it is no smaller than about .006 at ten seeds.

    Args:
        value: the difference on the seeds as they are.
        sample: its spread.
    """
    n = sample.n_seeds
    if n < MIN_SEEDS:
        return None
    if sample.by_seed is not None:
        if not sample.is_flat:
            error = float(sample.by_seed.std(ddof=1)) / math.sqrt(n)
            return float(special.stdtr(n - 1, -value / error))
        chance = 2.0**-n  # that all n differences have the sign they have, if either were as likely
        return 0.5 if abs(value) <= ROUNDING else 1 - chance if value < 0 else chance
    resampled = sample.resampled
    if resampled is None or sample.is_flat or not np.isfinite(resampled).all():
        return None
    # the reverse interval has its lower end at twice the value less a high quantile
    beyond = resampled >= 2 * value if sample.is_order_statistic else resampled <= 0
    tail = (np.count_nonzero(beyond) + 1) / (len(resampled) + 1)
    return float(special.stdtr(n - 1, special.ndtri(tail) / math.sqrt(n / (n - 1))))
