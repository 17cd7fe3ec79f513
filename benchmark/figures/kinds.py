"""The kinds of figures by name: the one list that REST, the command line and Python go by.

A new kind is one entry: what it prepares from the data, and who draws that. Figures of lines are one line each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from benchmark.errors import TableError
from benchmark.figures.curves import prepare_curves
from benchmark.figures.data import FigureData
from benchmark.figures.difference import DifferenceMap, prepare_difference
from benchmark.figures.frames import (
    difference_frame,
    heatmap_frame,
    lines_frame,
    ranks_frame,
    sharpness_frame,
    trajectories_frame,
)
from benchmark.figures.heatmap import Heatmap, prepare_heatmap
from benchmark.figures.lines import LineFigure, rows_note
from benchmark.figures.matplotlib_difference import difference_matplotlib
from benchmark.figures.matplotlib_heatmap import heatmap_matplotlib
from benchmark.figures.matplotlib_image import METADATA, Format
from benchmark.figures.matplotlib_lines import lines_matplotlib
from benchmark.figures.matplotlib_ranks import ranks_matplotlib
from benchmark.figures.matplotlib_sharpness import sharpness_matplotlib
from benchmark.figures.matplotlib_trajectories import trajectories_matplotlib
from benchmark.figures.plotly_difference import difference_plotly
from benchmark.figures.plotly_heatmap import heatmap_plotly
from benchmark.figures.plotly_lines import lines_plotly
from benchmark.figures.plotly_ranks import ranks_plotly
from benchmark.figures.plotly_sharpness import sharpness_plotly
from benchmark.figures.plotly_trajectories import trajectories_plotly
from benchmark.figures.profiles import prepare_profiles
from benchmark.figures.ranks import RanksFigure, prepare_ranks
from benchmark.figures.sharpness import SharpnessFigure, prepare_sharpness
from benchmark.figures.slices import prepare_slices
from benchmark.figures.trajectories import Trajectories, grids_on_landscape, prepare_trajectories
from benchmark.figures.tuning import prepare_tuning
from benchmark.parsing import unknown_name
from benchmark.robustness.curves import tuning_curves_of
from benchmark.robustness.marginal import slices_of
from benchmark.robustness.profiles import profiles_of
from benchmark.robustness.rendering.files import csv_of
from benchmark.surface import surfaces_of

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class FigureKind(Generic[Prepared]):
    """A kind of figure.

    Attributes:
        name: by which it is asked for.
        description: one sentence.
        prepare: returns what is drawn; raises TableError where the runs do not allow it.
        draw: returns it as an image.
        plot: returns it as a Plotly figure, `{data, layout}` of plain values.
        tabulate: returns what is drawn as a data frame, a row a cell, a point or a run.
        needs_curves: whether it is made of records with their curves.
    """

    name: str
    description: str
    prepare: Callable[[FigureData], Prepared]
    draw: Callable[..., bytes]
    plot: Callable[[Prepared], dict[str, Any]]
    tabulate: Callable[[Prepared], pd.DataFrame]
    needs_curves: bool = False


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure, prepared once, to be drawn in any format; a notebook shows it as it is.

    Attributes:
        kind: what it is.
        prepared: what is drawn.
    """

    kind: FigureKind[Any]
    prepared: Any

    def image(self, image_format: Format = "svg", *, dpi: int = 200) -> bytes:
        """Return it as an image for papers; the same bytes for the same runs.

        Args:
            image_format: svg, png or pdf.
            dpi: pixels an inch, of a png and of what a vector figure holds as pixels.

        Raises:
            TableError: for another format.
        """
        return self.kind.draw(self.prepared, image_format=image_format, dpi=dpi)

    def plotly(self) -> dict[str, Any]:
        """Return it as a Plotly figure: `{data, layout}` of plain values that JSON can hold."""
        return self.kind.plot(self.prepared)

    def to_pandas(self) -> pd.DataFrame:
        """Return what is drawn: a row a cell, a point or a run."""
        return self.kind.tabulate(self.prepared)

    def csv(self) -> str:
        """Return what is drawn as csv."""
        return csv_of(self.to_pandas())

    def save(self, file: str | Path) -> None:
        """Write it into a file, whose ending says how: .svg, .png, .pdf, or .csv for what is drawn.

        Raises:
            TableError: for another ending.
        """
        ending = Path(file).suffix.removeprefix(".")
        if ending == "csv":
            Path(file).write_text(self.csv(), encoding="utf-8")
        elif ending in METADATA:
            Path(file).write_bytes(self.image(ending))
        else:
            raise TableError(f"the file must end in .{', .'.join((*METADATA, 'csv'))}, but got {Path(file).name!r}.")

    def __repr__(self) -> str:
        return f"<Figure {self.kind.name}>"

    def _repr_svg_(self) -> str:
        return self.image().decode()


