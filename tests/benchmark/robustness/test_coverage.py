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
from benchmark.robustness.evaluate import ORDER_STATISTICS, STEPS
from benchmark.robustness.intervals import Interval, Sample, interval_of, resampled_means, seed_weights
from benchmark.robustness.scoring import FloatArray
from benchmark.robustness.sensitivity import variance_shares
from benchmark.robustness.tuning import expected_best
from benchmark.robustness.width import widths
from benchmark.robustness.wins import wins_by_seed

pytestmark = pytest.mark.slow

ERRORS = 3.5  # standard errors of a simulated share; some 30 shares are looked at
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
            if isinstance(found, Interval):
                hits[name].append(found.low <= TRUTH[name] <= found.high)
            else:
                assert name == "wins", "a share of 36 cells is the same for three seeds now and then"
    error = np.sqrt(0.95 * 0.05 / n_tables)
    shares = {name: float(np.mean(own)) for name, own in hits.items()}
    assert all(abs(share - 0.95) < ERRORS * error for share in shares.values()), shares
    assert all(len(own) > 0.95 * n_tables for own in hits.values())


def test_coverage_of_measures_of_seed_means_and_of_their_differences() -> None:
    """Those of steps, as a share of good configurations is, cover more often than they say, and never less."""
    rng, n_seeds, n_tables = np.random.default_rng(10), 10, 300
    hits: dict[str, list[bool]] = defaultdict(list)
    truth = of_seed_means(SURFACE, SURFACE)
    truth |= {f"difference of {name}": own - truth[name] for name, own in of_seed_means(RIVAL, RIVAL).items()}
    for _ in range(n_tables):
        validation, test, rival = draw(rng, n_seeds)
        weights = seed_weights(n_seeds, rng)
        observed = [
            of_seed_means(*(scores.mean(axis=1) for scores in pair)) for pair in ((validation, test), (rival,) * 2)
        ]
        resampled = [
            of_seed_means(*(resampled_means(weights, scores) for scores in pair))
            for pair in ((validation, test), (rival, rival))
        ]
        for name in observed[0]:
            one, other = (
                Sample(None, own[name], n_seeds, name in ORDER_STATISTICS, name in STEPS) for own in resampled
            )
            value, difference = float(observed[0][name]), float(observed[1][name] - observed[0][name])
            for title, found in (
                (name, interval_of(value, one)),
                (f"difference of {name}", interval_of(difference, other.minus(one))),
            ):
                assert isinstance(found, Interval)
                hits[title].append(bool(found.low - 1e-9 <= truth[title] <= found.high + 1e-9))
    error = np.sqrt(0.95 * 0.05 / n_tables)
    shares = {name: float(np.mean(own)) for name, own in hits.items()}
    assert all(share > 0.95 - ERRORS * error for share in shares.values()), shares


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_coverage_of_a_rate_of_failures(rate: float) -> None:
    """Where no run of any seed failed there is no interval: [0 %, 0 %] would hold no rate at all."""
    rng, n_seeds, n_tables = np.random.default_rng(3), 10, 600
    hits = []
    for _ in range(n_tables):
        by_seed = (rng.random((36, n_seeds)) < rate).mean(axis=0)
        found = interval_of(float(by_seed.mean()), Sample(None, seed_weights(n_seeds, rng) @ by_seed, n_seeds))
        if isinstance(found, Interval):
            hits.append(found.low <= rate <= found.high)
    assert len(hits) > 0.9 * n_tables
    assert np.mean(hits) > 0.95 - ERRORS * np.sqrt(0.95 * 0.05 / len(hits))


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_wins_in_nearly_every_cell_do_not_cover_less_than_they_say(n_seeds: int) -> None:
    rng, n_tables, truth = np.random.default_rng(n_seeds), 1_000, 0.97
    hits = []
    for _ in range(n_tables):
        by_seed = (rng.random((36, n_seeds)) < truth).mean(axis=0)
        resampled = None if n_seeds < 10 else seed_weights(n_seeds, rng) @ by_seed
        found = interval_of(float(by_seed.mean()), Sample(by_seed, resampled, n_seeds))
        if isinstance(found, Interval):
            hits.append(found.low <= truth <= found.high)
    assert len(hits) > 0.85 * n_tables
    assert np.mean(hits) > 0.95 - ERRORS * np.sqrt(0.95 * 0.05 / len(hits))


def test_an_interval_of_the_interaction_would_hold_no_truth() -> None:
    """Which is why shares of variance have none: an additive surface has no interaction, and noise looks like one."""
    rng, n_seeds = np.random.default_rng(4), 10
    lows = []
    for _ in range(50):
        _, test, _ = draw(rng, n_seeds)
        means = resampled_means(seed_weights(n_seeds, rng), test).reshape(-1, 6, 6)
        lows.append(np.quantile(variance_shares(means)[2], 0.001))
    assert variance_shares(SURFACE.reshape(6, 6))[2] < 1e-12
    assert min(lows) > 1e-4
