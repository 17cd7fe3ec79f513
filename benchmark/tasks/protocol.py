"""What a task is: data, model, loss and metrics by name, with a version and typed parameters."""

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError as PydanticError
from torch import Tensor, nn

from benchmark.canonical import round_significant
from benchmark.errors import Problem
from benchmark.parsing import SpecModel, problems_of
from benchmark.records import Scalar
from benchmark.seeding import Stream, seeded_torch
from benchmark.tasks.lazy import LazyRows, Split, in_memory

N_STARTS = 200
N_SEEDS_KEPT = 32

Batch = tuple[Tensor, ...]
Model = Callable[..., Any]
ParamValue = Scalar | str | list[Scalar]


@dataclass(frozen=True, slots=True)
class Metric:
    """A score of a task.

    Attributes:
        name: without the `val_` or `test_` under which a record holds it.
        goal: which way is better.
        tolerance: in raw units; scores within it of the best count as good unless a spec says otherwise.
        chance: the level of a model that has learned nothing; for a loss, its value before training.
        description: one line for people.
        at_end: whether it is measured once, after the last step, and not along the curve.
    """

    name: str
    goal: Literal["maximize", "minimize"]
    tolerance: float
    chance: float
    description: str
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Splits:
    """The data of one seed: each split is a tuple of tensors with the examples along the first dimension.

    A task without a split gives `train` alone, and is scored on it. Columns of `train` may be `LazyRows`, which are
    read batch by batch: give them by `cast(Batch, ...)`, for few tasks have any, and only what takes a `Split` meets
    them.
    """

    train: Batch
    validation: Batch = ()
    test: Batch = ()

    def __post_init__(self) -> None:
        for name in self.__slots__:
            lengths = [len(column) for column in getattr(self, name)]
            if len(set(lengths)) > 1 or 0 in lengths:
                raise ValueError(f"the tensors of a split must have one length, at least 1, but {name} has {lengths}.")
        if not self.train:
            raise ValueError("train must hold at least one tensor, but got none.")

    def to(self, device: torch.device) -> "Splits":
        """Return the splits on `device`; what is read stays where it is, and is sent there batch by batch."""
        return Splits(*(tuple(column.to(device) for column in getattr(self, name)) for name in self.__slots__))

    def checksum(self) -> str:
        """Return a checksum of the data; what is read is not decoded for it."""
        digest = hashlib.sha256()
        columns: Split = (*self.train, *self.validation, *self.test)
        for column in columns:
            digest.update(column.checksum() if isinstance(column, LazyRows) else column.numpy(force=True).tobytes())
        return digest.hexdigest()[:16]


class NoParameters(SpecModel):
    """The parameters of a task that has none."""