def figure_of(data: FigureData, name: str, *, task: str | None = None, optimizers: Sequence[str] = ()) -> Figure:
    """Return a figure of runs.

    Args:
        data: the runs.
        name: of the kind; `figure_kinds` lists them.
        task: label; by default the first one that the kind can show, or all where it shows several.
        optimizers: labels of those to show; by default all. The reference stays that of all.

    Raises:
        TableError: for an unknown name, and where the runs do not allow the figure, with the reason.
    """
    kind = figure_kind(name)
    return Figure(kind, kind.prepare(data.narrowed(task, optimizers)))


def figure_kind(name: str) -> FigureKind[Any]:
    """Return the kind of that name.

    Raises:
        TableError: where there is none, with the nearest name.
    """
    if name not in _BY_NAME:
        raise TableError(unknown_name("figure", name, _BY_NAME))
    return _BY_NAME[name]


def figure_kinds() -> tuple[FigureKind[Any], ...]:
    """Return all kinds of figures."""
    return _KINDS


def _heatmap(data: FigureData) -> Heatmap:
    task = data.tasks[0]
    shown, selection = (surfaces_of([task], split) for split in ("test", "validation"))
    return prepare_heatmap(shown, task.scoring, selection=selection, y_ref=data.y_ref.get(task.scoring.task))


def _difference(data: FigureData) -> DifferenceMap:
    return prepare_difference(data.tasks[0], data.optimizers, data.pairs)


def _trajectories(data: FigureData) -> Trajectories:
    if data.spec is None or data.find is None:
        raise TableError("trajectories need the records of a spec with their curves, but got a frame of runs.")
    grids = grids_on_landscape(data.spec, data.task, data.optimizers)
    records = data.find([cell.key for grid in grids for cell in grid.cells(data.spec.seeds.values)])
    return prepare_trajectories(data.spec, records, task=data.task, optimizers=data.optimizers)


def _curves(data: FigureData) -> LineFigure:
    if data.find is None:
        raise TableError("learning curves need records with their curves, but got a frame of runs.")
    return prepare_curves(data.tasks, data.frame, data.find, rows_note(data.tasks))


def _sharpness(data: FigureData) -> SharpnessFigure:
    return prepare_sharpness(data.frame, data.scorings[0])


def _ranks(data: FigureData) -> RanksFigure:
    return prepare_ranks(data.tasks, data.y_ref)


def _profiles(data: FigureData) -> LineFigure:
    return prepare_profiles(profiles_of(data.tasks, data.y_ref), rows_note(data.tasks))


def _slices(data: FigureData) -> LineFigure:
    return prepare_slices([one for task in data.tasks for one in slices_of(task)], data.scorings, rows_note(data.tasks))


def _tuning(data: FigureData) -> LineFigure:
    curves = [one for task in data.tasks for one in tuning_curves_of(task)]
    return prepare_tuning(curves, data.scorings, rows_note(data.tasks))


def _lines(
    name: str, description: str, prepare: Callable[[FigureData], LineFigure], *, needs_curves: bool = False
) -> FigureKind[LineFigure]:
    return FigureKind(name, description, prepare, lines_matplotlib, lines_plotly, lines_frame, needs_curves)


_KINDS: tuple[FigureKind[Any], ...] = (
    FigureKind(
        "heatmap",
        "The score over the hyperparameters, a panel an optimizer.",
        _heatmap,
        heatmap_matplotlib,
        heatmap_plotly,
        heatmap_frame,
    ),
    FigureKind(
        "difference",
        "The paired difference between two optimizers in every cell of their common grid, a panel a pair.",
        _difference,
        difference_matplotlib,
        difference_plotly,
        difference_frame,
    ),
    _lines("profiles", "The share of runs that reach a score, over the score, a line an optimizer.", _profiles),
    _lines("slices", "The score along each hyperparameter through the best of each optimizer, with bands.", _slices),
    _lines("tuning", "The expected best score of k trials, over k, a line an optimizer, with bands.", _tuning),
    _lines(
        "curves",
        "Score and training loss over the steps at the best configuration of each optimizer, median over the seeds.",
        _curves,
        needs_curves=True,
    ),
    FigureKind(
        "ranks",
        "The rank of each optimizer by grid mean, with the ranks that the seeds do not rule out.",
        _ranks,
        ranks_matplotlib,
        ranks_plotly,
        ranks_frame,
    ),
    FigureKind(
        "sharpness",
        "Each measure of sharpness that a spec asks for against the test score, with rank correlations.",
        _sharpness,
        sharpness_matplotlib,
        sharpness_plotly,
        sharpness_frame,
    ),
    FigureKind(
        "trajectories",
        "The ways of the runs over a landscape of one or two dimensions.",
        _trajectories,
        trajectories_matplotlib,
        trajectories_plotly,
        trajectories_frame,
        needs_curves=True,
    ),
)
_BY_NAME = {kind.name: kind for kind in _KINDS}
