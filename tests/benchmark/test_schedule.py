import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.schedule import evaluation_steps, lr_factor, steps_per_epoch, total_steps
from benchmark.spec.models import Budget

TOTALS = st.integers(1, 5_000)


@pytest.mark.parametrize(("n_examples", "batch_size", "n"), [(10, 5, 2), (11, 5, 2), (14, 5, 2), (4, 5, 1), (5, 5, 1)])
def test_an_epoch_has_full_batches_only(n_examples: int, batch_size: int, n: int) -> None:
    assert steps_per_epoch(n_examples, batch_size) == n


@pytest.mark.parametrize(
    ("budget", "per_step", "n"),
    [
        ({"epochs": 3, "batch_size": 5}, 1.0, 6),
        ({"epochs": 3, "batch_size": 5}, 2.0, 6),
        ({"epochs": 3, "batch_size": 50}, 2.0, 3),
        ({"gradient_evaluations": 7}, 1.0, 7),
        ({"gradient_evaluations": 7}, 2.0, 3),
        ({"gradient_evaluations": 1}, 2.0, 1),
        ({"gradient_evaluations": 12}, 1.2, 10),
    ],
)
def test_steps_of_a_budget(budget: dict[str, Any], per_step: float, n: int) -> None:
    assert total_steps(Budget(**budget), 10, per_step) == n


@given(TOTALS, st.floats(0, 0.999), st.sampled_from(["constant", "cosine"]))
def test_the_factor_rises_to_one_and_then_never_again(total: int, warmup: float, schedule: Any) -> None:
    budget = Budget(epochs=1, warmup=warmup, schedule=schedule)
    factors = [lr_factor(step, total, budget) for step in range(total)]
    n_warmup = round(budget.warmup * total)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:n_warmup] == sorted(factors[:n_warmup])
    assert factors[n_warmup:] == sorted(factors[n_warmup:], reverse=True)
    assert n_warmup == 0 or factors[n_warmup - 1] == 1
    if schedule == "constant":
        assert set(factors[n_warmup:]) <= {1.0}


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.5),
        (1, 1.0),
        (2, 1.0),
        (4, 0.5 * (1 + math.cos(math.pi / 4))),
        (6, 0.5),
        (9, 0.5 * (1 + math.cos(7 / 8 * math.pi))),
    ],
)
def test_warmup_and_cosine_by_hand(step: int, factor: float) -> None:
    assert lr_factor(step, 10, Budget(epochs=1, schedule="cosine", warmup=0.2)) == pytest.approx(factor)


@given(TOTALS)
def test_evaluations_are_even_distinct_and_end_at_the_end(total: int) -> None:
    steps = evaluation_steps(total, 20)
    gaps = [second - first for first, second in itertools.pairwise((0, *steps))]
    assert len(steps) == min(total, 20)
    assert steps[-1] == total
    assert 1 <= min(gaps) <= max(gaps) <= min(gaps) + 1 + (total % len(steps) > 0)
