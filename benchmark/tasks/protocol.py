"""What a task is: data, model, loss and metrics by name, with a version and typed parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import ValidationError as PydanticError
from torch import Tensor, nn

from benchmark.canonical import round_significant
from benchmark.errors import Problem
from benchmark.parsing import SpecModel, problems_of
from benchmark.records import Scalar

Batch = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A score of a task.

    Attributes:
        name: without the `val_` or `test_` under which a record holds it.
        goal: which way is better.
        tolerance: in raw units; scores within it of the best count as good unless a spec says otherwise.
        chance: the level of a model that has learned nothing; for a loss, its value before training.
        description: one line for people.
    """

    name: str
    goal: Literal["maximize", "minimize"]
    tolerance: float
    chance: float
    description: str


@dataclass(frozen=True, slots=True)
class Splits:
    """The data of one seed: each split is a tuple of tensors with the examples along the first dimension."""

    train: Batch
    validation: Batch
    test: Batch

    def to(self, device: torch.device) -> "Splits":
        """Return the splits on `device`."""
        moved = (tuple(tensor.to(device) for tensor in split) for split in (self.train, self.validation, self.test))
        return Splits(*moved)


class NoParameters(SpecModel):
    """The parameters of a task that has none."""


class Task(ABC):
    """A task with its parameters; one instance serves every cell of a process.

    A subclass sets the class attributes and the abstract methods. It draws randomness from nothing but the seed it is
    given and, in `model`, torch's global generator, which the caller has seeded.

    Attributes:
        name: by which specs name it.
        version: a positive number; raise it whenever the same spec would give other results.
        title: one line for people.
        source: where the data comes from, and under which licence.
        metrics: its scores, the primary one first.
        Parameters: pydantic model of its parameters; every field has a default and a range.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    title: ClassVar[str]
    source: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    Parameters: ClassVar[type[SpecModel]] = NoParameters

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = self.Parameters.model_validate(params)

    @classmethod
    def parse_params(cls, given: Mapping[str, Scalar | str]) -> tuple[dict[str, Scalar | str], list[Problem]]:
        """Return the parameters with defaults filled in and floats rounded, and what is wrong with those given."""
        try:
            values = cls.Parameters.model_validate(given).model_dump(mode="json")
        except PydanticError as error:
            return {}, problems_of(error, given)
        return {
            name: round_significant(value) if isinstance(value, float) else value for name, value in values.items()
        }, []

    @property
    @abstractmethod
    def data_version(self) -> str:
        """Checksum of the data, part of the fingerprint of every record."""

    @abstractmethod
    def splits(self, seed: int) -> Splits:
        """Return the data of a seed, on the CPU; disjoint splits, the same for every optimizer."""

    @abstractmethod
    def model(self) -> nn.Module:
        """Return a freshly initialised model on the CPU, drawn from torch's global generator."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the data loss of a batch, a scalar that can be differentiated."""

    @abstractmethod
    def evaluate(self, model: nn.Module, split: Batch) -> dict[str, Tensor]:
        """Return the value of every metric, `loss` among them, on a whole split, as scalars on its device."""

    @abstractmethod
    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        """Whether a finished run learned nothing.

        Args:
            train_loss: data loss on the whole training split after training.
            scores: the metrics on the test split.
        """
