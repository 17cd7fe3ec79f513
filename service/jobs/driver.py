"""The driver: a process of its own that trains what is missing of one job, and the only one that starts Ray."""

import logging
import sys
import threading
from collections.abc import Sequence

from benchmark import BenchmarkError, RayOptions, RayUnavailableError, Spec, TaskDataError
from benchmark.execution import EXECUTION, cell_fingerprint, device_for
from benchmark.run import train_missing
from benchmark.spec import Cell, expand
from service.jobs.child import DRAIN, DriverExit, Orders, end_with_parent, private_stdout
from service.jobs.sink import RecordSink
from service.store import LostLeaseError, Store, StoreError, WantedCell

logger = logging.getLogger("rhobust.driver")


def main() -> int:
    """Train the job that standard input names; say in a sentence on standard output why it did not end well."""
    words = private_stdout()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    orders = Orders.read(sys.stdin)
    end_with_parent(orders.parent_pid)
    drain = threading.Event()
    threading.Thread(target=_listen, args=(drain,), daemon=True).start()
    try:
        with Store.open(orders.database_url) as store:
            _train(store, orders, drain)
    except (BenchmarkError, StoreError) as error:
        logger.exception("the driver ends")
        words.write(str(error))
        words.close()
        return _exit_code(error)
    return DriverExit.DONE


def _exit_code(error: Exception) -> DriverExit:
    if isinstance(error, LostLeaseError):
        return DriverExit.LOST_LEASE
    is_environment = isinstance(error, RayUnavailableError | TaskDataError)
    return DriverExit.ENVIRONMENT if is_environment else DriverExit.CRASHED


def _listen(drain: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == DRAIN:
            drain.set()


def _train(store: Store, orders: Orders, drain: threading.Event) -> None:
    job = store.job(orders.job_id)
    spec = Spec.from_mapping(job.spec, max_cells=job.n_cells)
    done = store.done_keys(job.id)
    missing = [cell for cell in expand(spec) if cell.key not in done]
    made_by = _fingerprints(spec, missing)
    store.register({cell.setting.key: cell.setting.to_dict() for cell in missing}, {})
    store.set_execution(job.id, orders.attempt, _execution(spec))
    if spec.reuse:
        wanted = [WantedCell(cell.key, made_by[cell.setting.key], cell.task, cell.optimizer, True) for cell in missing]
        linked = store.link_reusable(job.id, orders.attempt, wanted, orders.lease_s)
        missing = [cell for cell in missing if cell.key not in linked]
    logger.info("attempt %d: %d of %d cells are to be trained", orders.attempt, len(missing), job.n_cells)
    if not missing:
        return
    sink = RecordSink(
        store,
        job.id,
        orders.attempt,
        lease_s=orders.lease_s,
        labels={cell.key: (cell.task, cell.optimizer) for cell in missing},
        on_request=drain.set,
        lost_lease_code=DriverExit.LOST_LEASE,
    )
    options = RayOptions(orders.ray_address, orders.n_cpus)
    train_missing(spec, missing, sink, options=options, should_drain=drain.is_set)


def _execution(spec: Spec) -> dict[str, dict[str, str]]:
    """Return how each optimizer's cells are trained on each task."""
    execution: dict[str, dict[str, str]] = {}
    for grid in spec.grids:
        execution.setdefault(grid.task, {})[grid.optimizer] = EXECUTION
    return execution


def _fingerprints(spec: Spec, cells: Sequence[Cell]) -> dict[str, str]:
    """Return, by setting, the key of the fingerprint under which a worker like this process would train the cells."""
    device = device_for(use_gpu=spec.resources.gpus_per_pack != 0)
    settings = {cell.setting.key: cell for cell in cells}
    return {key: cell_fingerprint(cell, device).key for key, cell in settings.items()}


if __name__ == "__main__":
    sys.exit(main())
