"""The driver: a process of its own that trains what is missing of one job, and the only one that starts Ray."""

import logging
import sys
import threading
from collections.abc import Mapping, Sequence

import torch

from benchmark import (
    BenchmarkError,
    FusionError,
    PluginError,
    RayOptions,
    RayUnavailableError,
    RerunError,
    Spec,
    TaskDataError,
    load_plugins,
)
from benchmark.choice import Choice, StepTiming, choose_execution, probe, timing_key
from benchmark.execution import Execution, cell_fingerprint
from benchmark.known import known_cells, sample_cells
from benchmark.place import Call, device_at, training_place
from benchmark.probes import probes_of
from benchmark.repeating import train_again
from benchmark.replay import replaying
from benchmark.running import train_missing
from benchmark.sharpness import columns_of
from benchmark.spec import Cell
from service.jobs.child import DRAIN, MAX_LAST_WORDS, DriverExit, Orders, end_with_parent, private_stdout
from service.jobs.patience import persist
from service.jobs.sink import PATIENCE_LEASES, RecordSink
from service.jobs.waves import Waves
from service.making import making
from service.rerunning import packs_to_train
from service.results import job_records
from service.settings import Settings
from service.store import Job, LostLeaseError, Store, StoreError, UnavailableError
from service.stored_spec import ForgottenNameError, spec_of
from service.telemetry import set_up_logging

logger = logging.getLogger("rhobust.driver")


def main() -> int:
    """Train the job that standard input names; say in a sentence on standard output why it did not end well."""
    words = private_stdout()
    orders = Orders.read(sys.stdin)
    settings = Settings()
    # The log of a job is read by whoever submitted it: that a server says little is no reason for it to say less.
    level = "DEBUG" if settings.log_level == "DEBUG" else "INFO"
    set_up_logging(
        settings,
        level=level,
        secrets=[orders.database_url],
        notes={"job_id": orders.job_id, "attempt": orders.attempt},
    )
    end_with_parent(orders.parent_pid)
    drain = threading.Event()
    threading.Thread(target=_listen, args=(drain,), daemon=True).start()
    lacking = _load(orders.plugins)
    try:
        # Whatever the database's absence interrupts is planned again from what is recorded.
        persist(lambda: _run(orders, drain), "the driver", give_up_s=PATIENCE_LEASES * orders.lease_s)
    except (BenchmarkError, StoreError) as error:
        logger.exception("the driver ends")
        said = f"{error}{lacking}" if isinstance(error, ForgottenNameError) else str(error)
        words.write(said[:MAX_LAST_WORDS])  # more would wait for a reader, and there is none before the end
        words.close()
        return _exit_code(error)
    return DriverExit.DONE


def _load(plugins: Sequence[str]) -> str:
    """Load the plug-ins that are allowed; return what is wrong with some, for a job that needs them."""
    try:
        load_plugins(plugins)
    except PluginError as error:
        logger.warning("%s", error)
        return f" {error}"
    return ""


def _run(orders: Orders, drain: threading.Event) -> None:
    with Store.open(orders.database_url) as store:
        job = store.job(orders.job_id)
        with replaying(job.replay):
            _train(store, job, orders, drain)


def _exit_code(error: Exception) -> DriverExit:
    if isinstance(error, LostLeaseError):
        return DriverExit.LOST_LEASE
    if isinstance(error, FusionError | ForgottenNameError | RerunError):
        return DriverExit.HOPELESS
    if isinstance(error, TaskDataError):
        return DriverExit.NO_DATA
    is_environment = isinstance(error, RayUnavailableError | UnavailableError)
    return DriverExit.ENVIRONMENT if is_environment else DriverExit.CRASHED


