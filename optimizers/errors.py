"""The exception tree of the package.

OptimizersError
├── UnknownNameError        a name that no registry knows
├── HyperparameterError     a value outside its range, missing, or one too many   (also ValueError)
├── ParameterError          a tensor that cannot be perturbed                     (also ValueError)
├── BaseOptimizerError      a base optimizer that cannot serve a rule             (also TypeError)
├── RegistrationError       an optimizer of one's own that cannot be named        (also ValueError)
└── StepOrderError          the half steps of an update called out of order       (also RuntimeError)
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "BaseOptimizerError",
    "HyperparameterError",
    "OptimizersError",
    "ParameterError",
    "RegistrationError",
    "StepOrderError",
    "UnknownNameError",
    "nearest",
    "unknown_name_message",
]


class OptimizersError(Exception):
    """Root of every error that this package raises on purpose."""


class UnknownNameError(OptimizersError):
    """A name is not among the known ones.

    Attributes:
        name: the name received.
        choices: the known names, sorted.
        nearest: the known name that resembles it most, None where none does.
    """

    def __init__(self, kind: str, name: str, choices: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.choices = tuple(sorted(choices))
        self.nearest = nearest(name, self.choices)
        super().__init__(unknown_name_message(kind, name, self.choices))

    def __reduce__(self) -> tuple[type["UnknownNameError"], tuple[str, str, tuple[str, ...]]]:
        # Exceptions are pickled with their message alone; a worker process has to send this one home whole.
        return type(self), (self.kind, self.name, self.choices)


class HyperparameterError(OptimizersError, ValueError):
    """A hyperparameter is out of range, of the wrong type, missing or unknown.

    Attributes:
        name: the hyperparameter's name.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)

    def __reduce__(self) -> tuple[type["HyperparameterError"], tuple[str, str]]:
        return type(self), (self.name, str(self))


class ParameterError(OptimizersError, ValueError):
    """A tensor cannot be optimized here: complex, sparse, of a foreign class or on another device than the rest."""


class BaseOptimizerError(OptimizersError, TypeError):
    """The base optimizer is no optimizer class, or one that cannot serve the rule over it."""


class RegistrationError(OptimizersError, ValueError):
    """An optimizer of one's own lacks something, or has a name that is taken."""


class StepOrderError(OptimizersError, RuntimeError):
    """The half steps of an update were called out of order."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that resembles ``name`` most, None where none comes close.

    Args:
        name: what was written.
        choices: what could have been meant.
    """
    known = sorted(choices)
    written = name.lower()
    # Letters that changed places are the commonest slip, and difflib rates it below a letter left out.
    swapped = [choice for choice in known if sorted(choice.lower()) == sorted(written)]
    matches = swapped or difflib.get_close_matches(written, known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_name_message(kind: str, name: str, choices: Iterable[str]) -> str:
    """Say that a name is unknown, which one may be meant, and which there are.

    Args:
        kind: what is named, such as ``"optimizer"``.
        name: the name received.
        choices: the known names.
    """
    known = sorted(choices)
    guess = nearest(name, known)
    hint = f"; did you mean {guess!r}?" if guess else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(known) or 'none'}."
