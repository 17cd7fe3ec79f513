"""The rows of a robustness table as values, with their translation to plain values and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from benchmark.records import Scalar
from benchmark.robustness.intervals import Sample
from benchmark.robustness.ranks import Rank
from benchmark.robustness.scoring import AxisInfo, Design

End = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of the table.

    Attributes:
        value: normalised for a score, else in the measure's unit; None where it is not defined.
        raw: the score in raw units; the value itself for what is no score.
        low: lower end of the interval of `value`; None where there is none.
        high: upper end.
        level: nominal coverage of the interval.
        method: how the interval was made.
        reason: why value or interval is missing, or on what less than the whole grid the value rests.
        flags: `leads` (better than each other ranked row by the interval of the paired difference), `incomplete`
            (rests on less than the whole grid), `border_AXIS_low|high` and `tied` (best), `censored_low|high` (width),
            `tolerance_covers_floor` (a diverged run counts as good), `amortised` (seconds).
    """

    value: float | None = None
    raw: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    reason: str | None = None
    flags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the measure as plain values that JSON can hold."""
        return {**{item.name: getattr(self, item.name) for item in fields(self)}, "flags": list(self.flags)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the measure that `to_dict` wrote."""
        return cls(**{**document, "flags": tuple(document["flags"])})


@dataclass(frozen=True, slots=True)
class RowGrid:
    """The grid of a row.

    Attributes:
        design: how the configurations were chosen.
        axes: what the optimizer swept.
        n_configurations: number of its points.
        n_complete: how many of them have a result for every seed.
        broadcast: axes of the common grid along which the optimizer is constant.
        reason: why the row is not ranked.
        trace: of an adaptive search: the test mean, in raw units, of the best by validation after each configuration.
    """

    design: Design
    axes: tuple[AxisInfo, ...]
    n_configurations: int
    n_complete: int
    broadcast: tuple[str, ...]
    reason: str | None
    trace: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as plain values that JSON can hold."""
        return {
            "design": self.design,
            "axes": [axis.to_dict() for axis in self.axes],
            "n_configurations": self.n_configurations,
            "n_complete": self.n_complete,
            "broadcast": list(self.broadcast),
            "reason": self.reason,
            "trace": None if self.trace is None else list(self.trace),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the grid that `to_dict` wrote."""
        axes = tuple(AxisInfo.from_dict(axis) for axis in document["axes"])
        trace = None if document["trace"] is None else tuple(document["trace"])
        return cls(**{**document, "axes": axes, "broadcast": tuple(document["broadcast"]), "trace": trace})


@dataclass(frozen=True, slots=True)
class Border:
    """An end of an axis on which the best configuration lies: the grid should go on there.

    Attributes:
        axis: name of the hyperparameter.
        end: which end.
        values: the next values in the spacing of the axis; none where there is nothing beyond.
        spacing: what that is: same ratio, same step, or halves.
        space: the axis with these values as a spec has it; all old values are in it to the digit.
    """

    axis: str
    end: End
    values: tuple[Scalar, ...]
    spacing: str
    space: Mapping[str, Any]

    @property
    def advice(self) -> str:
        """What to do, for people."""
        if not self.values:
            return f"{self.axis} cannot go on below its {self.end} end"
        direction = "upward" if self.end == "high" else "downward"
        added = ", ".join(f"{value:.4g}" for value in self.values)
        space = ", ".join(f"{name}: {_flow(value)}" for name, value in self.space.items())
        return f"extend {self.axis} {direction}: add {added} ({self.spacing}) by {self.axis}: {{{space}}}"

    def to_dict(self) -> dict[str, Any]:
        """Return the border as plain values that JSON can hold, with the advice."""
        return {**asdict(self), "values": list(self.values), "advice": self.advice}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the border that `to_dict` wrote."""
        named = {name: value for name, value in document.items() if name != "advice"}
        return cls(**{**named, "values": tuple(document["values"])})


def _flow(value: Any) -> str:
    return f"[{', '.join(map(repr, value))}]" if isinstance(value, list) else repr(value)


@dataclass(frozen=True, slots=True)
class BestPoint:
    """The configuration with the best validation mean: its swept hyperparameters and the borders it lies on."""

    hyperparameters: Mapping[str, Scalar]
    borders: tuple[Border, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the point as plain values that JSON can hold."""
        return {"hyperparameters": dict(self.hyperparameters), "borders": [border.to_dict() for border in self.borders]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the point that `to_dict` wrote."""
        return cls(document["hyperparameters"], tuple(Border.from_dict(border) for border in document["borders"]))


@dataclass(frozen=True, slots=True)
class Row:
    """What the table says of one optimizer on one task.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        ranked: whether the row can be compared with the others: complete, and on the common grid.
        grid: its grid, with the reason where it is not ranked.
        best: its best configuration; None where none is complete.
        measures: by name, in the order of the registry.
        rank: by grid mean among the ranked rows of the task, with the ranks that are not ruled out; None where it is
            not ranked.
        samples: the spread of the measures over the seeds, for paired differences; empty in a table read from JSON.
    """

    task: str
    optimizer: str
    ranked: bool
    grid: RowGrid
    best: BestPoint | None
    measures: Mapping[str, Measure]
    rank: Rank | None = None
    samples: Mapping[str, Sample] = field(default_factory=dict, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values that JSON can hold."""
        return {
            "task": self.task,
            "optimizer": self.optimizer,
            "ranked": self.ranked,
            "rank": None if self.rank is None else self.rank.to_dict(),
            "grid": self.grid.to_dict(),
            "best": None if self.best is None else self.best.to_dict(),
            "measures": {name: measure.to_dict() for name, measure in self.measures.items()},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the row that `to_dict` wrote."""
        return cls(
            task=document["task"],
            optimizer=document["optimizer"],
            ranked=document["ranked"],
            rank=None if document["rank"] is None else Rank.from_dict(document["rank"]),
            grid=RowGrid.from_dict(document["grid"]),
            best=None if document["best"] is None else BestPoint.from_dict(document["best"]),
            measures={name: Measure.from_dict(measure) for name, measure in document["measures"].items()},
        )
