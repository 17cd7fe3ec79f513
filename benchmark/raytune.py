"""Training packs as trials of Ray Tune, and what its cluster offers."""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from benchmark.adaptive import AdaptiveSearch
from benchmark.errors import BenchmarkError, RayUnavailableError
from benchmark.execution import Execution, cell_fingerprint, device_for, failed_record
from benchmark.fingerprint import Fingerprint
from benchmark.flight import CHECKPOINT_S
from benchmark.memory import gpu_share, room_on
from benchmark.packs import Pack, PackQueue, cut
from benchmark.plugins import added
from benchmark.raypack import PackTrainable
from benchmark.raysearch import TpeSearch
from benchmark.raysession import Session
from benchmark.records import PackPlace, Record, Scalar
from benchmark.replay import replay_number
from benchmark.scratch import scratch_folder
from benchmark.sink import Sink
from benchmark.spec import Cell, Spec


@dataclass
class _Run:
    """What the callbacks of one run need.

    Tune pickles its searcher and callbacks into a file and copies them; they hold the run's id alone and find it here.
    """

    queue: PackQueue
    cells: list[Cell]
    searches: Sequence[TpeSearch]
    sink: Sink
    executions: Mapping[str, Execution]
    should_drain: Callable[[], bool]
    use_gpu: bool
    limits: Mapping[str, int]
    company: frozenset[int] = frozenset()
    fingerprints: set[str] = field(default_factory=set)
    device: torch.device | None = None
    n_planned: int = 0
    in_flight: dict[str, tuple[int, int]] = field(default_factory=dict)
    suggested: list[tuple[int, dict[str, Scalar]]] = field(default_factory=list)

    def suggest(self) -> bool:
        """Let the search with the most left choose a configuration, whose cells then wait; False if none is left."""
        number, search = max(enumerate(self.searches), key=lambda pair: pair[1].n_left, default=(0, None))
        if search is None or not search.n_left:
            return False
        hyperparameters, cells = search.suggest()
        self.sink.on_cells(cells)
        self.suggested.append((number, hyperparameters))
        for pack in cut(len(self.cells), len(cells), self.limits.get(cells[0].setting.key, len(cells))):
            self.queue.add(pack)
        self.cells += cells
        return True

    def config(self, pack: Pack) -> dict[str, Any]:
        """Return what a worker has to know of a pack: its place in the plan, or the configuration of its cells."""
        processes = self.cells[pack.start].setting.budget.processes  # of all cells, which are of one setting
        config: dict[str, Any] = {"start": pack.start, "stop": pack.stop, "first": 0, "processes": processes}
        if pack.start < self.n_planned:
            return config
        n_seeds = (len(self.cells) - self.n_planned) // len(self.suggested)
        place = (pack.start - self.n_planned) // n_seeds
        number, hyperparameters = self.suggested[place]
        chosen = {"search": number, "hyperparameters": hyperparameters}
        return {**config, "first": self.n_planned + place * n_seeds, "chosen": chosen}

    def note_flight(self, trial_id: str, progress: tuple[int, int] | None) -> None:
        """Hand over how far cells in flight are, if that of a trial is another than before."""
        before = dict(self.in_flight)
        self.in_flight.pop(trial_id, None)
        if progress is not None:
            self.in_flight[trial_id] = progress
        if self.in_flight != before:
            self.sink.on_flight(tuple(self.in_flight.values()))

    def take(self, records: Sequence[Record], fingerprints: Mapping[str, Fingerprint]) -> None:
        """Hand records over, each new fingerprint before them."""
        for key in fingerprints.keys() - self.fingerprints:
            self.sink.on_fingerprint(fingerprints[key])
            self.fingerprints.add(key)
            self.device = torch.device(fingerprints[key].device)  # which nodes of a cluster have, and we may not
        self.sink.on_records(records)
        for record in records:
            for search in self.searches:
                if search.owns(record):
                    search.take(record)


_runs: dict[str, _Run] = {}


