"""Grids: one optimizer on one task with every hyperparameter resolved, and the cells on it."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmark.canonical import content_hash
from benchmark.records import Scalar
from benchmark.spec.axes import Scale
from benchmark.spec.models import Budget
from benchmark.tasks import Metric, ParamValue

if TYPE_CHECKING:
    from benchmark.spec.spec import Spec


@dataclass(frozen=True)
class Setting:
    """A configuration without its hyperparameters: task, rule, base and budget.

    Attributes:
        task: name of the task.
        task_version: its version; results change, it changes.
        task_params: its parameters, defaults filled in.
        rule: name of the optimizer's rule.
        base: name of the base optimizer.
        budget: how long and on what schedule.
    """

    task: str
    task_version: int
    task_params: Mapping[str, ParamValue]
    rule: str
    base: str
    budget: Budget

    def to_dict(self) -> dict[str, Any]:
        """Return the setting as plain values; what is hashed."""
        return {
            "task": {"name": self.task, "version": self.task_version, "params": dict(self.task_params)},
            "optimizer": {"rule": self.rule, "base": self.base},
            "budget": self.budget.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Setting":
        """Return the setting that `to_dict` wrote."""
        task, optimizer = document["task"], document["optimizer"]
        budget = Budget.model_validate(document["budget"])
        return cls(task["name"], task["version"], task["params"], optimizer["rule"], optimizer["base"], budget)

    @cached_property
    def key(self) -> str:
        """Hash of the setting."""
        return content_hash(self.to_dict())


@dataclass(frozen=True, slots=True)
class Cell:
    """A configuration and a seed: one training run."""

    task: str
    optimizer: str
    setting: Setting
    hyperparameters: Mapping[str, Scalar]
    seed: int
    key: str


@dataclass(frozen=True)
class GridAxis:
    """One axis of a grid: the typed values of one hyperparameter, and how they are spaced."""

    name: str
    scale: Scale
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Grid:
    """The configurations of one optimizer on one task.

    Attributes:
        task: label of the task in the job.
        optimizer: label of the optimizer in the job.
        setting: what all its configurations share.
        axes: what is swept; the first axis turns slowest.
        fixed: all other hyperparameters of the rule and its base.
        metric: what scores the cells.
        tolerance: in raw units of the metric.
    """

    task: str
    optimizer: str
    setting: Setting
    axes: tuple[GridAxis, ...]
    fixed: Mapping[str, Scalar]
    metric: Metric
    tolerance: float

    @property
    def title(self) -> str:
        """Name of the grid for messages."""
        return f"{self.optimizer} on {self.task}"

    @property
    def n_configurations(self) -> int:
        """Number of points; computed, not counted."""
        return math.prod(len(axis.values) for axis in self.axes)

    def configurations(self) -> Iterator[dict[str, Scalar]]:
        """Yield the hyperparameters of each point, names sorted."""
        names = [axis.name for axis in self.axes]
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(sorted({**self.fixed, **dict(zip(names, values, strict=True))}.items()))

    def cells(self, seeds: range) -> Iterator[Cell]:
        """Yield the cells: for each point all of its seeds."""
        for hyperparameters in self.configurations():
            for seed in seeds:
                yield Cell(
                    task=self.task,
                    optimizer=self.optimizer,
                    setting=self.setting,
                    hyperparameters=hyperparameters,
                    seed=seed,
                    key=config_key(self.setting, hyperparameters, seed),
                )

    def overlaps(self, other: "Grid") -> bool:
        """Whether the two grids have a configuration in common."""
        if self.setting.key != other.setting.key:
            return False
        return not any(self._values[name].isdisjoint(other._values[name]) for name in self._values)

    @cached_property
    def _values(self) -> dict[str, frozenset[Scalar]]:
        """The values of each hyperparameter."""
        fixed = {name: frozenset((value,)) for name, value in self.fixed.items()}
        return fixed | {axis.name: frozenset(axis.values) for axis in self.axes}


def config_key(setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int) -> str:
    """Return the hash that identifies a cell in every job: its configuration and its seed."""
    return content_hash({"setting": setting.key, "hyperparameters": dict(hyperparameters), "seed": seed})


def expand(spec: "Spec") -> Iterator[Cell]:
    """Yield every cell of a spec, grid after grid, lazily."""
    for grid in spec.grids:
        yield from grid.cells(spec.seeds.values)