class Task(ABC):
    """A task with its parameters; one instance serves every cell of a process.

    A subclass sets the class attributes and the four abstract methods; everything else has a default. It draws
    randomness from nothing but the seed it is given and, in `model` and `loss`, torch's global generators, which the
    caller has seeded. `loss` and `evaluate` call the model and touch nothing else of it: where cells are trained
    together it is a function of stacked parameters.

    Attributes:
        name: by which specs name it.
        version: a positive number; raise it whenever the same spec would give other results.
        title: one line for people.
        source: where the data comes from, and under which licence.
        metrics: its scores, the primary one first; one is named `loss`.
        has_split: whether there are validation and test splits beside the training data.
        max_evaluations: the most points that its curves have.
        precisions: in which its model can be trained.
        can_split: whether a batch can go through its model in parts: `loss` calls the model with tensors (n, ...), and
            each of its outputs is (n, ...), a row of each row, or one number that is the same for every batch.
        Parameters: pydantic model of its parameters; every field has a default and a range.
        later_params: those that came when there were records already, and change nothing by default. At their default
            they are left out of a setting, whose key stays what it was.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    title: ClassVar[str]
    source: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    has_split: ClassVar[bool] = True
    max_evaluations: ClassVar[int] = 20
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "fp16")
    can_split: ClassVar[bool] = False
    Parameters: ClassVar[type[SpecModel]] = NoParameters
    later_params: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = self.Parameters.model_validate(params or {})
        self._data = functools.lru_cache(maxsize=N_SEEDS_KEPT)(self._load)

    @abstractmethod
    def splits(self, seed: int) -> Splits:
        """Return the data of a seed, on the CPU; disjoint splits, the same for every optimizer.

        Raises:
            TaskDataError: when the data is missing or damaged; the message says what to run.
        """

    @abstractmethod
    def model(self, seed: int) -> nn.Module:
        """Return a freshly initialised model on the CPU.

        Args:
            seed: of the cell. Torch's global generator is seeded with it already; only a task that numbers its starting
                points needs it.
        """

    def augmented(self, batch: Batch, seed: int, step: int) -> Batch:
        """Return a batch of the training split as it is trained on: as it is, unless the task augments it.

        What is drawn for it depends on the seed and the step alone, so that it is the same for every optimizer.

        Args:
            batch: on the device.
            seed: of the cell.
            step: counted from 0.
        """
        return batch

    @abstractmethod
    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return what is minimised on a batch, a scalar that can be differentiated."""

    @abstractmethod
    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return the metrics of the curve, `loss` among them, on a whole split, as scalars on its device."""

    def evaluate_end(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return the metrics that are measured once, after the last step."""
        return {}

    def train_loss(self, model: Model, train: Split) -> Tensor:
        """Return the metric `loss` on the whole training split, after the last step.

        By default that of `evaluate`, for which all `LazyRows` are read into memory.
        """
        return self.evaluate(model, in_memory(train))["loss"]

    def trace(self, model: Model) -> dict[str, Tensor]:
        """Return what the curve holds beside the metrics, scalars by name, such as the coordinates of a landscape."""
        return {}

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once by `torch.func` over stacked parameters; False when in doubt."""
        return False

    @property
    def has_batch_norm(self) -> bool:
        """Whether its model normalises over the examples of a batch, which then cannot go through it in parts."""
        return False

    @functools.cached_property
    def data_version(self) -> str:
        """Checksum of the data, part of the fingerprint of every record."""
        return self.splits(0).checksum()

    def chance(self, metric: str) -> float:
        """Return the level of a metric that a model which has learned nothing reaches; by default what it declares."""
        return self._metric(metric).chance

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        """Whether a finished run learned nothing.

        By default: its training loss is at least .99 of chance, or its primary score lies among those of 99 % of the
        untrained models.

        Args:
            train_loss: metric `loss` on the whole training split after training.
            scores: the metrics on the test split.
        """
        primary = self.metrics[0]
        if train_loss >= 0.99 * self.chance("loss"):
            return True
        if primary.goal == "maximize":
            return scores[primary.name] <= self._start_limit
        return scores[primary.name] >= self._start_limit

    @functools.cached_property
    def start(self) -> dict[str, NDArray[np.float64]]:
        """Metrics of 200 untrained models on the test split, each with initialisation and split of its own seed."""
        scores: dict[str, list[float]] = {}
        for seed in range(N_STARTS):
            splits = self.splits(seed)
            with seeded_torch(seed, Stream.INIT), torch.no_grad():
                model = self.model(seed).eval()
                for name, value in self.evaluate(model, splits.test or in_memory(splits.train)).items():
                    scores.setdefault(name, []).append(value.item())
        return {name: np.array(values) for name, values in scores.items()}

    @functools.cached_property
    def _start_limit(self) -> float:
        """What the primary score of a trained model must be better than: that of 99 % of the untrained ones."""
        primary = self.metrics[0]
        return float(np.quantile(self.start[primary.name], 0.99 if primary.goal == "maximize" else 0.01))

    def data(self, seed: int, device: torch.device) -> Splits:
        """Return the splits of a seed on a device; those used last are kept, for cells share them."""
        splits: Splits = self._data(seed, device)
        return splits

    def _load(self, seed: int, device: torch.device) -> Splits:
        return self.splits(seed).to(device)

    def _metric(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)

    @classmethod
    def score_names(cls, metric: str) -> tuple[str, ...]:
        """Return the names under which a record holds a metric: of each split, or its own where there is no split."""
        return (f"val_{metric}", f"test_{metric}") if cls.has_split else (metric,)

    @classmethod
    def parse_params(cls, given: Mapping[str, Any]) -> tuple[dict[str, ParamValue], list[Problem]]:
        """Return the parameters with defaults filled in and floats rounded, and what is wrong with those given."""
        try:
            values = cls.Parameters.model_validate(given).model_dump(mode="json")
        except PydanticError as error:
            return {}, problems_of(error, given)
        fields = cls.Parameters.model_fields
        unused = {name for name in cls.later_params if values[name] == fields[name].default}
        return {name: _rounded(value) for name, value in values.items() if name not in unused}, []


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round_significant(value) if isinstance(value, float) else value
