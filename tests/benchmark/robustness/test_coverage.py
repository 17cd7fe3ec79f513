"""Simulated coverage: the intervals hold the truth as often as they say, within the binomial error of the simulation.

Surfaces peak inside a grid of 6 x 6; a seed moves all configurations together, its split those of both scores, and
noise each score alone. The truth of a measure of seed means is its value on the surface without noise; of a mean over
seeds it is its mean over 20,000 seeds.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest

from benchmark.robustness import levels
from benchmark.robustness.intervals import Interval, Sample, interval_of, resampled_means, seed_weights
from benchmark.robustness.scoring import FloatArray
from benchmark.robustness.tuning import expected_best
from benchmark.robustness.width import widths
from benchmark.robustness.wins import wins_by_seed

pytestmark = pytest.mark.slow

ERRORS = 3.5  # standard errors of a simulated share; 21 shares are looked at
LOG_RHO = LOG_LR = np.linspace(-2, 0, 6)
SURFACE = (0.9 - 0.15 * (LOG_LR[:, None] + 1) ** 2 - 0.08 * (LOG_RHO + 1.1) ** 2).ravel()
RIVAL = (0.9 - 0.15 * (LOG_LR[:, None] + 1.1) ** 2 - 0.06 * (LOG_RHO + 1.3) ** 2).ravel()


def draw(rng: np.random.Generator, n_seeds: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return validation and test scores of one optimizer and the test scores of a rival, (configurations, seeds)."""
    shared = rng.normal(0, 0.015, n_seeds)
    split = rng.normal(0, 0.005, (36, n_seeds))
    first, second, third = (rng.normal(0, 0.01, (36, n_seeds)) for _ in range(3))
    level = SURFACE[:, None] + shared + split
    return level + first, level + second, RIVAL[:, None] + shared + third


def means_over_seeds(validation: FloatArray, test: FloatArray, rival: FloatArray) -> dict[str, FloatArray]:
    """Return the measures that are means over the seeds, by seed."""
    return {
        "grid_mean": test.mean(axis=0),
        "iqm": levels.interquartile_mean(test.T),
        "expected_best_4": expected_best(validation, test, [4])[0],
        "difference of grid means": test.mean(axis=0) - rival.mean(axis=0),
        "wins": wins_by_seed(test, rival),
    }


def of_seed_means(validation: FloatArray, test: FloatArray) -> dict[str, FloatArray]:
    """Return the measures of seed means, the configurations along the last axis."""
    good = levels.is_good(validation, 0.9, 0.03)
    by_lr = widths(good.reshape(*good.shape[:-1], 6, 6), 10**LOG_RHO)
    return {
        "best": levels.best(validation, test),
        "worst": levels.worst(test),
        "p10": levels.tenth_percentile(test),
        "good_share": levels.good_share(good),
        "rho_width_max": by_lr.max(axis=-1),
        "rho_width_mean": by_lr.mean(axis=-1),
    }


TRUTH: Mapping[str, float] = {
    **{name: float(own.mean()) for name, own in means_over_seeds(*draw(np.random.default_rng(0), 20_000)).items()},
    **{name: float(own) for name, own in of_seed_means(SURFACE, SURFACE).items()},
}


@pytest.mark.parametrize(("n_seeds", "n_tables"), [(3, 1_000), (5, 1_000), (10, 300)])
def test_coverage_of_means_over_seeds(n_seeds: int, n_tables: int) -> None:
    rng = np.random.default_rng(n_seeds)
    hits: dict[str, list[bool]] = defaultdict(list)
    for _ in range(n_tables):
        weights = None if n_seeds < 10 else seed_weights(n_seeds, rng)
        for name, by_seed in means_over_seeds(*draw(rng, n_seeds)).items():
            sample = Sample(by_seed, None if weights is None else weights @ by_seed, n_seeds)
            found = interval_of(float(by_seed.mean()), sample)
            assert isinstance(found, Interval)
            hits[name].append(found.low <= TRUTH[name] <= found.high)
    error = np.sqrt(0.95 * 0.05 / n_tables)
    shares = {name: float(np.mean(own)) for name, own in hits.items()}
    assert all(abs(share - 0.95) < ERRORS * error for share in shares.values()), shares


def test_coverage_of_measures_of_seed_means() -> None:
    """Those of steps, as a share of good configurations is, cover more often than they say, and never less."""
    rng, n_seeds, n_tables = np.random.default_rng(10), 10, 300
    hits: dict[str, list[bool]] = defaultdict(list)
    for _ in range(n_tables):
        validation, test, _ = draw(rng, n_seeds)
        weights = seed_weights(n_seeds, rng)
        resampled = of_seed_means(resampled_means(weights, validation), resampled_means(weights, test))
        for name, value in of_seed_means(validation.mean(axis=1), test.mean(axis=1)).items():
            sample = Sample(None, resampled[name], n_seeds, name in ("worst", "p10"))
            found = interval_of(float(value), sample)
            assert isinstance(found, Interval)
            hits[name].append(found.low - 1e-9 <= TRUTH[name] <= found.high + 1e-9)
    error = np.sqrt(0.95 * 0.05 / n_tables)
    shares = {name: float(np.mean(own)) for name, own in hits.items()}
    assert all(share > 0.95 - ERRORS * error for share in shares.values()), shares
