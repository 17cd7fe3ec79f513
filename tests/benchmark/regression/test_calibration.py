"""How often limits of replays raise a false alarm, and which shifts they let be found: by simulation, fixed seeds."""

import math

import numpy as np
import pytest
from scipy import special

from benchmark import ComparisonError
from benchmark.regression import Side, Verdict, compare, limits_of, worst_change
from benchmark.regression.changes import Change
from benchmark.regression.spreads import Spread, judged
from benchmark.robustness.intervals import T_METHOD
from tests.benchmark.regression.rounding import Model, Runs, chaotic, common, heavy, normal, stepped
from tests.benchmark.regression.simulated import spec
from tests.benchmark.regression.test_comparison import change

N_REPLAYS = 19
STATED = {3: 3.3, 5: 1.7, 10: 1.0, 20: 0.67}  # docs/regressions.md: found in four of five cases


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "n_seeds"),
    [(normal, 4), (heavy, 4), (chaotic, 10), (stepped, 10)],
)
def test_of_twenty_runs_without_a_change_the_others_call_one_an_alarm_at_most(model: Model, n_seeds: int) -> None:
    """Which of exchangeable runs is the candidate is chance: a rate of 5 %, exactly, for every model and every seed."""
    runs = Runs(spec(n_seeds, 2, 2), model, seed=n_seeds)
    baseline, every = runs.one(), runs.several(N_REPLAYS + 1)
    statistics = [worst_change(baseline, run) for run in every]
    n_alarms = 0
    for own in np.argsort(statistics)[-2:]:  # to the others the same limit is set, and they are nearer
        limits = limits_of([*statistics[:own], *statistics[own + 1 :]])
        is_alarm = compare(baseline, every[own], limits=limits).verdict is Verdict.REGRESSED
        assert is_alarm == (statistics[own] > limits.factor)
        n_alarms += is_alarm
    assert n_alarms <= 1
    assert n_alarms == (max(statistics) > max(sorted(statistics)[-2], 1.0))  # margins are a yardstick at least


@pytest.mark.slow
def test_replays_find_what_intervals_do_not_see() -> None:
    """All seeds together go up or down, and nothing has changed: without limits that is an alarm all too often."""
    n_groups, n_uncalibrated, n_alarms = 3, 0, 0
    for group in range(n_groups):
        runs = Runs(spec(4, 2, 2), common, seed=group)
        baseline, every = runs.one(), runs.several(N_REPLAYS + 1)
        statistics = [worst_change(baseline, run) for run in every]
        worst = int(np.argmax(statistics))
        for own in (worst, (worst + 1) % len(every)):
            limits = limits_of([*statistics[:own], *statistics[own + 1 :]])
            n_alarms += compare(baseline, every[own], limits=limits).verdict is Verdict.REGRESSED
        n_uncalibrated += sum(compare(baseline, run).verdict is Verdict.REGRESSED for run in every[:4])
    assert n_alarms == n_groups  # of 60 runs in all: the rate is kept, and not by never saying anything
    assert n_uncalibrated > 0.25 * 4 * n_groups


@pytest.mark.slow
def test_a_shift_of_stated_size_is_found_with_the_stated_power() -> None:
    """Margin and 1.0 standard deviations of a seed, with ten seeds: in four of five cases, by the real comparison."""
    n_found = n_trials = n_blamed = 0
    of_a_seed = math.sqrt(2) / math.sqrt(4)  # yardsticks: two runs, and a mean over four configurations
    for group in range(2):
        runs = Runs(spec(10, 2, 2), normal, seed=30 + group)
        baseline = runs.one()
        limits = limits_of([worst_change(baseline, run) for run in runs.several(N_REPLAYS)])
        for _ in range(12):
            comparison = compare(baseline, runs.one(-(limits.factor + STATED[10] * of_a_seed)), limits=limits)
            found = comparison.with_verdict(Verdict.REGRESSED)
            n_found += bool(found)
            n_blamed += any(one.optimizer != "msam" for one in found)
            n_trials += 1
    assert n_found >= 0.8 * n_trials
    assert n_blamed == 0


@pytest.mark.parametrize(("n_seeds", "excess"), STATED.items())
def test_the_stated_power_is_that_of_the_verdict(n_seeds: int, excess: float) -> None:
    """By the non-central t distribution, and by the verdict on simulated seeds."""
    limit = special.stdtrit(n_seeds - 1, 0.975)
    assert float(1 - special.nctdtr(n_seeds - 1, excess * math.sqrt(n_seeds), limit)) == pytest.approx(0.8, abs=0.015)
    n_trials, margin = 1_500, 2.0
    draws = np.random.default_rng(n_seeds).normal(margin + excess, 1.0, size=(n_trials, n_seeds))
    n_found = 0
    for drawn in draws:
        one = Change("task", "sam", "grid_mean", difference=float(drawn.mean()))
        spread = Spread(float(drawn.std(ddof=1)), n_seeds, T_METHOD)
        found = judged(one, spread, less_is_worse=False, margin=margin, level=0.95)
        n_found += found.verdict is Verdict.REGRESSED
    assert n_found / n_trials == pytest.approx(0.8, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("model", [normal, chaotic])
def test_without_replays_the_corrected_intervals_keep_the_rate(model: Model) -> None:
    """As far as seeds are independent; margins of a yardstick make it rarer still."""
    runs = Runs(spec(4, 2, 2), model, seed=50)
    found = [compare(runs.one(), runs.one()) for _ in range(20)]
    assert {one.correction for one in found} == {"Bonferroni over 8 comparisons"}
    assert sum(one.verdict is Verdict.REGRESSED for one in found) <= 3  # more is one case of sixty at a rate of 5 %


def test_limits_hold_for_all_seeds_of_the_baseline_only() -> None:
    """A mean over fewer seeds scatters more than those of the replays."""
    whole = spec(n_seeds=4, n_rho=2, n_lr=2)
    baseline = Runs(whole, normal, seed=1).one()
    fewer = Runs(spec(n_seeds=3, n_rho=2, n_lr=2), normal, seed=2).one()
    limits = limits_of([5.0] * N_REPLAYS)
    assert compare(baseline, baseline, limits=limits).is_calibrated
    comparison = compare(baseline, fewer, limits=limits)
    assert not comparison.is_calibrated
    assert comparison.correction == "Bonferroni over 8 comparisons"
    assert change(comparison, "grid_mean").margin == pytest.approx(change(compare(baseline, fewer), "grid_mean").margin)


def test_a_replay_that_lacks_a_result_has_no_statistic() -> None:
    """Its largest would be of fewer measures than that of the runs to come."""
    runs = Runs(spec(n_seeds=4, n_rho=2, n_lr=2), normal, seed=3)
    baseline, replay = runs.one(), runs.one()
    key = next(iter(replay.records))
    lacking = Side(replay.spec, {name: record for name, record in replay.records.items() if name != key})
    with pytest.raises(ComparisonError, match=r"every cell of a replay must have a result, but some of sam on"):
        worst_change(baseline, lacking)
