"""What a hyperparameter is: its type, range, default and meaning, with one check for all."""

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from optimizers.errors import HyperparameterError, nearest

__all__ = ["Hyperparameter", "Value", "refuse_unknown"]

Value: TypeAlias = float | int | bool


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of a rule or of a base optimizer.

    Attributes:
        name: as it is written in a constructor and in a parameter group.
        kind: ``float``, ``int`` or ``bool``.
        default: None where a value must be given.
        low: lower end of the range.
        high: upper end of the range.
        low_open: whether the lower end itself is excluded.
        high_open: whether the upper end itself is excluded.
        description: what it does, in one line.
        per_group: whether parameter groups may differ in it; what enters a global projection may not.

    Raises:
        HyperparameterError: the range is empty or the default lies outside it.
    """

    name: str
    kind: type[float] | type[int] | type[bool]
    default: Value | None = None
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    description: str = ""
    per_group: bool = True

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            message = f"low <= high must hold, but {self.name} got low={self.low:g}, high={self.high:g}."
            raise HyperparameterError(self.name, message)
        if self.default is not None:
            object.__setattr__(self, "default", self.check(self.default))

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is None

    @property
    def range(self) -> str:
        """The range as a condition, such as ``0 <= rho < inf``."""
        if self.kind is bool:
            return f"{self.name} is true or false"
        below = "<" if self.low_open or math.isinf(self.low) else "<="
        above = "<" if self.high_open or math.isinf(self.high) else "<="
        return f"{self.low:g} {below} {self.name} {above} {self.high:g}"

    def check(self, value: object) -> Value:
        """Return ``value`` as this hyperparameter's type.

        Args:
            value: what was given. A truth value is no number, and an integer is a fine float.

        Raises:
            HyperparameterError: wrong type, NaN, infinite or out of range.
        """
        if self.kind is bool:
            if isinstance(value, bool):
                return value
            raise self._refusal(value)
        number = numbers.Integral if self.kind is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, number):
            raise self._refusal(value)
        typed = int(value) if isinstance(value, numbers.Integral) and self.kind is int else float(value)
        above = self.low < typed if self.low_open else self.low <= typed
        below = typed < self.high if self.high_open else typed <= self.high
        if not (math.isfinite(typed) and above and below):
            raise self._refusal(value)
        return typed

    def _refusal(self, value: object) -> HyperparameterError:
        noun = {float: "a finite number", int: "an integer", bool: "a truth value"}[self.kind]
        message = f"{self.range} must hold and {self.name} be {noun}, but got {self.name}={value!r}."
        return HyperparameterError(self.name, message)


def refuse_unknown(given: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Refuse names that are not known.

    Args:
        given: names received.
        known: names that may be given.
        owner: what has them, such as ``"msam over sgd"``.

    Raises:
        HyperparameterError: one is unknown; the message has the nearest that is known.
    """
    choices = sorted(known)
    for name in given:
        if name in choices:
            continue
        guess = nearest(name, choices)
        hint = f"; did you mean {guess!r}?" if guess else "."
        if name == "adaptive":
            hint = "; adaptive SAM is a rule of its own here: use ASAM."
        raise HyperparameterError(
            name, f"unknown hyperparameter {name!r} of {owner}{hint} Known: {', '.join(choices)}."
        )
