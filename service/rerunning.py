"""Reruns: which packs of a job are trained again, written down with the new job and read by its driver."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from benchmark import Record, RerunError, Spec
from benchmark.known import known_cells
from benchmark.repeating import RepeatedPack, repeated_pack
from benchmark.spec import Cell
from service.states import Action, require_allowed
from service.store import Job, NewJob, NotFoundError, Store, StoredRecord, TrainedPack
from service.stored_spec import spec_of

Members = Mapping[TrainedPack, Sequence[Record]]
TAG = "rerun"


@dataclass(frozen=True, slots=True)
class WantedPack:
    """A pack that is trained again.

    Attributes:
        trained: which it was.
        n_cpus: of the process that trained it.
        positions: of its cells whose records the job used, and which therefore count; None for all.
        repeated: the pack that this one was itself a rerun of, where it has no record of some of its cells.
    """

    trained: TrainedPack
    n_cpus: int
    positions: tuple[int, ...] | None
    repeated: TrainedPack | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the pack as plain values that JSON can hold."""
        return {
            "trained": list(self.trained),
            "n_cpus": self.n_cpus,
            "positions": None if self.positions is None else list(self.positions),
            "repeated": None if self.repeated is None else list(self.repeated),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the pack that `to_dict` wrote."""
        positions, repeated = document["positions"], document["repeated"]
        return cls(
            TrainedPack(*document["trained"]),
            document["n_cpus"],
            None if positions is None else tuple(positions),
            None if repeated is None else TrainedPack(*repeated),
        )

    def counted(self, records: Members) -> list[Record]:
        """Return which of its records count."""
        own = records.get(self.trained, ())
        positions = None if self.positions is None else set(self.positions)
        return [record for record in own if positions is None or record.pack.position in positions]

    def members(self, records: Members) -> list[Record]:
        """Return a record of each of its cells, as far as there is one, in the order of their training."""
        known = [*records.get(self.repeated or self.trained, ()), *records.get(self.trained, ())]
        by_position = {record.pack.position: record for record in known}
        return [by_position[position] for position in sorted(by_position)]


@dataclass(frozen=True)
class Rerun:
    """What a job trains again.

    Attributes:
        packs: the packs, in the order in which they were trained.
        records: ids of the records that are compared; None for all that count.
    """

    packs: tuple[WantedPack, ...]
    records: tuple[str, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the rerun as plain values that JSON can hold."""
        return {
            "packs": [pack.to_dict() for pack in self.packs],
            "records": None if self.records is None else list(self.records),
        }

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the rerun of a job.

        Raises:
            NotFoundError: when it repeats no other one.
        """
        if job.rerun is None:
            raise NotFoundError(f"job {job.id} trains no other job again.")
        records = job.rerun["records"]
        packs = tuple(map(WantedPack.from_dict, job.rerun["packs"]))
        return cls(packs, None if records is None else tuple(records))

    def originals(self, store: Store, *, curves: bool = True) -> Members:
        """Return the records of then that are still there, of each pack in the order of their training."""
        return store.records_of_packs([pack.trained for pack in self.packs], curves=curves)

    def companions(self, store: Store) -> Members:
        """Return the records, without curves, of the packs that these packs were themselves reruns of."""
        return store.records_of_packs([pack.repeated for pack in self.packs if pack.repeated], curves=False)


def new_rerun(
    store: Store, job_id: str, record_ids: Collection[str] | None = None, *, submitted_by: str = "local"
) -> NewJob:
    """Return the job that trains packs of another one again.

    It has the results of that job in these packs as its cells. A pack may hold others: those that the job took from
    another one were trained with cells that are none of its own, and what timed out may have been trained once more.

    Args:
        store: where the job is.
        job_id: the job.
        record_ids: of the records that are to be compared; their packs are trained again. None for all of its results.
        submitted_by: who asks for it.

    Raises:
        NotFoundError: when there is no job of that id.
        IllegalTransitionError: when it has not ended.
        ForgottenNameError: when it names what is not known here.
        RerunError: when a record is no result of the job, or there is none at all, or its cell is none any more.
    """
    job = store.job(job_id)
    require_allowed(job.state, Action.RERUN)
    spec = spec_of(job)
    used = sorted(store.iter_records(job.id, curves=False), key=lambda stored: stored.seq)
    results = [stored for stored in used if stored.record.outcome.status.is_result]
    asked = results if record_ids is None else _asked(job, used, record_ids)
    if not asked:
        raise RerunError(f"job {job.id} must have a result to be trained again, but has none.")
    trained = dict.fromkeys(map(_pack_of, asked))
    _require_known(spec, {stored.record.config_key: stored.record for stored in results if _pack_of(stored) in trained})
    members = store.records_of_packs(trained, curves=False)
    own: dict[TrainedPack, list[int]] = {pack: [] for pack in trained}
    for stored in results:
        if _pack_of(stored) in own:
            own[_pack_of(stored)].append(stored.record.pack.position)
    makers = store.jobs_of({pack.job_id for pack in trained})
    repeated = _repeated(store, members, makers)
    packs = [
        WantedPack(
            pack,
            _n_cpus(makers.get(pack.job_id, job)),
            None if len(positions) == len(members[pack]) else tuple(sorted(positions)),
            repeated.get(pack),
        )
        for pack, positions in own.items()
    ]
    rerun = Rerun(tuple(packs), None if record_ids is None else tuple(sorted(set(record_ids))))
    return NewJob(
        name=spec.name,
        spec={**spec.to_dict(), "reuse": False},
        n_cells=sum(map(len, own.values())),
        tags=tuple(dict.fromkeys((*spec.tags, TAG))),
        priority=spec.priority,
        submitted_by=submitted_by,
        execution=job.execution,
        replay=job.replay,
        rerun_of=job.id,
        rerun=rerun.to_dict(),
    )


def packs_to_train(store: Store, job: Job, spec: Spec, done: Collection[str]) -> list[RepeatedPack]:
    """Return the packs that a job has still to train again.

    Args:
        store: where the records of then are.
        job: that repeats another one.
        spec: of the job.
        done: config_keys of its cells that need not be trained.

    Raises:
        RerunError: when a record of then is gone, or its cell is none any more.
    """
    rerun = Rerun.of(job)
    originals = rerun.originals(store, curves=False)
    counted = {pack: pack.counted(originals) for pack in rerun.packs}
    n_found = sum(map(len, counted.values()))
    if n_found != job.n_cells:
        raise RerunError(
            f"all {job.n_cells:,} records that this job trains again must be there, but {job.n_cells - n_found:,} are "
            "gone: the job that had them was deleted."
        )
    cells = _require_known(spec, {record.config_key: record for records in counted.values() for record in records})
    every = {**rerun.companions(store), **originals}
    found = [
        repeated_pack(
            pack.members(every),
            {one.config_key: cells[one.config_key] for one in records if one.config_key not in done},
            pack.n_cpus,
        )
        for pack, records in counted.items()
    ]
    return [pack for pack in found if pack is not None]


def _asked(job: Job, used: Sequence[StoredRecord], record_ids: Collection[str]) -> list[StoredRecord]:
    by_id = {stored.record.id: stored for stored in used}
    for record_id in record_ids:
        stored = by_id.get(record_id)
        if stored is None:
            raise RerunError(f"a record that is trained again must be one of job {job.id}, but {record_id} is not.")
        status = stored.record.outcome.status
        if not status.is_result:
            raise RerunError(
                f"a record that is trained again must be a result, but {record_id} is {status}; retry the job instead."
            )
    wanted = set(record_ids)
    return [stored for stored in used if stored.record.id in wanted]


def _repeated(store: Store, members: Members, makers: Mapping[str, Job]) -> dict[TrainedPack, TrainedPack]:
    """Return which pack some packs repeated: those that were trained at once and lack records of some of their cells.

    A rerun keeps no records of cells that were there for company; the pack that it repeated has them.
    """
    found: dict[TrainedPack, TrainedPack] = {}
    known: dict[str, dict[tuple[str, int, int], TrainedPack]] = {}
    for pack, records in members.items():
        maker, first = makers.get(pack.job_id), records[0]
        is_whole = len(records) == first.pack.size or first.outcome.cost.execution == "sequential"
        if is_whole or maker is None or maker.rerun is None:
            continue
        if maker.id not in known:
            known[maker.id] = _places(Rerun.of(maker), store)
        source = known[maker.id].get(_place(first))
        if source is not None:
            found[pack] = source
    return found


def _places(rerun: Rerun, store: Store) -> dict[tuple[str, int, int], TrainedPack]:
    """Return in which pack each place is, of the packs that a rerun repeated or that these repeated."""
    originals = rerun.originals(store, curves=False)
    return {
        _place(record): pack.repeated or pack.trained
        for pack in rerun.packs
        for record in originals.get(pack.trained, ())
    }


def _place(record: Record) -> tuple[str, int, int]:
    return record.config_key, record.pack.size, record.pack.position


def _require_known(spec: Spec, records: Mapping[str, Record]) -> dict[str, Cell]:
    """Return the cells of records, by config_key; raises RerunError where a spec has one no more."""
    cells = {cell.key: cell for cell in known_cells(spec, records) if cell.key in records}
    lost = next((record for key, record in records.items() if key not in cells), None)
    if lost is not None:
        raise RerunError(
            f"record {lost.id} can be trained again only while its cell is one of the spec, but its task has another "
            "version now, or its optimizer other hyperparameters; submit a job."
        )
    return cells


def _pack_of(stored: StoredRecord) -> TrainedPack:
    return TrainedPack(stored.job_id, stored.attempt, stored.record.pack.id)


def _n_cpus(job: Job) -> int:
    return int(job.spec["resources"]["cpus_per_pack"])