def train_packs(
    cells: Sequence[Cell],
    packs: Sequence[Pack],
    spec: Spec,
    sink: Sink,
    executions: Mapping[str, Execution],
    should_drain: Callable[[], bool],
    searches: Sequence[AdaptiveSearch] = (),
    limits: Mapping[str, int] = MappingProxyType({}),
    *,
    gpus: float | None = None,
    company: frozenset[int] = frozenset(),
    owner: str = "",
) -> None:
    """Train packs as trials of Ray Tune, inside a `ray_session`, and hand over records as cells finish.

    Once no pack waits, the adaptive searches choose further configurations, each of which is a pack with all its seeds.

    Args:
        cells: the plan that the packs cut.
        packs: what is to be trained.
        spec: its resources and limits hold.
        sink: takes the records, in this thread.
        executions: how the cells of each setting are trained, by its key.
        should_drain: asked before each pack and at each report; once true, no new pack starts and those in flight stop:
            fused ones at their end, others in the middle of a cell, with a checkpoint from which it goes on.
        searches: the adaptive searches of the spec, in their order.
        limits: the most cells of a pack of theirs, by the key of the setting; all of a configuration by default.
        gpus: that a pack takes; None for what the spec says.
        company: places in the plan of cells that are trained for the sake of those beside them: no record is made of
            them.
        owner: who shares checkpoints of the cells, as in `Flight`.

    Raises:
        BenchmarkError: when Tune ends before every cell has a record although nobody asked to drain.
    """
    gpus = gpus_per_pack(spec) if gpus is None else gpus
    trainable = tune.with_resources(
        tune.with_parameters(
            PackTrainable,
            cells=tuple(cells),
            grids=tuple(search.grid for search in searches),
            seeds=tuple(spec.seeds.values),
            executions=dict(executions),
            known=added(),
            limit_s=spec.limits.cell_s,
            sharpness=spec.sharpness,
            use_gpu=gpus > 0,
            replay=replay_number(),
            company=company,
            owner=owner,
        ),
        lambda config: _room_of(spec.resources.cpus_per_pack, gpus, config["processes"]),
    )
    run_id = uuid.uuid4().hex
    run = _runs[run_id] = _Run(
        PackQueue(packs),
        list(cells),
        [TpeSearch(search) for search in searches],
        sink,
        executions,
        should_drain,
        gpus > 0,
        limits,
        company,
        n_planned=len(cells),
    )
    try:
        with scratch_folder("tune-") as storage:
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=_PackSearcher(run_id),
                    num_samples=-1,
                    max_concurrent_trials=spec.resources.max_concurrent,
                    reuse_actors=True,
                    trial_dirname_creator=_trial_name,
                    trial_name_creator=_trial_name,
                ),
                run_config=tune.RunConfig(
                    name="packs",
                    storage_path=storage,
                    callbacks=[_RecordCallback(run_id)],
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            ).fit()
    finally:
        del _runs[run_id]
    is_done = run.queue.is_empty and not any(search.n_left for search in run.searches)
    if not is_done and not should_drain():
        raise BenchmarkError("Ray Tune ended before every pack was trained; the job's log says why.")


def _room_of(cpus: float, gpus: float, processes: int) -> tune.PlacementGroupFactory:
    """Return what a pack takes: CPUs and GPUs for each of its processes, which share no GPU."""
    each = {"CPU": cpus, "GPU": gpus if processes == 1 else float(math.ceil(gpus))}
    return tune.PlacementGroupFactory([each] * processes)


def gpus_per_pack(spec: Spec, wanted_bytes: int = 0, free: int = 0) -> float:
    """Return how many GPUs a pack takes: what the spec says, or a fraction sized by memory; 0 where there is none.

    Args:
        spec: its resources hold.
        wanted_bytes: of the largest pack; 0 where that is not known.
        free: bytes that a GPU has to give.
    """
    asked = spec.resources.gpus_per_pack
    if asked != "auto":
        return asked
    if not _cluster_resources().get("GPU", 0) > 0:
        return 0.0
    return gpu_share(wanted_bytes, free)


