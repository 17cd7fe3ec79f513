"""Grids: one optimizer on one task with every hyperparameter resolved, and the cells on it."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from benchmark.canonical import canonical_json, content_hash, round_significant, text_hash
from benchmark.records import Scalar
from benchmark.spec.axes import Scale
from benchmark.spec.designs import unit_points
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
    """A configuration and a seed: one training run.

    Attributes:
        task: label of the task in the job.
        optimizer: label of the optimizer in the job.
        setting: task, rule, base and budget.
        hyperparameters: of the rule and its base; of a radius-matched control those of its partner.
        seed: of all randomness.
        key: hash of all that, and of its partner's key.
        partner: key of the M-SAM cell whose radius a radius-matched control takes; None for every other cell.
        radius: mean norm of the partner's perturbations; None until the partner has run.
    """

    task: str
    optimizer: str
    setting: Setting
    hyperparameters: Mapping[str, Scalar]
    seed: int
    key: str
    partner: str | None = None
    radius: float | None = None

    @property
    def trained_with(self) -> Mapping[str, Scalar]:
        """Hyperparameters of its training: those of a control have the partner's mean radius, from the first step."""
        if self.radius is None:
            return self.hyperparameters
        return {**self.hyperparameters, "rho": self.radius, "rho_warmup": 0.0}

    @property
    def recorded(self) -> Mapping[str, Scalar]:
        """Hyperparameters as its record has them: with the `radius` that a control was trained at."""
        return self.hyperparameters if self.radius is None else {**self.hyperparameters, "radius": self.radius}


@dataclass(frozen=True)
class GridAxis:
    """One axis of a grid: the typed values of one hyperparameter, and how they are spaced.

    In a design the values of a log or linear axis are its two ends.
    """

    name: str
    scale: Scale
    values: tuple[Scalar, ...]

    def at(self, share: float) -> Scalar:
        """Return the value of a design at a share, in [0, 1), of the axis: every whole number takes an equal part."""
        if self.scale == "values":
            return self.values[int(share * len(self.values))]
        low, high = self.values
        if isinstance(low, int):
            return min(int(self._between(low, high + 1, share)), int(high))
        return min(max(round_significant(self._between(low, high, share)), low), high)

    def holds(self, value: Scalar) -> bool:
        """Whether a value can be one of a design."""
        return value in self.values if self.scale == "values" else self.values[0] <= value <= self.values[1]

    def _between(self, low: float, high: float, share: float) -> float:
        return float(low ** (1 - share) * high**share) if self.scale == "log" else low * (1 - share) + high * share


