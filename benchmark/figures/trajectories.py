"""What a figure of trajectories on a landscape shows, prepared from the records: panels, groups of runs, the view."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.errors import TableError
from benchmark.figures.axes import TITLES
from benchmark.parsing import unknown_name
from benchmark.records import Record, Scalar, Status
from benchmark.robustness.scoring import FloatArray
from benchmark.spec import Cell, Grid, Spec
from benchmark.tasks import load_task
from benchmark.tasks.landscape import Landscape

MAX_PANELS = 24
MAX_SHARING = 7  # configurations of a single seed that share a panel, told apart by their colours
VIEW_MARGIN = 0.06
N_LEVELS, N_SAMPLES = 12, 101


@dataclass(frozen=True, eq=False)
class Run:
    """One run: where it went and how it ended.

    Attributes:
        seed: of the cell.
        points: the start and the points of the curve, up to the first that is not finite; shape (n, d), n >= 1.
        has_diverged: whether the last point is no end, for the run left for infinity.
    """

    seed: int
    points: FloatArray
    has_diverged: bool


@dataclass(frozen=True, eq=False)
class Group:
    """The recorded runs of one configuration, a seed each.

    Attributes:
        title: in the legend; empty where the panel's says enough.
        style: number of its look, the same in every panel.
        runs: in the order of their seeds.
    """

    title: str
    style: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, eq=False)
class TrajectoryPanel:
    """One panel, and its place in the figure."""

    title: str
    row: int
    column: int
    groups: tuple[Group, ...]

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return sum(len(group.runs) for group in self.groups)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """All panels of one landscape on a shared view.

    Attributes:
        task: label.
        landscape: on which the runs went, of one or two dimensions.
        panels: at least one.
        low: of the view, a number a coordinate.
        high: of the view; all coordinates span the same.
    """

    task: str
    landscape: Landscape
    panels: tuple[TrajectoryPanel, ...]
    low: FloatArray
    high: FloatArray

    @property
    def is_plane(self) -> bool:
        """Whether there are two dimensions, and not one."""
        return len(self.low) == 2

    @property
    def runs(self) -> list[Run]:
        """The runs of all panels."""
        return [run for panel in self.panels for group in panel.groups for run in group.runs]

    def heights(self, points: FloatArray) -> FloatArray:
        """Return the height of the landscape at points of shape (n, d)."""
        heights: FloatArray = torch.func.vmap(self.landscape.value)(torch.from_numpy(points)).numpy()
        return heights

    def places(self, points: FloatArray, reach: float = 0.0) -> tuple[FloatArray, FloatArray]:
        """Return x and y of points of shape (n, d), moved to the border where they are beyond `reach` views of it."""
        far = reach * (self.high - self.low)
        near = np.clip(points, self.low - far, self.high + far)
        return near[:, 0], near[:, 1] if self.is_plane else self.heights(near)

    def ground(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return x, y, and the heights over the view of a plane, of shape (y, x)."""
        x, y = (np.linspace(low, high, N_SAMPLES) for low, high in zip(self.low, self.high, strict=True))
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        return x, y, self.heights(points).reshape(N_SAMPLES, N_SAMPLES)

    def levels(self, heights: FloatArray) -> FloatArray:
        """Return levels of contours: at quantiles they show the bottom of a valley as well as its walls."""
        return np.unique(np.quantile(heights, np.linspace(0, 1, N_LEVELS)))

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """Return x and the heights over the view of one dimension."""
        x = np.linspace(self.low[0], self.high[0], 4 * N_SAMPLES)
        return x, self.heights(x[:, None])


def prepare_trajectories(
    spec: Spec, records: Mapping[str, Record], *, task: str | None = None, optimizers: Sequence[str] = ()
) -> Trajectories:
    """Return what to draw of one landscape.

    In two dimensions a few configurations of a single seed share one panel; else each has its own, in the column of its
    optimizer. In one dimension each learning rate has a panel.

    Args:
        spec: whose cells were trained.
        records: by config_key; a cell without one, or with one that failed, is left out.
        task: label of the landscape; by default the first of the spec.
        optimizers: labels of those to show; by default all.

    Raises:
        TableError: where the task is no landscape of one or two dimensions, nothing of it is recorded, or there are
            more panels than a figure has room for.
    """
    grids, landscape = _on_landscape(spec, task, optimizers)
    label, n_dimensions = grids[0].task, landscape.params.n_dimensions
    if n_dimensions > 2:
        raise TableError(f"trajectories are drawn in one or two dimensions, but {label} has {n_dimensions}.")
    arrange = _by_learning_rate if n_dimensions == 1 else _by_configuration
    panels = arrange([_configurations(grid, spec, records, landscape) for grid in grids])
    if len(panels) > MAX_PANELS:
        raise TableError(f"a figure has room for {MAX_PANELS} panels, but {label} needs {len(panels)}; sweep less.")
    shown = Trajectories(label, landscape, panels, np.zeros(n_dimensions), np.ones(n_dimensions))
    if not shown.runs:
        raise TableError(f"trajectories need at least one recorded run, but {label} has none.")
    low, high = _view(shown.runs, landscape.params.box)
    return Trajectories(label, landscape, panels, low, high)


