"""What a job has so far: its spec, the records it uses, and its robustness table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark import Record, Spec
from benchmark.choice import device_name, probed_s, timing_key
from benchmark.execution import device_for
from benchmark.robustness import HeldEqual, RobustnessTable
from benchmark.several import Source, several_table
from benchmark.tables import spec_table
from service.store import Job, Store
from service.stored_spec import spec_of

LOOK_BACK_S = 365 * 86_400.0  # for dispatchers that name a device


@dataclass(frozen=True)
class JobResults:
    """A job with its spec and the records it uses, by config_key, in the order in which they were written."""

    job: Job
    spec: Spec
    records: dict[str, Record]


def job_results(store: Store, job_id: str, *, curves: bool = False) -> JobResults:
    """Read what a job has so far.

    Raises:
        NotFoundError: when there is no job of that id.
        ForgottenNameError: when it names what is not known here.
    """
    job = store.job(job_id)
    return JobResults(job, spec_of(job), job_records(store, job.id, curves=curves))


def job_table(store: Store, job_id: str, view: HeldEqual | None = None) -> RobustnessTable:
    """Return the robustness table of what a job has so far.

    Raises:
        NotFoundError: when there is no job of that id.
        TableError: where the view cannot be read off the curves, with the reason and the remedy.
    """
    results = job_results(store, job_id, curves=view is not None)
    return spec_table(results.spec, results.records, view=view, step_s=probed_steps(store, results))


def probed_steps(store: Store, results: JobResults) -> dict[str, float]:
    """Return the seconds of a step of one cell alone, by the key of the setting, as jobs measured them when they began.

    All of one device, of the type that trained the records: of those of the dispatchers, and then of this machine, the
    first of which the most settings are known.
    """
    kinds = sorted({record.outcome.cost.device for record in results.records.values()})
    told = [one.resources.get("devices") or {} for one in store.dispatchers(LOOK_BACK_S)]
    names = [devices[kind] for devices in told for kind in kinds if kind in devices]
    here = [device_for(use_gpu=kind != "cpu") for kind in kinds]
    names += [device_name(device) for device in here if device.type in kinds]
    settings = [grid.setting for grid in results.spec.grids]
    keys = [timing_key(setting, name) for name in names for setting in settings]
    known = store.timings(keys)
    found = [probed_s(settings, name, known) for name in dict.fromkeys(names)]
    return max(found, key=len, default={})


def jobs_table(store: Store, job_ids: Sequence[str]) -> RobustnessTable:
    """Return one table over several jobs; one whose name is not unique among them goes by its id.

    Raises:
        NotFoundError: when there is no job of an id.
        TableError: where the jobs do not fit together, with what differs.
    """
    every = [job_results(store, job_id) for job_id in job_ids]
    counts = Counter(results.job.name for results in every)
    return several_table(
        [
            Source(
                one.job.name if counts[one.job.name] == 1 else one.job.id,
                one.spec,
                one.records,
                probed_steps(store, one),
            )
            for one in every
        ]
    )


def job_records(store: Store, job_id: str, *, curves: bool = False) -> dict[str, Record]:
    """Return the records that a job uses, by config_key, in the order in which they were written."""
    ordered = sorted(store.iter_records(job_id, curves=curves), key=lambda stored: stored.seq)
    return {stored.record.config_key: stored.record for stored in ordered}