@dataclass(frozen=True)
class Design:
    """How configurations are chosen that are no grid.

    Attributes:
        method: as in the spec.
        n_configurations: how many.
        seed: of the choice.
        names: of all axes of the job, in the order of the spec.
    """

    method: Literal["random", "sobol", "tpe"]
    n_configurations: int
    seed: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """The configurations of one optimizer on one task: every combination of the values of its axes, or a design.

    Attributes:
        task: label of the task in the job.
        optimizer: label of the optimizer in the job.
        setting: what all its configurations share.
        axes: what is swept; the first axis turns slowest.
        fixed: all other hyperparameters of the rule and its base.
        metric: what scores the cells.
        tolerance: in raw units of the metric.
        design: how the configurations are chosen; None for every combination.
        partner: of a radius-matched control, the setting of the M-SAM cells on the same points; else None.
    """

    task: str
    optimizer: str
    setting: Setting
    axes: tuple[GridAxis, ...]
    fixed: Mapping[str, Scalar]
    metric: Metric
    tolerance: float
    design: Design | None = None
    partner: Setting | None = None

    @property
    def title(self) -> str:
        """Name of the grid for messages."""
        return f"{self.optimizer} on {self.task}"

    @property
    def is_adaptive(self) -> bool:
        """Whether each configuration depends on the scores of those before: they are not known ahead."""
        return self.design is not None and self.design.method == "tpe"

    @property
    def n_configurations(self) -> int:
        """Number of points; computed, not counted."""
        return self.design.n_configurations if self.design else math.prod(len(axis.values) for axis in self.axes)

    @property
    def points(self) -> Iterator[tuple[Scalar, ...]]:
        """The values along the axes of each configuration; none where they are not known ahead."""
        if self.is_adaptive:
            return iter(())
        return iter(self._drawn) if self.design else itertools.product(*(axis.values for axis in self.axes))

    def configuration(self, point: Iterable[Scalar]) -> dict[str, Scalar]:
        """Return all hyperparameters of a point, names sorted."""
        names = (axis.name for axis in self.axes)
        return dict(sorted({**self.fixed, **dict(zip(names, point, strict=True))}.items()))

    def configurations(self) -> Iterator[dict[str, Scalar]]:
        """Yield the hyperparameters of each point, names sorted; of none where they are not known ahead."""
        return (self.configuration(point) for point in self.points)

    def cells(self, seeds: range) -> Iterator[Cell]:
        """Yield the cells: for each point all of its seeds; none where the points are not known ahead."""
        for hyperparameters in self.configurations():
            yield from self.cells_of(hyperparameters, seeds)

    def cells_of(self, hyperparameters: Mapping[str, Scalar], seeds: Iterable[int]) -> Iterator[Cell]:
        """Yield the cells of one configuration."""
        for seed, key, partner in self._keys(hyperparameters, seeds):
            yield Cell(
                task=self.task,
                optimizer=self.optimizer,
                setting=self.setting,
                hyperparameters=hyperparameters,
                seed=seed,
                key=key,
                partner=partner,
            )

    def keys_of(self, hyperparameters: Mapping[str, Scalar], seeds: Iterable[int]) -> list[str]:
        """Return the keys of `cells_of`: a cell takes longer to make than its key."""
        return [key for _, key, _ in self._keys(hyperparameters, seeds)]

    def holds(self, setting_key: str, hyperparameters: Mapping[str, Scalar]) -> bool:
        """Whether a configuration can be one of a design's."""
        if setting_key != self.setting.key or hyperparameters.keys() != {*self.fixed, *(a.name for a in self.axes)}:
            return False
        is_fixed = all(hyperparameters[name] == value for name, value in self.fixed.items())
        return is_fixed and all(axis.holds(hyperparameters[axis.name]) for axis in self.axes)

    def overlaps(self, other: "Grid") -> bool:
        """Whether the two grids have a configuration in common; of designs that are not known ahead, may have."""
        if self.setting.key != other.setting.key or self.partner != other.partner:
            return False
        if any(_are_apart(*pair) for pair in zip(self._spans, other._spans, strict=True)):
            return False
        if self.is_adaptive or other.is_adaptive:
            return True
        if self.design or other.design:
            theirs = {tuple(one.items()) for one in other.configurations()}
            return any(tuple(one.items()) in theirs for one in self.configurations())
        return not any(self._values[name].isdisjoint(other._values[name]) for name in self._values)

    def _keys(
        self, hyperparameters: Mapping[str, Scalar], seeds: Iterable[int]
    ) -> Iterator[tuple[int, str, str | None]]:
        """Yield each seed of one configuration with the key of its cell, and that of the partner of a control."""
        written = canonical_json(dict(hyperparameters))
        for seed in seeds:
            partner = _key(self.partner, written, seed) if self.partner else None
            yield seed, _key(self.setting, written, seed, partner), partner

    @cached_property
    def _values(self) -> dict[str, frozenset[Scalar]]:
        """The values of each hyperparameter."""
        fixed = {name: frozenset((value,)) for name, value in self.fixed.items()}
        return fixed | {axis.name: frozenset(axis.values) for axis in self.axes}

    @property
    def _spans(self) -> list[tuple[Scalar, Scalar]]:
        """The lowest and highest value of each hyperparameter, by name."""
        return [(min(values), max(values)) for _, values in sorted(self._values.items())]

    @cached_property
    def _drawn(self) -> tuple[tuple[Scalar, ...], ...]:
        """The points of a design; one that rounding makes equal to an earlier one is left out, and a further one in."""
        if self.design is None or self.design.method == "tpe":
            return ()
        n = n_drawn = self.design.n_configurations
        names = [axis.name for axis in self.axes]
        while True:
            shares = unit_points(self.design.method, self.design.seed, names, n_drawn, self.design.names).tolist()
            points = dict.fromkeys(
                tuple(axis.at(share) for axis, share in zip(self.axes, row, strict=True)) for row in shares
            )
            if len(points) >= n:
                return tuple(itertools.islice(points, n))
            n_drawn += n


def _are_apart(one: tuple[Scalar, Scalar], other: tuple[Scalar, Scalar]) -> bool:
    return one[1] < other[0] or other[1] < one[0]


def config_key(setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int, partner: str | None = None) -> str:
    """Return the hash that identifies a cell in every job: configuration, seed, and of a control its partner."""
    return _key(setting, canonical_json(dict(hyperparameters)), seed, partner)


def _key(setting: Setting, hyperparameters: str, seed: int, partner: str | None = None) -> str:
    """Return the hash of {hyperparameters, partner, seed, setting}, from hyperparameters that are written already.

    It is the content hash of that document. All seeds of a configuration share the part that takes the time.
    """
    paired = "" if partner is None else f'"partner":"{partner}",'
    return text_hash(f'{{"hyperparameters":{hyperparameters},{paired}"seed":{seed},"setting":"{setting.key}"}}')


def expand(spec: "Spec") -> Iterator[Cell]:
    """Yield every cell of a spec that is known ahead, grid after grid, lazily."""
    for grid in spec.grids:
        yield from grid.cells(spec.seeds.values)
