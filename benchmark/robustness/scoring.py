"""What must be known beside the runs: how a task is scored, and which grid each optimizer was run on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import TableError
from benchmark.records import Scalar
from benchmark.robustness.choices import Goal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Scale = Literal["log", "linear", "values"]
Design = Literal["grid", "random", "sobol", "tpe"]
Points = tuple[tuple[Scalar, ...], ...]


@dataclass(frozen=True, slots=True)
class TaskScoring:
    """How the runs of one task are scored.

    Inside this package scores are *oriented*: higher is better. A maximised metric y is taken as it is, a minimised
    one l as -min(l, floor), so that no run, however badly it ended, counts for less than one that learned nothing.

    Attributes:
        task: label of the task.
        metric: name of its score, without the `val_` or `test_` of a column.
        goal: which way is better.
        tolerance: in raw units; scores within it of the reference count as good.
        floor: what a diverged run scores, in raw units: the level of chance, or of the start for fine-tuning.
    """

    task: str
    metric: str
    goal: Goal
    tolerance: float
    floor: float

    def __post_init__(self) -> None:
        if self.goal not in ("maximize", "minimize"):
            raise TableError(f"the goal must be maximize or minimize, but {self.task} has goal={self.goal!r}.")
        if not 0 <= self.tolerance < math.inf:
            raise TableError(f"0 <= tolerance < infinity must hold, but {self.task} has tolerance={self.tolerance!r}.")
        if not math.isfinite(self.floor):
            raise TableError(f"the floor must be a finite number, but {self.task} has floor={self.floor!r}.")

    @property
    def oriented_floor(self) -> float:
        """The floor where higher is better."""
        return self.floor if self.goal == "maximize" else -self.floor

    def orient(self, scores: FloatArray) -> FloatArray:
        """Return raw scores as oriented ones; NaN stays NaN."""
        return scores if self.goal == "maximize" else -np.minimum(scores, self.floor)

    def raw(self, score: float) -> float:
        """Return an oriented score, or a reference, in raw units."""
        return score if self.goal == "maximize" else -score


@dataclass(frozen=True)
class AxisInfo:
    """The values of one hyperparameter of a grid, kept in ascending order.

    Attributes:
        name: of the hyperparameter, and of its column.
        scale: how the values are spaced.
        values: at least one; distinct and finite.
    """

    name: str
    scale: Scale
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise TableError(f"an axis must have at least one value, but {self.name} has none.")
        if not all(math.isfinite(value) for value in self.values):
            raise TableError(f"the values of an axis must be finite, but {self.name} has {self.values}.")
        if len(set(self.values)) < len(self.values):
            raise TableError(f"the values of an axis must differ, but {self.name} has {self.values}.")
        object.__setattr__(self, "values", tuple(sorted(self.values)))

    @cached_property
    def numbers(self) -> FloatArray:
        """The values as numbers, ascending."""
        return np.array(self.values, dtype=np.float64)

    @property
    def has_ends(self) -> bool:
        """Whether it leads from a lowest to a highest value: a single one does not, nor do true and false."""
        return len(self.values) > 1 and not any(isinstance(value, bool) for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return the axis as plain values that JSON can hold."""
        return {"name": self.name, "scale": self.scale, "values": list(self.values)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the axis that `to_dict` wrote."""
        return cls(document["name"], document["scale"], tuple(document["values"]))


@dataclass(frozen=True)
class GridInfo:
    """The planned configurations of one optimizer on one task: every combination of its axes' values, or a design.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        axes: what is swept; the first axis turns slowest. None at all is a grid of one configuration.
        design: how the configurations were chosen. Those of `tpe` are read off the runs.
        points: the configurations of a random or Sobol design, in values of the axes.
        n_planned: number of runs of `tpe`, known before its configurations are.
    """

    task: str
    optimizer: str
    axes: tuple[AxisInfo, ...]
    design: Design = "grid"
    points: Points = ()
    n_planned: int = 0

    def __post_init__(self) -> None:
        if len(self.names) > len(set(self.names)):
            raise TableError(f"the axes of a grid must differ, but {self.title} has {', '.join(self.names)}.")

    @classmethod
    def of_points(
        cls,
        task: str,
        optimizer: str,
        axes: Sequence[tuple[str, Scale]],
        points: Points,
        *,
        design: Design,
        n_planned: int = 0,
    ) -> Self:
        """Return a design with these points, whose axes hold the values that occur."""
        columns = list(zip(*points, strict=True)) or [()] * len(axes)
        found = (
            AxisInfo(name, scale, tuple(dict.fromkeys(column)))
            for (name, scale), column in zip(axes, columns, strict=True)
            if column
        )
        return cls(task, optimizer, tuple(found), design, points, n_planned)

    @property
    def is_adaptive(self) -> bool:
        """Whether each configuration was chosen by the scores of those before it."""
        return self.design == "tpe"

    @property
    def title(self) -> str:
        """Name of the grid for messages."""
        return f"{self.optimizer} on {self.task}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def n_configurations(self) -> int:
        """Number of points."""
        return math.prod(self.shape) if self.design == "grid" else len(self.points)

    def axis(self, name: str) -> AxisInfo | None:
        """Return the axis of that name, if the grid has it."""
        return next((axis for axis in self.axes if axis.name == name), None)

    def hyperparameters(self, configuration: int) -> dict[str, Scalar]:
        """Return the swept hyperparameters of the point with that number."""
        if self.design != "grid":
            return dict(zip(self.names, self.points[configuration], strict=True))
        places = np.unravel_index(configuration, self.shape)
        return {axis.name: axis.values[place] for axis, place in zip(self.axes, places, strict=True)}
