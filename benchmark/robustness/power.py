"""How many seeds a paired comparison needs."""

import numpy as np
from scipy import special

from benchmark.robustness.intervals import LEVEL, MIN_SEEDS
from benchmark.robustness.scoring import FloatArray

POWER = 0.8
MAX_SEEDS = 1_000
PLAIN_SIZE = 100  # standard deviations that two seeds see in more than 99 of 100 cases


def seeds_needed(differences: FloatArray, effect: float, level: float = LEVEL, power: float = POWER) -> int | None:
    """Return with how many seeds a two-sided paired t-test sees an effect as often as `power` says.

    Holds as far as the differences of further seeds scatter as these do, normally; of few seeds their scatter is hardly
    known: with 3 seeds the number may well be wrong by a factor of ten, with 10 by a factor of two.

    Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition 1988, chapter 2: the power is
    that of the non-central t distribution with n - 1 degrees of freedom and non-centrality effect / sd * sqrt(n).

    Args:
        differences: of two optimizers, one a seed, at least two.
        effect: the difference to see, in the same unit; its sign does not matter.
        level: 1 minus the level of the test.
        power: to reach, above 1 - level and below 1.

    Returns:
        At least 2; None where even `MAX_SEEDS` would not do, or there is no effect to see.
    """
    if effect == 0:
        return None
    sd = float(np.std(differences, ddof=1))
    if sd * PLAIN_SIZE < abs(effect):
        return MIN_SEEDS
    size = abs(effect) / sd
    if power_of(MAX_SEEDS, size, level) < power:
        return None
    low, high = MIN_SEEDS - 1, MAX_SEEDS  # the power at `low` is too little, that at `high` is enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle, size, level) >= power else (middle, high)
    return high


def power_of(n_seeds: int, size: float, level: float = LEVEL) -> float:
    """Return how often a two-sided paired t-test sees an effect.

    Args:
        n_seeds: at least 2.
        size: of the effect, in standard deviations of the differences.
        level: 1 minus the level of the test.
    """
    limit = special.stdtrit(n_seeds - 1, (1 + level) / 2)
    shift = size * np.sqrt(n_seeds)
    wrong_side = special.nctdtr(n_seeds - 1, shift, -limit)  # scipy says NaN where it is far below rounding
    return float(1 - special.nctdtr(n_seeds - 1, shift, limit) + np.nan_to_num(wrong_side))
