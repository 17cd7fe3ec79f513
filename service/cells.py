"""The cells of a job that have certain hyperparameters: of its spec, and of an adaptive search those that it chose."""

from collections.abc import Iterable, Iterator, Mapping

from benchmark.errors import TableError
from benchmark.known import chosen_configurations
from benchmark.parsing import unknown_name
from benchmark.records import Scalar
from benchmark.spec import Grid
from service.results import job_records
from service.store import Job, Store
from service.stored_spec import spec_of

MAX_KEYS = 1_000


def keys_of_cells(
    store: Store, job: Job, values: Mapping[str, Scalar], *, task: str | None = None, optimizer: str | None = None
) -> tuple[str, ...]:
    """Return the config_keys of the cells that have these hyperparameters.

    Args:
        store: open.
        job: whose cells they are.
        values: by the names of hyperparameters, in full; a configuration may have others beside.
        task: only those of the task with this label.
        optimizer: only those of the optimizer with this label.

    Raises:
        TableError: for a hyperparameter that no optimizer of the job has, and for more than a thousand cells.
        ForgottenNameError: when the job names what is not known here.
    """
    spec = spec_of(job)
    known = {name for grid in spec.grids for name in (*grid.fixed, *(axis.name for axis in grid.axes))}
    for name in values:
        if name not in known:
            raise TableError(unknown_name("hyperparameter", name, known))
    grids = [grid for grid in spec.grids if task in (None, grid.task) and optimizer in (None, grid.optimizer)]
    found: list[str] = []
    for grid, configuration in _configurations(store, job, grids):
        if all(configuration.get(name) == value for name, value in values.items()):
            found += grid.keys_of(configuration, spec.seeds.values)
        if len(found) > MAX_KEYS:
            raise TableError(f"hyperparameters must name at most {MAX_KEYS:,} cells, but more have these; give others.")
    return tuple(found)


def _configurations(store: Store, job: Job, grids: Iterable[Grid]) -> Iterator[tuple[Grid, Mapping[str, Scalar]]]:
    """Yield the configurations of grids that are known."""
    for grid in grids:
        if grid.is_adaptive:
            chosen = chosen_configurations(grid, job_records(store, job.id))
            yield from ((grid, dict(configuration)) for configuration in chosen)
        else:
            yield from ((grid, configuration) for configuration in grid.configurations())
