"""Training packs again exactly as they were: the same cells, in their order, in the same execution."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from benchmark.execution import Execution
from benchmark.packs import Footprint, Pack
from benchmark.rayenv import RayOptions, prepare_ray_environment
from benchmark.records import Record, Scalar
from benchmark.running import require_data
from benchmark.sink import Sink
from benchmark.spec import Cell, Spec

RADIUS = "radius"  # beside the hyperparameters of a control in its record


@dataclass(frozen=True, slots=True)
class RepeatedPack:
    """A pack that is trained again.

    Cells that are trained at once share their kernels, whose sums depend on how many they are: a cell is the same to
    the last bit only among the same cells.

    Attributes:
        cells: in the order in which they were trained.
        kept: places, from 0, of those whose records are wanted; the others are there for company.
        execution: how they were trained.
        n_cpus: of the process that trains it.
    """

    cells: tuple[Cell, ...]
    kept: frozenset[int]
    execution: Execution
    n_cpus: int

    def __post_init__(self) -> None:
        if not self.kept or not self.kept <= set(range(len(self.cells))):
            raise ValueError(f"kept must be places of the {len(self.cells)} cells, but got {sorted(self.kept)}.")


def repeated_pack(members: Sequence[Record], wanted: Mapping[str, Cell], n_cpus: int) -> RepeatedPack | None:
    """Return a pack as it is to be trained again; None where none of its cells is wanted.

    Args:
        members: all its records that there are, in the order of their training.
        wanted: the cells whose records are wanted, by config_key.
        n_cpus: of the process that trained it.
    """
    kept = [record for record in members if record.config_key in wanted]
    if not kept:
        return None
    execution: Execution = "fused" if kept[0].outcome.cost.execution == "fused" else "sequential"
    # those that were trained one after another did nothing to each other
    trained = members if execution == "fused" else kept
    sample = wanted[kept[0].config_key]
    cells = tuple(_cell(record, wanted.get(record.config_key), sample) for record in trained)
    places = frozenset(place for place, record in enumerate(trained) if record.config_key in wanted)
    return RepeatedPack(cells, places, execution, n_cpus)


def train_again(
    spec: Spec,
    packs: Sequence[RepeatedPack],
    sink: Sink,
    *,
    options: RayOptions,
    footprints: Mapping[str, Footprint] = MappingProxyType({}),
    should_drain: Callable[[], bool] = lambda: False,
    owner: str = "",
) -> None:
    """Train packs again on Ray Tune, from the main thread; nothing is planned anew.

    Args:
        spec: its resources, but for the CPUs of a pack, and its limits hold.
        packs: what is trained.
        sink: takes the records of the cells that are kept.
        options: which Ray.
        footprints: what a cell of a setting takes, as far as it was measured.
        should_drain: once true, no new pack starts and those in flight stop, as `raytune.train_packs` says.
        owner: who shares checkpoints of the cells, as in `benchmark.flight.Flight`.

    Raises:
        TaskDataError: when the data of a task is missing or damaged; before anything starts.
        TaskFaultError: when the code of a task fails; likewise.
        RayUnavailableError: when Ray cannot be started or reached, or offers too little for a pack.
        BenchmarkError: when Ray Tune ends before every cell has a record although nobody asked to drain.
    """
    require_data(pack.cells[0].setting for pack in packs)
    prepare_ray_environment(options)
    # Ray reads the environment when it is imported, and few processes need it.
    from benchmark import raysession, raytune

    with raysession.ray_session(options) as session:
        wanted_bytes = max((_bytes(pack, footprints) for pack in packs), default=0)
        gpus, _ = raytune.sized(session, spec, wanted_bytes)
        try:
            for (execution, n_cpus), alike in itertools.groupby(sorted(packs, key=_kind), key=_kind):
                if should_drain():
                    break
                resources = spec.resources.model_copy(update={"cpus_per_pack": n_cpus})
                own = spec.model_copy(update={"resources": resources})
                raytune.n_workers(own, gpus=gpus)  # raises where there is no room for a single pack
                cells, plan, company = _laid_out(alike)
                executions = {cell.setting.key: execution for cell in cells}
                given = cells, plan, own, sink, executions, should_drain
                raytune.train_packs(*given, gpus=gpus, company=company, owner=owner)
        finally:
            sink.flush()


def _cell(record: Record, cell: Cell | None, sample: Cell) -> Cell:
    """Return the cell that a record was trained from: one that is wanted, or one for company, of the same setting."""
    radius = record.hyperparameters.get(RADIUS)
    if cell is not None:
        return cell if cell.partner is None else replace(cell, radius=_number(radius))
    own = {name: value for name, value in record.hyperparameters.items() if name != RADIUS}
    return replace(
        sample,
        hyperparameters=own,
        seed=record.seed,
        key=record.config_key,
        partner=None,
        radius=_number(radius),
    )


def _number(value: Scalar | None) -> float | None:
    return None if value is None else float(value)


def _kind(pack: RepeatedPack) -> tuple[Execution, int]:
    return pack.execution, pack.n_cpus


def _bytes(pack: RepeatedPack, footprints: Mapping[str, Footprint]) -> int:
    key = pack.cells[0].setting.key
    n_together = len(pack.cells) if pack.execution == "fused" else 1
    return n_together * footprints[key].n_bytes if key in footprints else 0


def _laid_out(packs: Iterable[RepeatedPack]) -> tuple[list[Cell], list[Pack], frozenset[int]]:
    """Return the cells of packs side by side, where each pack lies among them, and which are there for company."""
    cells: list[Cell] = []
    plan: list[Pack] = []
    company: set[int] = set()
    for pack in packs:
        start = len(cells)
        cells += pack.cells
        plan.append(Pack(start, len(cells)))
        company |= {start + place for place in range(len(pack.cells)) if place not in pack.kept}
    return cells, plan, frozenset(company)
