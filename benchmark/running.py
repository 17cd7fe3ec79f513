"""Running a spec: plan what is missing, train it on Ray Tune, hand over the records."""

import math
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from benchmark.adaptive import adaptive_searches
from benchmark.choice import choose_execution, probe, probed_s
from benchmark.execution import Execution
from benchmark.fingerprint import Fingerprint
from benchmark.frame import results_frame
from benchmark.known import sample_cells
from benchmark.matching import give_up, match
from benchmark.memory import pack_bytes
from benchmark.packs import Footprint, in_order, most_of, plan_packs
from benchmark.place import device_at, training_place
from benchmark.rayenv import RayOptions, prepare_ray_environment
from benchmark.records import Record
from benchmark.replay import reordered
from benchmark.robustness import HeldEqual, RobustnessTable, render_html
from benchmark.sink import Sink
from benchmark.spec import Cell, Setting, Spec, expand
from benchmark.tables import spec_table
from benchmark.tasks import load_task, task_faults

if TYPE_CHECKING:
    from benchmark.figures import Figure


@dataclass(frozen=True)
class Records:
    """The records of one spec.

    Attributes:
        spec: what was run.
        records: one a cell that was trained.
        step_s: seconds of a step of one cell alone, by the key of the setting, from a short probe before the run.
    """

    spec: Spec
    records: tuple[Record, ...]
    step_s: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a cell of the spec, as `benchmark.frame.results_frame` describes."""
        return results_frame(self.spec, self._by_key)

    def table(self, *, view: HeldEqual | None = None) -> RobustnessTable:
        """Return the robustness table of the spec.

        Args:
            view: what is held equal between optimizers: `equal_steps`, `equal_gradient_evaluations`, `equal_seconds`;
                by default what the budgets hold equal.

        Raises:
            TableError: where the view cannot be read off the curves, with the reason and the remedy.
        """
        return spec_table(self.spec, self._by_key, view=view, step_s=self.step_s)

    def _repr_html_(self) -> str:
        return render_html(self.table())

    def plot(self, kind: str = "heatmap", *, task: str | None = None, optimizers: Sequence[str] = ()) -> "Figure":
        """Return a figure, which a notebook shows, and `save` writes into a file.

        Args:
            kind: `benchmark.figures.figure_kinds` lists them.
            task: label; by default the first one that can be shown, or all.
            optimizers: labels of those to show; by default all.

        Raises:
            TableError: for an unknown kind, and where the runs do not allow the figure, with the reason.
        """
        from benchmark.figures import FigureData, figure_of  # matplotlib takes half a second to load

        return figure_of(FigureData.of_records(self.spec, self._by_key), kind, task=task, optimizers=optimizers)

    @property
    def _by_key(self) -> dict[str, Record]:
        return {record.config_key: record for record in self.records}


@dataclass
class _Memory:
    """A sink that keeps records in memory."""

    on_progress: Callable[[int], None]
    records: list[Record] = field(default_factory=list)

    def on_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Leave it: the records name it by its key."""

    def on_cells(self, cells: Sequence[Cell]) -> None:
        """Leave them: their records say what they are."""

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None:
        """Leave it: records are counted."""

    def flush(self) -> None:
        """Nothing waits."""

    def on_records(self, records: Sequence[Record]) -> None:
        """Keep the records."""
        self.records += records
        if records:
            self.on_progress(len(self.records))


def run(
    spec: Spec, *, options: RayOptions | None = None, on_progress: Callable[[int], None] = lambda n: None
) -> Records:
    """Train every cell of a spec and return the records, keeping them in memory alone.

    Call it in the main thread: a local Ray ends with the thread that started it.

    Args:
        spec: what to run.
        options: which Ray; a local one by default.
        on_progress: called with the number of records so far as cells finish.

    Raises:
        TaskDataError: when the data of a task is missing or damaged.
        FusionError: when the spec wants cells trained together that cannot be.
        RayUnavailableError: when Ray cannot be started or reached.
    """
    sink = _Memory(on_progress)
    cells = tuple(expand(spec))
    kinds = (*cells, *sample_cells(spec))
    with training_place(spec, options or RayOptions()) as call:
        device, name = device_at(call, spec)
        choice = call(choose_execution, spec, kinds, device)
        timings = choice.timings | call(probe, kinds, device, choice.timings)

    def second_wave() -> Sequence[Cell]:
        records = {record.config_key: record for record in sink.records}
        found = match((cell for cell in cells if cell.key not in records), records)
        give_up(found.unmatched, sink, device, choice.executions)
        return found.ready

    train_missing(
        spec,
        [cell for cell in cells if not cell.partner],
        sink,
        options=options or RayOptions(),
        executions=choice.executions,
        footprints=choice.footprints,
        then=second_wave,
        owner="" if spec.reuse else uuid.uuid4().hex,  # which goes on with nothing that others have begun
    )
    step_s = probed_s([grid.setting for grid in spec.grids], name, timings)
    return Records(spec, tuple(sink.records), step_s)


