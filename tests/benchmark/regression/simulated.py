"""Jobs with simulated scores: a response surface, noise of the seeds that both sides share, and numerical noise."""

import math
from dataclasses import replace

import numpy as np

from benchmark import Outcome, Spec
from benchmark.regression import Side
from benchmark.spec import Cell
from tests.service.filling import completed, diverged, records_by_key

TASK = "digits-mlp"


def spec(n_seeds: int = 10, n_rho: int = 3, n_lr: int = 3) -> Spec:
    """Return a spec of two optimizers over rho and the learning rate."""
    return Spec.from_mapping(
        {
            "name": "simulated",
            "tasks": [{"name": TASK, "params": {"hidden": 8}}],
            "budget": {"epochs": 1},
            "gd": False,
            "optimizers": [
                {"name": "sam", "space": {"rho": {"log": [0.01, 1.0], "n": n_rho}}},
                {"name": "msam", "space": {"rho": {"log": [0.01, 1.0], "n": n_rho}}},
            ],
            "space": {"lr": {"log": [0.01, 1.0], "n": n_lr}},
            "seeds": {"count": n_seeds},
        }
    )


def side(
    of: Spec,
    rng: np.random.Generator | None = None,
    *,
    noise: float = 0.0,
    shift: float = 0.0,
    shifted: str = "msam",
    edge: float = math.inf,
) -> Side:
    """Return a job whose scores fall off with rho and away from the best learning rate.

    Args:
        of: its spec.
        rng: draws what a harmless numerical change does.
        noise: standard deviation of that, a cell.
        shift: added to every score of the shifted optimizer.
        shifted: its label.
        edge: learning rate from which on the shifted optimizer diverges.
    """
    rng = rng or np.random.default_rng(0)
    of_seed = {seed: np.random.default_rng(seed).normal(0.0, 0.02) for seed in of.seeds.values}

    def outcome(cell: Cell) -> Outcome:
        rho, lr = float(cell.hyperparameters["rho"]), float(cell.hyperparameters["lr"])
        if cell.optimizer == shifted and lr >= edge:
            return diverged(cell)
        own = np.random.default_rng([cell.seed, round(1e6 * rho), round(1e6 * lr)]).normal(0.0, 0.01)
        level = 0.9 - 0.2 * rho - 0.1 * abs(math.log10(lr) + 1)
        level += of_seed[cell.seed] + float(own) + (shift if cell.optimizer == shifted else 0.0)
        score = min(level + noise * float(rng.normal()), 1.0)
        metrics = {"train_loss": 0.5, "val_accuracy": score, "test_accuracy": score, "val_loss": 0.6, "test_loss": 0.7}
        return replace(completed(cell), metrics=metrics)

    return Side(of, records_by_key(of, outcome))