def _listen(drain: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == DRAIN:
            drain.set()


def _train(store: Store, job: Job, orders: Orders, drain: threading.Event) -> None:
    spec = spec_of(job)
    done = store.done_keys(job.id) | store.failed_keys(job.id)  # what failed for good waits for a retry
    again = None if job.rerun is None else packs_to_train(store, job, spec, done)
    # only an adaptive search needs records to know its cells
    is_adaptive = again is None and any(grid.is_adaptive for grid in spec.grids)
    records = job_records(store, job.id) if is_adaptive else {}
    if again is None:
        missing = [cell for cell in known_cells(spec, records) if cell.key not in done]
    else:
        missing = [pack.cells[place] for pack in again for place in sorted(pack.kept)]
    kinds = [*missing, *(sample_cells(spec) if is_adaptive else ())]
    known = _known(spec, job.execution) | {pack.cells[0].setting.key: pack.execution for pack in again or ()}
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
    with training_place(spec, options if kinds else RayOptions()) as call:
        device, choice, fresh = _choose(store, job, orders, spec, kinds, known, call)
        if again is None:
            waves = Waves(
                store,
                job.id,
                orders.attempt,
                lease_s=orders.lease_s,
                missing=missing,
                made_by=_fingerprints(kinds, device, choice.executions) if spec.reuse else None,
                needs_metrics=columns_of(spec.sharpness),
                sink=sink,
                device=device,
                executions=choice.executions,
            )
            cells = waves.first()
            n_left = job.n_cells - len(store.done_keys(job.id) | store.failed_keys(job.id))
            logger.info("attempt %d: %d of %d cells are to be trained", orders.attempt, n_left, job.n_cells)
            if not n_left:
                return
            _probe(store, job, orders, spec, kinds, device, fresh, call)
    if again is not None:
        logger.info("attempt %d: %d of %d cells are to be trained again", orders.attempt, len(missing), job.n_cells)
        if again:
            train_again(
                spec,
                again,
                sink,
                options=options,
                footprints=choice.footprints,
                should_drain=drain.is_set,
                owner=job.id,
            )
        return
    train_missing(
        spec,
        cells,
        sink,
        options=options,
        executions=choice.executions,
        footprints=choice.footprints,
        should_drain=drain.is_set,
        records=job_records(store, job.id) if records else records,
        then=waves.second,
        owner="" if spec.reuse else job.id,  # what others have begun is taken over as their records are
    )


def _choose(
    store: Store,
    job: Job,
    orders: Orders,
    spec: Spec,
    kinds: Sequence[Cell],
    known: Mapping[str, Execution],
    call: Call,
) -> tuple[torch.device, Choice, dict[str, StepTiming]]:
    """Choose how cells are trained, and keep the choice; return it with the device and what was measured for it."""
    device, name = device_at(call, spec)
    settings = {cell.setting.key: cell.setting for cell in kinds}
    timings = store.timings([timing_key(setting, name) for setting in settings.values()])
    choice = call(choose_execution, spec, kinds, device, known=known, timings=timings)
    fresh = choice.timings | call(probe, kinds, device, timings | choice.timings)
    store.remember_timings(fresh)
    store.register({key: setting.to_dict() for key, setting in settings.items()}, {})
    store.set_execution(job.id, orders.attempt, _by_label(spec, choice.executions), made_by=making(name))
    return device, choice, fresh


def _probe(
    store: Store,
    job: Job,
    orders: Orders,
    spec: Spec,
    kinds: Sequence[Cell],
    device: torch.device,
    fresh: Mapping[str, StepTiming],
    call: Call,
) -> None:
    """Measure seconds and memory of a cell alone, of each setting of which that is not known, and keep them."""
    probed = job.probes or {}
    unprobed = [cell for cell in kinds if cell.setting.key not in probed]
    found = call(probes_of, unprobed, device, sharpness=spec.sharpness, fresh=fresh)
    if found:
        store.set_probes(job.id, orders.attempt, {**probed, **{key: one.to_dict() for key, one in found.items()}})


def _by_label(spec: Spec, executions: Mapping[str, Execution]) -> dict[str, dict[str, Execution]]:
    """Return how each optimizer's cells are trained on each task, as far as it was chosen."""
    labelled: dict[str, dict[str, Execution]] = {}
    for grid in spec.grids:
        if grid.setting.key in executions:
            labelled.setdefault(grid.task, {})[grid.optimizer] = executions[grid.setting.key]
    return labelled


def _known(spec: Spec, labelled: Mapping[str, Mapping[str, Execution]]) -> dict[str, Execution]:
    """Return what an earlier attempt chose, by setting."""
    return {
        grid.setting.key: labelled[grid.task][grid.optimizer]
        for grid in spec.grids
        if grid.optimizer in labelled.get(grid.task, {})
    }


def _fingerprints(cells: Sequence[Cell], device: torch.device, executions: Mapping[str, Execution]) -> dict[str, str]:
    """Return, by setting, the key of the fingerprint under which a worker like this process would train the cells."""
    settings = {cell.setting.key: cell for cell in cells}
    return {key: cell_fingerprint(cell, device, executions[key]).key for key, cell in settings.items()}


if __name__ == "__main__":
    sys.exit(main())
