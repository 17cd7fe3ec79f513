"""The errors that `benchmark` raises, under one base class.

BenchmarkError
├── SpecError         a spec that breaks a rule; carries one problem a broken rule
├── UnknownTaskError  a task that is not registered
├── TaskDataError     data of a task that is missing or damaged
├── TaskFaultError    a task of a user's own whose code fails
├── TableError        runs from which no robustness table can be made
├── ComparisonError   a baseline and a candidate that cannot be compared, or limits that cannot be set
├── RerunError        packs that cannot be trained again as they were
├── FusionError       cells that are to be trained together and cannot be
├── PluginError       plug-ins that are allowed and cannot be loaded
└── RayUnavailableError  Ray cannot be started or reached
"""

from collections.abc import Iterable
from dataclasses import dataclass


class BenchmarkError(Exception):
    """Base of every error that `benchmark` raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule of a spec.

    Attributes:
        pointer: to where (a JSON pointer, RFC 6901).
        detail: what is wrong there.
        line: of the text that the spec was read from, counted from 1; None where it is not known.
    """

    pointer: str
    detail: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.pointer or 'the spec'}: {self.detail}"


class SpecError(BenchmarkError):
    """A spec breaks at least one rule; `problems` lists them all."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("the spec is not valid:\n" + "\n".join(f"  {problem}" for problem in self.problems))


class UnknownTaskError(BenchmarkError):
    """No task of that name is registered."""


class TaskDataError(BenchmarkError):
    """The data of a task is missing or not what its checksum says."""


class TaskFaultError(BenchmarkError):
    """The code of a task fails where every cell needs it, as it may of a task that a user added."""


class TableError(BenchmarkError):
    """The given runs do not allow the robustness table that was asked for."""


class ComparisonError(BenchmarkError):
    """A baseline and a candidate cannot be compared, or replays cannot set the limits that were asked for."""


class RerunError(BenchmarkError):
    """Records cannot be trained again as they were: they are no results, or some of them are gone."""


class FusionError(BenchmarkError):
    """Cells that a spec wants trained together cannot be, although their task says so."""


class PluginError(BenchmarkError):
    """A plug-in that is allowed is not installed, cannot be imported, or offers what cannot be used."""


class RayUnavailableError(BenchmarkError):
    """Ray cannot be started on this machine or reached at its address."""
