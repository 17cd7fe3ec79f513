"""Frames of runs for tests: made by hand, by arrays, and the published table that serves as a known answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.robustness import RobustnessTable, TaskScoring

ACCURACY = TaskScoring("digits", "accuracy", "maximize", 0.05, 0.1)
LRS = (0.01, 0.1, 1.0)
RHOS = (0.01, 0.1, 1.0, 10.0)

# Jacobsen & Arvanitidis 2025, arXiv:2502.08448, table 3; None: collapsed, scored as the pretrained network.
TABLE_3_SCORING = TaskScoring("clip", "s_knn", "maximize", 0.01, 0.351)
TABLE_3_RHOS = (0.01, 0.02, 0.03, 0.04)
TABLE_3: Mapping[str, Mapping[float, Sequence[float | None]]] = {
    "sam": {1e-5: (0.405, None, None, None), 5e-5: (None, None, None, None), 1e-4: (None, None, None, None)},
    "msam": {1e-5: (0.388, 0.411, 0.415, 0.420), 5e-5: (0.404, 0.417, 0.433, 0.446), 1e-4: (0.405, 0.422, None, None)},
}


def table_3() -> pd.DataFrame:
    """Return the twelve cells that both optimizers share."""
    return pd.DataFrame(
        [
            {
                "task": "clip",
                "optimizer": optimizer,
                "seed": 0,
                "status": "completed",
                "collapsed": score is None,
                "lr": lr,
                "rho": rho,
                "s_knn": 0.351 if score is None else score,
            }
            for optimizer, by_lr in TABLE_3.items()
            for lr, scores in by_lr.items()
            for rho, score in zip(TABLE_3_RHOS, scores, strict=True)
        ]
    )


def frame_of(
    scores: Mapping[str, np.ndarray[Any, Any]],
    *,
    validation: Mapping[str, np.ndarray[Any, Any]] | None = None,
    scoring: TaskScoring = ACCURACY,
    lrs: Sequence[float] = LRS,
    rhos: Sequence[float] = RHOS,
) -> pd.DataFrame:
    """Return runs with these scores.

    Args:
        scores: by optimizer; shape (lr, rho, seed), or (lr, seed) for one without rho. NaN is a diverged run.
        validation: likewise; by default the same scores.
        scoring: of the task.
        lrs: learning rates.
        rhos: radii.
    """
    frames = []
    for optimizer, test in scores.items():
        has_rho = test.ndim == 3
        axes = (
            [np.array(lrs), np.array(rhos), np.arange(test.shape[-1])]
            if has_rho
            else [np.array(lrs), np.arange(test.shape[-1])]
        )
        lr, *rest = (part.ravel() for part in np.meshgrid(*axes, indexing="ij"))
        values = test.ravel()
        frames.append(
            pd.DataFrame(
                {
                    "task": scoring.task,
                    "optimizer": optimizer,
                    "lr": lr,
                    "rho": rest[0] if has_rho else np.nan,
                    "seed": rest[-1],
                    "status": np.where(np.isfinite(values), "completed", "diverged"),
                    "collapsed": False,
                    f"val_{scoring.metric}": (test if validation is None else validation[optimizer]).ravel(),
                    f"test_{scoring.metric}": values,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def lose(frame: pd.DataFrame, rows: object, status: str) -> None:
    """Take the scores of some rows away, in place."""
    kept = ~frame.index.isin(np.atleast_1d(np.asarray(rows)))
    frame["status"] = frame["status"].where(kept, status)
    for name in ("val_accuracy", "test_accuracy"):
        frame[name] = frame[name].where(kept)


def noisy_scores(n_seeds: int, seed: int = 0, noise: float = 0.01) -> dict[str, np.ndarray[Any, Any]]:
    """Return scores of gd, sam and msam that peak inside the grid, with an effect of the seed that all share."""
    rng = np.random.default_rng(seed)
    shared = 0.02 * rng.standard_normal(n_seeds)
    by_lr = 0.9 - 0.1 * (np.log10(LRS) + 1) ** 2
    scores = {"gd": by_lr[:, None] + shared + noise * rng.standard_normal((3, n_seeds))}
    for optimizer, slope in (("sam", 0.1), ("msam", 0.03)):
        by_rho = -slope * (np.log10(RHOS) + 1) ** 2
        scores[optimizer] = (by_lr[:, None] + by_rho)[..., None] + shared + noise * rng.standard_normal((3, 4, n_seeds))
    return scores


def value(table: RobustnessTable, optimizer: str, measure: str) -> float:
    """Return the value of a measure in a table of one task."""
    found = table.row(table.tasks[0].task, optimizer).measures[measure].value
    assert found is not None
    return found


def raw(table: RobustnessTable, optimizer: str, measure: str) -> float:
    """Return the raw value of a measure in a table of one task."""
    found = table.row(table.tasks[0].task, optimizer).measures[measure].raw
    assert found is not None
    return found