@dataclass(frozen=True, eq=False)
class _Configuration:
    """One point of a grid with its recorded runs."""

    optimizer: str
    swept: Mapping[str, Scalar]
    learning_rate: float
    n_seeds: int
    runs: tuple[Run, ...]

    def title(self, *, without: str = "") -> str:
        """Return the optimizer with what it sweeps."""
        values = [f"{TITLES.get(name, name)} {value:g}" for name, value in self.swept.items() if name != without]
        return ", ".join([self.optimizer, *values])


def grids_on_landscape(spec: Spec, label: str | None, optimizers: Collection[str]) -> list[Grid]:
    """Return the grids that are drawn.

    Args:
        spec: whose they are.
        label: of the task; by default the first landscape.
        optimizers: labels of those to show; none for all.

    Raises:
        TableError: where there is none of that label, or it is no landscape.
    """
    return _on_landscape(spec, label, optimizers)[0]


def _on_landscape(spec: Spec, label: str | None, optimizers: Collection[str]) -> tuple[list[Grid], Landscape]:
    """Return the grids that are drawn, and the landscape of their task."""
    by_label: dict[str, list[Grid]] = {}
    for grid in spec.grids:
        by_label.setdefault(grid.task, []).append(grid)
    if label is not None and label not in by_label:
        raise TableError(unknown_name("task", label, by_label))
    for grids in by_label.values() if label is None else [by_label[label]]:
        landscape = load_task(grids[0].setting.task, grids[0].setting.task_params)
        if isinstance(landscape, Landscape):
            return [grid for grid in grids if not optimizers or grid.optimizer in optimizers], landscape
    names = ", ".join(by_label) if label is None else label
    raise TableError(f"trajectories are drawn on landscapes, such as banana, but {names} is none.")


def _configurations(
    grid: Grid, spec: Spec, records: Mapping[str, Record], landscape: Landscape
) -> list[_Configuration]:
    swept = [axis.name for axis in grid.axes if len(axis.values) > 1]
    found = []
    for _, cells in itertools.groupby(grid.cells(spec.seeds.values), key=lambda cell: cell.hyperparameters):
        by_seed = list(cells)
        hyperparameters = by_seed[0].hyperparameters
        runs = [_run(cell, records.get(cell.key), landscape) for cell in by_seed]
        found.append(
            _Configuration(
                optimizer=grid.optimizer,
                swept={name: hyperparameters[name] for name in swept},
                learning_rate=float(hyperparameters["lr"]),
                n_seeds=len(by_seed),
                runs=tuple(run for run in runs if run is not None),
            )
        )
    return found


def _run(cell: Cell, record: Record | None, landscape: Landscape) -> Run | None:
    if record is None or record.outcome.status is Status.FAILED:
        return None
    start = landscape.start_of(cell.seed).to(torch.float64).numpy()
    # a run that diverged before its first evaluation has no coordinates
    series = [record.outcome.curve.get(f"theta_{index}", ()) for index in range(len(start))]
    points = np.vstack([start, np.array(series, dtype=np.float64).T.reshape(-1, len(start))])
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    n_good = int(bad[0]) if len(bad) else len(points)
    return Run(cell.seed, points[:n_good], record.outcome.status is Status.DIVERGED)


def _by_configuration(found: Sequence[Sequence[_Configuration]]) -> tuple[TrajectoryPanel, ...]:
    every = [configuration for column in found for configuration in column]
    if len(every) <= MAX_SHARING and every[0].n_seeds == 1:
        groups = tuple(Group(one.title(), style, one.runs) for style, one in enumerate(every))
        return (TrajectoryPanel("", 0, 0, groups),)
    return tuple(
        TrajectoryPanel(one.title(), row, column, (Group("", column, one.runs),))
        for column, configurations in enumerate(found)
        for row, one in enumerate(configurations)
    )


def _by_learning_rate(found: Sequence[Sequence[_Configuration]]) -> tuple[TrajectoryPanel, ...]:
    by_rate: dict[float, list[_Configuration]] = {}
    for configuration in itertools.chain.from_iterable(found):
        by_rate.setdefault(configuration.learning_rate, []).append(configuration)
    styles: dict[str, int] = {}
    panels = []
    for column, (rate, configurations) in enumerate(sorted(by_rate.items())):
        titles = [one.title(without="lr") for one in configurations]
        groups = tuple(
            Group(title, styles.setdefault(title, len(styles)), one.runs)
            for title, one in zip(titles, configurations, strict=True)
        )
        panels.append(TrajectoryPanel(f"{TITLES['lr']} {rate:g}", 0, column, groups))
    return tuple(panels)


def _view(runs: Sequence[Run], box: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Return low and high of every coordinate: all starts, and of the ways what lies within twice the box."""
    starts = np.array([run.points[0] for run in runs])
    low, high = np.minimum(starts.min(axis=0), box[0]), np.maximum(starts.max(axis=0), box[1])
    points = np.clip(np.vstack([run.points for run in runs]), low - (high - low) / 2, high + (high - low) / 2)
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-3 * (box[1] - box[0])) * (1 + 2 * VIEW_MARGIN)
    return (low + high) / 2 - half, (low + high) / 2 + half
