"""A real local Ray, started once for this module."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from torch import Tensor, nn

from benchmark import RayOptions, RayUnavailableError, Record, Spec, Status, flight
from benchmark.adaptive import adaptive_searches
from benchmark.checkpoints import checkpoints_folder
from benchmark.execution import Execution, cell_fingerprint, train_cell
from benchmark.fingerprint import Fingerprint
from benchmark.known import known_cells
from benchmark.packs import Pack, plan_packs
from benchmark.rayenv import prepare_ray_environment
from benchmark.records import Outcome, PackPlace
from benchmark.sharpness import columns_of
from benchmark.spec import Cell, expand
from benchmark.spec.models import Seeds
from benchmark.tasks import Batch, Model, register_task
from tests.benchmark.fused.fusible import Fusible, fusible_spec
from tests.benchmark.toys import CPU, Toy, document, make_spec, toy_document

pytestmark = pytest.mark.slow


@dataclass
class Collected:
    """A sink that keeps everything, and does something on the first records."""

    on_first: Callable[[], None] = lambda: None
    records: list[Record] = field(default_factory=list)
    fingerprints: set[str] = field(default_factory=set)
    cells: list[Cell] = field(default_factory=list)
    n_empty: int = 0
    n_flushed: int = 0
    progress: list[Sequence[tuple[int, int]]] = field(default_factory=list)

    def on_cells(self, cells: Sequence[Cell]) -> None:
        self.cells += cells

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None:
        self.progress.append(in_flight)

    def flush(self) -> None:
        self.n_flushed += 1

    def on_fingerprint(self, fingerprint: Fingerprint) -> None:
        assert fingerprint.key not in self.fingerprints
        self.fingerprints.add(fingerprint.key)

    def on_records(self, records: Sequence[Record]) -> None:
        assert {record.fingerprint for record in records} <= self.fingerprints
        is_first = bool(records) and not self.records
        self.n_empty += not records
        self.records += records
        if is_first:
            self.on_first()

    def statuses(self) -> dict[str, str]:
        return {record.config_key: str(record.outcome.status) for record in self.records}


class Answering:
    """A session whose nodes give one answer, and which keeps what a pack takes of them."""

    def __init__(self, answer: tuple[str, int]) -> None:
        self._answer = answer
        self.asked: list[tuple[float, float]] = []

    def there(self, n_cpus: float, n_gpus: float, function: object, *args: object) -> tuple[str, int]:
        self.asked.append((n_cpus, n_gpus))
        return self._answer


@pytest.fixture(scope="module")
def raytune() -> ModuleType:
    prepare_ray_environment(RayOptions())
    from benchmark import raytune

    return raytune


@pytest.fixture(scope="module")
def session(raytune: ModuleType) -> Iterator[ModuleType]:
    from benchmark import raysession

    with raysession.ray_session(RayOptions(n_cpus=2)):
        yield raytune


def train(raytune: ModuleType, spec: Spec, cells: Sequence[Cell], sink: Collected, **changes: Any) -> None:
    packs = changes.get("packs") or plan_packs(cells, n_workers=2, size=3)
    executions = dict.fromkeys((cell.setting.key for cell in cells), changes.get("execution", "sequential"))
    raytune.train_packs(cells, packs, spec, sink, executions, changes.get("should_drain", lambda: False))


@pytest.mark.long
def test_a_cell_that_breaks_or_kills_its_process_is_the_only_one_that_fails(session: ModuleType) -> None:
    faults = {
        "fine": {},
        "breaks": {"fault": "raise", "call": 1, "seed": 4},
        "diverges": {"fault": "nan_loss", "call": 2, "seed": 4},
        "kills": {"fault": "exit", "call": 2, "seed": 4},
    }
    spec = Spec.from_mapping(toy_document(faults, seeds={"count": 3, "base": 3}))
    cells = list(expand(spec))
    sink = Collected()
    train(session, spec, cells, sink)
    assert len(sink.records) == len(cells) == len(sink.statuses())
    found = {(cell.task, int(cell.seed)): sink.statuses()[cell.key] for cell in cells}
    odd = {place: status for place, status in found.items() if status != "completed"}
    assert odd == {("breaks", 4): "failed", ("diverges", 4): "diverged", ("kills", 4): "failed"}
    errors = {record.outcome.error for record in sink.records} - {None}
    assert errors == {
        r"ArithmeticError: the toy broke,\0 as asked",
        "the process that trained this cell alone died three times; the job's log says more",
    }
    assert len(sink.fingerprints) == 1


@pytest.mark.parametrize("execution", [pytest.param("sequential", marks=pytest.mark.long), "fused"])
def test_every_completed_cell_has_the_sharpness_that_is_asked_for(session: ModuleType, execution: Execution) -> None:
    spec = make_spec(sharpness=["adaptive", "lambda_max", "monge", "sam", "trace"], seeds={"count": 1, "base": 0})
    cells = list(expand(spec))
    sink = Collected()
    packs = [Pack(0, 3), Pack(3, 9), Pack(9, 12)]  # by optimizer
    train(session, spec, cells, sink, packs=packs, execution=execution)
    assert set(sink.statuses().values()) == {"completed"}
    for record in sink.records:
        found = [record.outcome.metrics[name] for name in columns_of(spec.sharpness)]
        assert len(found) == 7
        assert all(map(math.isfinite, found))


@pytest.mark.parametrize(
    ("fault", "status"), [("exit", "failed"), ("memory", "failed"), ("raise", "failed"), ("nan", "diverged")]
)
@pytest.mark.long
def test_of_cells_that_are_trained_at_once_only_the_broken_one_is_lost(
    session: ModuleType, fault: str, status: str
) -> None:
    register_task(Fusible)
    seeds, rates = {"count": 6, "base": 3}, {"lr": {"values": [0.01]}}
    spec = fusible_spec({"fault": fault, "seed": 5}, seeds=seeds, space=rates, resources={"pack": "fused"})
    cells = list(expand(spec))
    sink = Collected()
    train(session, spec, cells, sink, packs=[Pack(0, 6)], execution="fused")
    assert len(sink.records) == len(cells) == len(sink.statuses())
    odd = {cell.seed: sink.statuses()[cell.key] for cell in cells if sink.statuses()[cell.key] != "completed"}
    assert odd == {5: status}
    errors = {record.outcome.error for record in sink.records} - {None}
    assert (
        errors
        == {
            "exit": {"the process that trained this cell alone died three times; the job's log says more"},
            "memory": {"the process that trained this cell alone died three times; the job's log says more"},
            "raise": {"ArithmeticError: the task broke, as asked"},
            "nan": set(),
        }[fault]
    )
    assert {record.outcome.cost.execution for record in sink.records} == {"fused"}
    assert {record.fingerprint for record in sink.records} == {cell_fingerprint(cells[0], CPU, "fused").key}
    assert sink.fingerprints == {record.fingerprint for record in sink.records}


def tpe_document(faults: Mapping[str, Mapping[str, Any]], n: int = 6, **changes: Any) -> dict[str, Any]:
    search = {"method": "tpe", "n_configurations": n}
    return toy_document(faults, space={"lr": {"log": [1e-3, 0.1]}}, search=search, seeds={"count": 3}, **changes)


def search_on(raytune: ModuleType, spec: Spec, sink: Collected, records: Sequence[Record] = (), **changes: Any) -> None:
    """Train as `benchmark.running.train_missing` does, inside the session."""
    by_key = {record.config_key: record for record in records}
    missing = [cell for cell in known_cells(spec, by_key) if cell.key not in by_key]
    executions = dict.fromkeys((grid.setting.key for grid in spec.grids), "sequential")
    searches = adaptive_searches(spec, by_key, missing)
    packs = plan_packs(missing, n_workers=2)
    should_drain = changes.get("should_drain", lambda: False)
    raytune.train_packs(missing, packs, spec, sink, executions, should_drain, searches)


@pytest.mark.long
def test_an_adaptive_search_chooses_trains_and_survives_a_worker_that_dies(session: ModuleType) -> None:
    faults = {"fine": {}, "kills": {"fault": "exit", "call": 2, "seed": 1}}
    spec = Spec.from_mapping(tpe_document(faults, n=2))
    sink = Collected()
    search_on(session, spec, sink)
    assert len(sink.records) == len(sink.statuses()) == spec.n_cells == 2 * 2 * 3
    by_key = {record.config_key: record for record in sink.records}
    assert {cell.key for cell in sink.cells} == set(by_key)
    lost = {cell.key for cell in sink.cells if cell.task == "kills" and cell.seed == 1}
    assert {key for key, status in sink.statuses().items() if status == "failed"} == lost
    assert {status for key, status in sink.statuses().items() if key not in lost} == {"completed"}
    assert len({record.hyperparameters["lr"] for record in sink.records}) == 4
    assert {cell.key for cell in known_cells(spec, by_key)} == set(by_key)
    assert max(record.pack.size for record in sink.records) == 3


def test_the_cells_of_an_adaptive_configuration_are_cut_like_others(session: ModuleType) -> None:
    spec = Spec.from_mapping(tpe_document({"toy": {}}, n=2))
    (grid,) = spec.grids
    sink = Collected()
    limits = {grid.setting.key: 2}
    session.train_packs(
        [], [], spec, sink, {grid.setting.key: "sequential"}, lambda: False, adaptive_searches(spec, {}, []), limits
    )
    assert sorted(record.pack.size for record in sink.records) == [1, 1, 2, 2, 2, 2]
    assert len({record.config_key for record in sink.records}) == spec.n_cells


@pytest.mark.long
def test_an_adaptive_search_that_was_interrupted_goes_on_from_its_records(session: ModuleType) -> None:
    spec = Spec.from_mapping(tpe_document({"toy": {}}, n=10))
    asked: list[bool] = []
    first = Collected(on_first=lambda: asked.append(True))
    search_on(session, spec, first, should_drain=lambda: bool(asked))
    assert 0 < len(first.records) < spec.n_cells
    kept = first.records[:-1]  # one cell of the last configuration was lost
    second = Collected()
    search_on(session, spec, second, kept)
    assert len(kept) + len(second.records) == spec.n_cells
    keys = {record.config_key for record in (*kept, *second.records)}
    assert len(keys) == spec.n_cells
    assert first.records[-1].config_key in keys


def test_no_new_pack_starts_once_it_is_to_drain(session: ModuleType) -> None:
    spec = Spec.from_mapping(toy_document({"toy": {}}, seeds={"count": 60}))
    cells = list(expand(spec))
    asked: list[bool] = []
    sink = Collected(on_first=lambda: asked.append(True))
    packs = [Pack(first, first + 3) for first in range(0, 60, 3)]
    train(session, spec, cells, sink, packs=packs, should_drain=lambda: bool(asked))
    done = {record.config_key for record in sink.records}
    assert 0 < len(done) < 60
    in_packs = [sum(cell.key in done for cell in cells[pack.start : pack.stop]) for pack in packs]
    assert in_packs.count(0) >= 18  # those in flight stop after a cell
    assert sink.n_empty > 0


class Slow(Toy):
    """A toy whose steps take a moment, and whose checkpoints are written in every break."""

    name: ClassVar[str] = "slow"

    def model(self, seed: int) -> nn.Module:
        flight.CHECKPOINT_S, flight.WRITING_SHARE = 0.0, math.inf  # in the worker, where no fixture reaches
        return super().model(seed)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        time.sleep(0.02)
        return super().loss(model, batch)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Spec, Cell]]:
    """Make a spec of one cell of 100 steps, which takes two seconds; each seed has a checkpoint of its own."""
    for name in ("CHECKPOINT_S", "WRITING_SHARE"):
        monkeypatch.setattr(flight, name, getattr(flight, name))  # put back what a model of it changes here
    register_task(Slow)

    def make(seed: int, **params: Any) -> tuple[Spec, Cell]:
        changes = {"budget": {"epochs": 50, "batch_size": 5}, "seeds": {"count": 1, "base": seed}}
        spec = Spec.from_mapping(
            document(
                tasks=[{"name": "slow", "params": params}],
                optimizers=[],
                space={"lr": {"values": [0.01]}},
                base={"name": "adam"},
                **changes,
            )
        )
        return spec, next(expand(spec))

    return make


def kept_of(cell: Cell) -> list[Path]:
    folder = checkpoints_folder()
    return [path for path in folder.iterdir() if path.name.startswith(cell.key)] if folder.exists() else []


def expected_of(cell: Cell) -> Outcome:
    """The outcome of a cell that nothing interrupts."""
    return train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=600).outcome


def assert_same(found: Outcome, expected: Outcome) -> None:
    for name in ("status", "metrics", "curve", "diagnostics"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.cost.steps == expected.cost.steps == 100
    assert found.cost.gradient_evaluations == expected.cost.gradient_evaluations


def test_a_cell_that_is_told_to_stop_goes_on_later(session: ModuleType, slow: Callable[..., tuple[Spec, Cell]]) -> None:
    spec, cell = slow(11)
    first = Collected()
    train(session, spec, [cell], first, packs=[Pack(0, 1)], should_drain=lambda: bool(first.progress))
    assert first.records == []
    ((taken, total),) = first.progress[0]
    assert (total, 0 < taken < 100) == (100, True)
    assert first.progress[-1] == ()
    assert len(kept_of(cell)) == 1
    second = Collected()
    train(session, spec, [cell], second, packs=[Pack(0, 1)])
    (record,) = second.records
    assert_same(record.outcome, expected_of(cell))
    assert record.outcome.cost.elapsed_s > 100 * 0.02
    steps = [progress[0][0] for progress in second.progress if progress]
    assert all(step > taken for step in steps), "it goes on where it was"
    assert kept_of(cell) == []


def test_a_cell_whose_worker_is_killed_goes_on_in_another_one(
    session: ModuleType, slow: Callable[..., tuple[Spec, Cell]]
) -> None:
    spec, cell = slow(12, fault="exit", call=80)  # of each process: the second one takes fewer steps
    sink = Collected()
    train(session, spec, [cell], sink, packs=[Pack(0, 1)])
    (record,) = sink.records
    _, whole = slow(12)
    assert_same(record.outcome, expected_of(whole))
    assert kept_of(cell) == []


@pytest.mark.long
def test_other_cells_of_a_pack_are_planned_again_when_it_stops(
    session: ModuleType, slow: Callable[..., tuple[Spec, Cell]]
) -> None:
    spec, _ = slow(20)
    spec = spec.model_copy(update={"seeds": Seeds(count=3, base=20)})
    cells = list(expand(spec))
    sink = Collected()
    train(session, spec, cells, sink, packs=[Pack(0, 3)], should_drain=lambda: bool(sink.records))
    assert [record.config_key for record in sink.records] == [cells[0].key]
    again = Collected()
    train(session, spec, cells[1:], again, packs=[Pack(0, 2)])
    assert {record.config_key for record in again.records} == {cell.key for cell in cells[1:]}


def test_a_long_cell_is_stored_before_its_checkpoint_goes(
    session: ModuleType, slow: Callable[..., tuple[Spec, Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_S", 1.0)
    spec, cell = slow(13)
    kept: list[int] = []

    class Noting(Collected):
        def flush(self) -> None:
            kept.append(len(kept_of(cell)))

    sink = Noting()
    train(session, spec, [cell], sink, packs=[Pack(0, 1)])
    assert len(sink.records) == 1
    assert kept == [1]
    assert kept_of(cell) == []


def test_records_say_where_they_were_trained(session: ModuleType) -> None:
    spec = Spec.from_mapping(toy_document({"toy": {}}, seeds={"count": 5}))
    cells = list(expand(spec))
    sink = Collected()
    train(session, spec, cells, sink, packs=[Pack(0, 2), Pack(2, 5)])
    by_key = {record.config_key: record for record in sink.records}
    places = [by_key[cell.key].pack for cell in cells]
    assert [(place.size, place.position) for place in places] == [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert len({place.id for place in places}) == 2
    assert all(record.outcome.status is Status.COMPLETED for record in sink.records)


def test_a_sink_can_end_the_run(session: ModuleType) -> None:
    def leave() -> None:
        raise SystemExit(6)

    spec = Spec.from_mapping(toy_document({"toy": {}}, seeds={"count": 12}))
    with pytest.raises(SystemExit, match="6"):
        train(session, spec, list(expand(spec)), Collected(on_first=leave))
    assert session._runs == {}


@pytest.mark.parametrize(
    ("resources", "message"),
    [({"cpus_per_pack": 3}, "a pack needs 3 CPUs, but Ray offers 2 in all"), ({"gpus_per_pack": 1}, "needs 1 GPUs")],
)
def test_a_pack_that_never_fits_is_refused(session: ModuleType, resources: dict[str, int], message: str) -> None:
    if "gpus_per_pack" in resources and session._cluster_resources().get("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(RayUnavailableError, match=message):
        session.n_workers(make_spec(resources=resources))


@pytest.mark.parametrize(
    ("resources", "offered", "n"),
    [
        ({}, {"CPU": 8.0}, 8),
        ({"cpus_per_pack": 3}, {"CPU": 8.0}, 2),
        ({"max_concurrent": 3}, {"CPU": 8.0}, 3),
        ({"cpus_per_pack": 0.5}, {"CPU": 2.0}, 4),
        ({}, {"CPU": 8.0, "GPU": 1.0}, 4),
        ({"gpus_per_pack": 0.5}, {"CPU": 8.0, "GPU": 2.0}, 4),
        ({"gpus_per_pack": 0}, {"CPU": 8.0, "GPU": 1.0}, 8),
    ],
)
def test_workers_are_counted_by_what_runs_out_first(
    raytune: ModuleType, monkeypatch: pytest.MonkeyPatch, resources: Any, offered: dict[str, float], n: int
) -> None:
    monkeypatch.setattr(raytune, "_cluster_resources", lambda: offered)
    assert raytune.n_workers(make_spec(resources=resources)) == n


@pytest.mark.parametrize(
    ("asked", "n_gpus", "wanted_bytes", "gpus"),
    [
        ("auto", 0, 10**9, 0.0),
        ("auto", 2, 0, 0.25),
        ("auto", 2, 10**9, 0.25),
        ("auto", 1, 20 * 10**9, 0.5),
        ("auto", 1, 10**12, 1.0),
        (0.1, 2, 10**12, 0.1),
        (0, 2, 10**9, 0),
    ],
)
def test_a_pack_takes_a_part_of_a_gpu_by_its_memory(
    raytune: ModuleType, monkeypatch: pytest.MonkeyPatch, asked: Any, n_gpus: int, wanted_bytes: int, gpus: float
) -> None:
    monkeypatch.setattr(raytune, "_cluster_resources", lambda: {"CPU": 8.0, "GPU": float(n_gpus)})
    spec = make_spec(resources={"gpus_per_pack": asked})
    session = Answering(("cuda", 80 * 10**9))
    assert raytune.sized(session, spec, wanted_bytes) == (gpus, 80 * 10**9)
    assert session.asked == [(1, raytune.gpus_per_pack(spec))]
    assert gpus == 0 or raytune.n_workers(spec, gpus=gpus) == min(8, n_gpus / gpus)


def test_a_gpu_that_is_declared_and_not_there_is_not_sized(
    raytune: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raytune, "_cluster_resources", lambda: {"CPU": 8.0, "GPU": 4.0})
    assert raytune.sized(Answering(("cpu", 10**9)), make_spec(), 10**15) == (0.25, 10**9)


def test_a_pack_takes_what_all_processes_of_its_cells_take(session: ModuleType) -> None:
    budget = {"epochs": 1, "batch_size": 256}
    assert [session.n_workers(make_spec(budget={**budget, "processes": n})) for n in (1, 2)] == [2, 1]
    with pytest.raises(RayUnavailableError, match="a pack needs 4 CPUs, but Ray offers 2 in all"):
        session.n_workers(make_spec(budget={**budget, "processes": 4}))
    shared, two = session._room_of(1.0, 0.25, 1), session._room_of(1.0, 0.25, 2)
    assert shared.bundles == [{"CPU": 1.0, "GPU": 0.25}]
    assert two.bundles == [{"CPU": 1.0, "GPU": 1.0}] * 2, "no two processes of a cell share a GPU"