def train_missing(
    spec: Spec,
    cells: Sequence[Cell],
    sink: Sink,
    *,
    options: RayOptions,
    executions: Mapping[str, Execution],
    footprints: Mapping[str, Footprint] = MappingProxyType({}),
    should_drain: Callable[[], bool] = lambda: False,
    records: Mapping[str, Record] = MappingProxyType({}),
    then: Callable[[], Sequence[Cell]] = tuple,
    owner: str = "",
) -> None:
    """Train some cells of a spec in packs on Ray Tune, and what its adaptive searches choose, from the main thread.

    Args:
        spec: its resources and limits hold.
        cells: what to train of the cells that are known.
        sink: takes the records.
        options: which Ray.
        executions: how the cells of each setting are trained, by its key.
        footprints: what a cell of a setting takes, as far as it was measured: packs are cut to it.
        should_drain: once true, no new pack starts and those in flight stop, as `raytune.train_packs` says.
        records: of the spec's cells so far, by config_key, in the order in which they were made: adaptive searches go
            on from them.
        then: called when all these have their records: what can be trained now that could not be before.
        owner: who shares checkpoints of the cells, as in `benchmark.flight.Flight`.

    Raises:
        TaskDataError: when the data of a task is missing or damaged; before anything starts.
        TaskFaultError: when the code of a task fails; likewise.
        RayUnavailableError: when Ray cannot be started or reached.
        BenchmarkError: when Ray Tune ends before every cell has a record although nobody asked to drain.
    """
    fused = {key for key, execution in executions.items() if execution == "fused"}
    cells = in_order(reordered(cells), fused)
    searches = adaptive_searches(spec, records, cells)
    require_data([cell.setting for cell in cells] + [search.grid.setting for search in searches])
    prepare_ray_environment(options)
    # Ray reads the environment when it is imported, and few processes need it.
    from benchmark import raysession, raytune

    size = spec.resources.pack if isinstance(spec.resources.pack, int) else None
    with raysession.ray_session(options) as session:
        counts = Counter(cell.setting.key for cell in cells)
        for search in searches:
            counts[search.grid.setting.key] += len(search.seeds)
        for grid in spec.grids:
            counts[grid.setting.key] += grid.n_configurations * spec.seeds.count if grid.partner else 0
        gpus, free = raytune.sized(session, spec, _wanted_bytes(counts, footprints, fused))
        n_workers = raytune.n_workers(spec, gpus=gpus)
        room = pack_bytes(free, n_workers=math.ceil(n_workers / max(1, session.n_nodes)), gpus=gpus)
        most = {key: footprint.most_cells(room) for key, footprint in footprints.items() if key in fused}
        limits = {
            key: most_of(key, size=size, fused=fused, most=most)
            for key in {search.grid.setting.key for search in searches}
        }
        try:
            while cells or searches:
                packs = plan_packs(cells, n_workers=n_workers, size=size, fused=fused, most=most)
                given = cells, packs, spec, sink, executions, should_drain, searches, limits
                raytune.train_packs(*given, gpus=gpus, owner=owner)
                cells, searches = [] if should_drain() else in_order(reordered(then()), fused), []
        finally:
            # Before Ray is shut down, which takes longer than a driver that is told to end may have.
            sink.flush()


def require_data(settings: Iterable[Setting]) -> None:
    """Raise unless the data of every task is there.

    Raises:
        TaskDataError: when it is missing or damaged.
        TaskFaultError: when the code of a task fails.
    """
    for setting in {setting.key: setting for setting in settings}.values():
        with task_faults(setting.task):
            _ = load_task(setting.task, setting.task_params).data_version


def _wanted_bytes(counts: Counter[str], footprints: Mapping[str, Footprint], fused: Container[str]) -> int:
    """Return the bytes of the largest pack there would be of so many cells a setting, if memory were no matter."""
    wanted = 0
    for key, footprint in footprints.items():
        n = min(max(1, counts[key]), footprint.most_cells(sys.maxsize)) if key in fused else 1
        wanted = max(wanted, n * footprint.n_bytes)
    return wanted
