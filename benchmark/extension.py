"""Extending a spec: a larger one whose cells include all of the first, so that only the new ones are trained."""

from benchmark.errors import Problem
from benchmark.spec import Cell, Grid, Spec, expand


def extension_problems(old: Spec, new: Spec) -> list[Problem]:
    """Return why a spec does not extend another one; nothing where it does.

    A log or linear axis is refined by n -> 2 n - 1, or goes on in the same step; a random or Sobol design and an
    adaptive search take more configurations under the same seed; and there may be more seeds, optimizers and tasks, but
    not more measures of sharpness: a record is written once.
    Every cell keeps the labels of its task and optimizer, under which its record is known.
    """
    labels = {cell.key: (cell.task, cell.optimizer) for cell in expand(new)}
    lost = next((cell for cell in expand(old) if labels.get(cell.key) != (cell.task, cell.optimizer)), None)
    if lost is not None:
        return [
            Problem("", f"every cell of the job must stay, with its labels, but {_named(lost)} is not in the spec.")
        ]
    if not set(old.seeds.values) <= set(new.seeds.values):
        return [Problem("/seeds", f"every seed of the job must stay: {old.seeds.count} from {old.seeds.base}.")]
    added = [name for name in new.sharpness if name not in old.sharpness]
    if added:
        detail = (
            f"no measure may be added, for what is trained would lack it, but got {', '.join(added)}; submit a job."
        )
        return [Problem("/sharpness", detail)]
    searches = [grid for grid in new.grids if grid.is_adaptive]
    for grid in old.grids:
        if grid.is_adaptive and not any(_goes_on(grid, other) for other in searches):
            detail = (
                f"an adaptive search goes on with its intervals, seed and budget and as many configurations or more, "
                f"but {grid.title} ({grid.n_configurations} configurations) does not."
            )
            return [Problem("/search", detail)]
    return []


def _goes_on(search: Grid, other: Grid) -> bool:
    mine, theirs = (
        (one.task, one.optimizer, one.setting.key, one.axes, one.fixed, one.design and one.design.seed)
        for one in (search, other)
    )
    return mine == theirs and other.n_configurations >= search.n_configurations


def _named(cell: Cell) -> str:
    values = ", ".join(f"{name}={value!r}" for name, value in cell.hyperparameters.items())
    return f"{cell.optimizer} on {cell.task} with {values}, seed {cell.seed},"
