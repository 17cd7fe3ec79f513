"""Axes: the values over which one hyperparameter is swept."""

import itertools
import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchmark.canonical import round_significant
from benchmark.errors import Problem
from benchmark.parsing import Integer, Number, Scalar, SpecModel, pointer

MAX_AXIS_VALUES = 1_000
ROOM = 1e-10  # between two points, as a share of them, in which rounding cannot make them one
TINY = 1e-290  # below, numbers lose their digits
Scale = Literal["log", "linear", "values"]
Interval = Annotated[tuple[Number, Number], Field(description="lowest and highest value, both on the axis")]


class Axis(SpecModel):
    """One axis of a space: `{log: [low, high], n: k}`, `{linear: [low, high], n: k}` or `{values: [...]}`.

    An interval has `n` points in a grid; in every other search it has none, and the search puts its points into it.
    """

    log: Interval | None = None
    linear: Interval | None = None
    values: (
        Annotated[tuple[Scalar, ...], Field(max_length=MAX_AXIS_VALUES, description="the points, one by one")] | None
    ) = None
    n: (
        Annotated[Integer, Field(ge=1, le=MAX_AXIS_VALUES, description="points of an interval, ends included")] | None
    ) = None

    @model_validator(mode="after")
    def _check(self) -> "Axis":
        given = [name for name in ("log", "linear", "values") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"an axis must have exactly one of log, linear, values, but got {', '.join(given) or 'none'}."
            )
        if self.values is not None:
            self._check_values(self.values)
        else:
            self._check_interval(*(self.log or self.linear or (math.nan, math.nan)))
        return self

    def _check_values(self, values: tuple[float, ...]) -> None:
        if self.n is not None:
            raise ValueError("n goes with log and linear only; an axis of values has as many points as values.")
        if not values:
            raise ValueError("an axis must have at least one value, but got an empty list.")
        for first, second in itertools.pairwise(sorted(round_significant(value) for value in values)):
            if first == second:
                raise ValueError(f"the values of an axis must differ, but got {first!r} twice.")

    def _check_interval(self, low: float, high: float) -> None:
        if not low <= high:
            raise ValueError(f"low <= high must hold, but got low={low!r}, high={high!r}.")
        if self.log is not None and not low > 0:
            raise ValueError(f"low > 0 must hold on a log axis, but got low={low!r}.")
        if self.n is None:
            return
        if (self.n == 1) != (low == high):
            raise ValueError(f"n = 1 and low = high go together, but got low={low!r}, high={high!r}, n={self.n}.")
        if not self._has_room(low, high, self.n) and len(set(self.points())) < self.n:
            raise ValueError(
                f"the points of an axis must differ, but low={low!r}, high={high!r} leave no room for n={self.n}."
            )

    def _has_room(self, low: float, high: float, n: int) -> bool:
        """Whether rounding surely leaves all points apart: known without computing any, of which a spec can have many.

        Rounded numbers of 12 digits are at most 1e-11 of themselves apart.
        """
        if n == 1:
            return True
        if self.log is not None:
            return low > TINY and (high / low) ** (1 / (n - 1)) - 1 > ROOM
        return (high - low) / (n - 1) > max(ROOM * max(abs(low), abs(high)), TINY)

    @property
    def scale(self) -> Scale:
        """How the points are spaced."""
        return "log" if self.log is not None else "linear" if self.linear is not None else "values"

    @property
    def n_points(self) -> int:
        """Number of points."""
        return len(self.values) if self.values is not None else self.n or 2

    def points(self) -> tuple[Scalar, ...]:
        """Return the points, floats rounded to 12 significant digits; of an interval without `n` its two ends."""
        if self.values is not None:
            return tuple(round_significant(value) if isinstance(value, float) else value for value in self.values)
        low, high = self.log or self.linear or (math.nan, math.nan)
        steps = max(self.n_points - 1, 1)
        shares = (index / steps for index in range(self.n_points))
        if self.log is not None:
            inner = (low ** (1 - share) * high**share for share in shares)
        else:
            inner = (low * (1 - share) + high * share for share in shares)
        return tuple(round_significant(value) for value in inner)

    def of_ends(self) -> "Axis":
        """Return an interval of its two ends alone; values as they are."""
        return self if self.n is None or self.n < 2 else self.model_copy(update={"n": 2})

    def problem(self, index: int, place: tuple[int | str, ...], detail: str) -> Problem:
        """Return the problem of the point at `index`, pointing at what in the spec made it."""
        if self.values is not None:
            return Problem(pointer(*place, "values", index), detail)
        ends = {0: (0,), self.n_points - 1: (1,)}
        return Problem(pointer(*place, self.scale, *ends.get(index, ())), detail)