def sized(session: Session, spec: Spec, wanted_bytes: int) -> tuple[float, int]:
    """Return how many GPUs a pack takes, and the bytes that its device, or this or a node's memory, has to give.

    Args:
        session: in which it is asked.
        spec: its resources hold.
        wanted_bytes: of the largest pack; 0 where that is not known.

    Raises:
        RayUnavailableError: when there is no room for a single pack.
    """
    least = gpus_per_pack(spec)
    n_workers(spec, gpus=least)  # a node that has no room would be waited for without end
    kind, free = session.there(spec.resources.cpus_per_pack, least, _room, least > 0)
    return gpus_per_pack(spec, 0 if kind == "cpu" else wanted_bytes, free), free


def _room(use_gpu: bool) -> tuple[str, int]:
    return room_on(device_for(use_gpu=use_gpu))


def n_workers(spec: Spec, *, gpus: float | None = None) -> int:
    """Return how many packs of a spec the cluster runs at once.

    Args:
        spec: its resources hold.
        gpus: that a pack takes; None for what the spec says.

    Raises:
        RayUnavailableError: when it has no room for a single one; Tune would wait for it without end.
    """
    resources = _cluster_resources()
    gpus = gpus_per_pack(spec) if gpus is None else gpus
    processes = max(grid.setting.budget.processes for grid in spec.grids)
    n = math.inf
    for name, needed in _room_of(spec.resources.cpus_per_pack, gpus, processes).required_resources.items():
        offered = resources.get(name, 0)
        if needed > offered:
            raise RayUnavailableError(f"a pack needs {needed:g} {name}s, but Ray offers {offered:g} in all.")
        if needed > 0:
            n = min(n, offered / needed)
    return min(int(n), spec.resources.max_concurrent or int(n))


def _trial_name(trial: Trial) -> str:
    return str(trial.trial_id)


def _cluster_resources() -> dict[str, float]:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    return resources


class _PackSearcher(Searcher):
    """Tells Tune which pack to train next; what a dead pack leaves comes back into the same queue."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id

    def suggest(self, trial_id: str) -> Any:
        run = _runs[self._run_id]
        if run.should_drain():
            return Searcher.FINISHED
        pack = run.queue.take(trial_id)
        if pack is None and run.suggest():
            pack = run.queue.take(trial_id)
        if pack is None:
            return Searcher.FINISHED if run.queue.is_empty else None
        return run.config(pack)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        run = _runs[self._run_id]
        run.note_flight(trial_id, None)
        if not error:
            run.queue.end(trial_id)
            return
        given_up = run.queue.die(trial_id)
        if given_up is not None and given_up not in run.company:
            cell, device = run.cells[given_up], run.device or device_for(use_gpu=run.use_gpu)
            execution = run.executions[cell.setting.key]
            made_by = cell_fingerprint(cell, device, execution)
            reason = "the process that trained this cell alone died three times; the job's log says more"
            record = failed_record(cell, PackPlace(trial_id, 1, 0), device, reason, execution)
            run.take([record], {made_by.key: made_by})

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the records in the store say what is left to train."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a run goes on from the records in the store."""
        raise NotImplementedError("a run is resumed from its records, not from a file of Ray Tune.")


class _RecordCallback(tune.Callback):
    """Hands the records of each report over and ticks them off; has packs in flight stop once it is to drain."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        run = _runs[self._run_id]
        run.note_flight(trial.trial_id, result["flight"])
        records: Sequence[Record] = result["records"]
        if records:
            run.take(records, result["fingerprints"])
            # the cell of a failed one may have taken long as well, which its record does not say
            if any(one.outcome.cost.elapsed_s >= CHECKPOINT_S or one.outcome.error for one in records):
                run.sink.flush()  # the worker's next step removes their checkpoints
        if result["n_cells"]:
            run.queue.report(trial.trial_id, result["n_cells"])
        if result["flight"]:
            run.queue.advance(trial.trial_id, result["flight"][0])
        worker = trial.temporary_state.ray_actor
        # an adaptive search knows what it chose by records alone: what is in flight of it would be forgotten
        may_leave = not result["done"] and "chosen" not in trial.config
        if worker is not None and may_leave and run.should_drain():
            worker.leave.remote()  # before its next step, which Tune asks for when this returns

    def on_step_end(self, iteration: int, trials: list[Trial], **info: object) -> None:
        _runs[self._run_id].sink.on_records(())
