"""What a job has so far: its spec, the records it uses, and its robustness table."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark import Record, Spec
from benchmark.choice import device_name, probed_s, timing_key
from benchmark.execution import device_for
from benchmark.frame import columns_frame, results_frame
from benchmark.robustness import HeldEqual, RobustnessTable
from benchmark.several import Joined, Source, joined, several_table
from benchmark.tables import frame_table, grid_infos, scorings, spec_table
from service.store import Job, RecordFilter, Store
from service.store.exporting import Columns
from service.stored_spec import spec_of

if TYPE_CHECKING:
    from benchmark.figures import FigureData

KEYS_A_PAGE = 500  # of cells that one statement asks for
LOOK_BACK_S = 365 * 86_400.0  # for dispatchers that name a device


@dataclass(frozen=True)
class JobResults:
    """A job with its spec and the records it uses, by config_key, in the order in which they were written."""

    job: Job
    spec: Spec
    records: dict[str, Record]


@dataclass(frozen=True, eq=False)
class JobFrame:
    """A job with its spec and a row for each of its cells.

    Attributes:
        spec: of the job.
        frame: as `benchmark.frame.results_frame` makes it.
        made_by: settings of the records, each with the fingerprints under which they were made.
        devices: types of those that trained the records.
    """

    spec: Spec
    frame: pd.DataFrame
    made_by: frozenset[tuple[str, str]]
    devices: frozenset[str]


def job_frame(store: Store, job_id: str) -> JobFrame:
    """Read what a job has so far, without curves, as a data frame.

    Raises:
        NotFoundError: when there is no job of that id.
        ForgottenNameError: when it names what is not known here.
    """
    job = store.job(job_id)
    spec = spec_of(job)
    if any(grid.is_adaptive for grid in spec.grids):  # whose cells are known by its records alone
        records = job_records(store, job.id)
        made_by = {(record.setting, record.fingerprint) for record in records.values()}
        return JobFrame(spec, results_frame(spec, records), frozenset(made_by), _devices(records))
    columns = _all_columns(store, job.id)
    made_by = set(zip(columns["setting"].tolist(), columns["fingerprint"].tolist(), strict=True))
    devices = frozenset(columns["device"].tolist())
    return JobFrame(spec, columns_frame(spec, columns), frozenset(made_by), devices)


def _all_columns(store: Store, job_id: str) -> Columns:
    """Return the records that a job uses as arrays by name; where a page has no column of a name, it is NaN there."""
    pages = list(store.iter_columns(job_id))
    if not pages:
        return {name: np.empty(0, dtype=object) for name in ("config_key", "setting", "fingerprint", "device")}
    return {
        name: np.concatenate([page[name] if name in page else np.full(len(page["id"]), np.nan) for page in pages])
        for name in dict.fromkeys(name for page in pages for name in page)
    }


def job_results(store: Store, job_id: str, *, curves: bool = False) -> JobResults:
    """Read what a job has so far.

    Raises:
        NotFoundError: when there is no job of that id.
        ForgottenNameError: when it names what is not known here.
    """
    job = store.job(job_id)
    return JobResults(job, spec_of(job), job_records(store, job.id, curves=curves))


def figure_data(store: Store, job_id: str, found: JobFrame) -> "FigureData":
    """Return what figures of a job are drawn of; curves are read of the cells alone that a figure needs."""
    from benchmark.figures import FigureData  # matplotlib takes half a second to load

    def find(keys: Collection[str]) -> dict[str, Record]:
        return records_of_cells(store, job_id, keys)

    data = FigureData.of_frame(found.frame, scorings(found.spec), grid_infos(found.spec))
    return replace(data, spec=found.spec, find=find)


def job_table(store: Store, job_id: str, view: HeldEqual | None = None) -> RobustnessTable:
    """Return the robustness table of what a job has so far.

    Raises:
        NotFoundError: when there is no job of that id.
        TableError: where the view cannot be read off the curves, with the reason and the remedy.
    """
    if view is None:
        return table_of_frame(store, job_frame(store, job_id))
    results = job_results(store, job_id, curves=True)
    step_s = probed_steps(store, results.spec, _devices(results.records))
    return spec_table(results.spec, results.records, view=view, step_s=step_s)


def table_of_frame(store: Store, found: JobFrame) -> RobustnessTable:
    """Return the robustness table of a job that is read already; raises TableError where the runs allow none."""
    step_s = probed_steps(store, found.spec, found.devices)
    return frame_table(found.spec, found.frame, found.made_by, step_s=step_s)


def probed_steps(store: Store, spec: Spec, devices: Collection[str]) -> dict[str, float]:
    """Return the seconds of a step of one cell alone, by the key of the setting, as jobs measured them when they began.

    All of one device, of the type that trained the records: of those of the dispatchers, and then of this machine, the
    first of which the most settings are known.
    """
    kinds = sorted(devices)
    told = [one.resources.get("devices") or {} for one in store.dispatchers(LOOK_BACK_S)]
    names = [devices[kind] for devices in told for kind in kinds if kind in devices]
    here = [device_for(use_gpu=kind != "cpu") for kind in kinds]
    names += [device_name(device) for device in here if device.type in kinds]
    settings = [grid.setting for grid in spec.grids]
    keys = [timing_key(setting, name) for name in names for setting in settings]
    known = store.timings(keys)
    found = [probed_s(settings, name, known) for name in dict.fromkeys(names)]
    return max(found, key=len, default={})


def jobs_table(store: Store, job_ids: Sequence[str], *, apart: bool = False) -> RobustnessTable:
    """Return one table over several jobs; one whose name is not unique among them goes by its id.

    Args:
        store: where they are.
        job_ids: of the jobs; of a cell in several, the first with a result counts.
        apart: whether each job has rows of its own.

    Raises:
        NotFoundError: when there is no job of an id.
        TableError: where the jobs do not fit together, with what differs.
    """
    return several_table(_sources(store, job_ids), apart=apart)


def joined_jobs(store: Store, job_ids: Sequence[str]) -> Joined:
    """Return the runs of several jobs with rows of their own, as one table apart has them.

    Raises:
        NotFoundError: when there is no job of an id.
        TableError: where the jobs do not fit together, with what differs.
    """
    return joined(_sources(store, job_ids), apart=True)


def _sources(store: Store, job_ids: Sequence[str]) -> list[Source]:
    every = [job_results(store, job_id) for job_id in job_ids]
    counts = Counter(results.job.name for results in every)
    return [
        Source(
            one.job.name if counts[one.job.name] == 1 else one.job.id,
            one.spec,
            one.records,
            probed_steps(store, one.spec, _devices(one.records)),
        )
        for one in every
    ]


def job_records(store: Store, job_id: str, *, curves: bool = False) -> dict[str, Record]:
    """Return the records that a job uses, by config_key, in the order in which they were written."""
    ordered = sorted(store.iter_records(job_id, curves=curves), key=lambda stored: stored.seq)
    return {stored.record.config_key: stored.record for stored in ordered}


def records_of_cells(store: Store, job_id: str, keys: Collection[str]) -> dict[str, Record]:
    """Return the records of some cells of a job with their curves, by config_key."""
    ordered = list(keys)
    found: dict[str, Record] = {}
    for start in range(0, len(ordered), KEYS_A_PAGE):
        which = RecordFilter(config_keys=tuple(ordered[start : start + KEYS_A_PAGE]))
        page = store.records(job_id, None, KEYS_A_PAGE, which)
        found |= {stored.record.config_key: stored.record for stored in page}
    return found


def _devices(records: Mapping[str, Record]) -> frozenset[str]:
    return frozenset(record.outcome.cost.device for record in records.values())
