"""What the landscapes have in common: a point that moves on a function of a few numbers, its start and its end."""

import functools
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from benchmark.parsing import Integer, Number, SpecModel
from benchmark.seeding import Stream, torch_generator
from benchmark.tasks.critical_points import kind_of_end
from benchmark.tasks.protocol import N_STARTS, Batch, Metric, Model, Splits, Task

MAX_DIMENSION = 16
LOSS_TOLERANCE, SHARE_TOLERANCE = 0.05, 0.05
KINDS = ("saddle", "maximum", "sharp_minimum", "flat_minimum")


def _ascending(box: tuple[float, ...]) -> tuple[float, ...]:
    if len(box) != 2 or not box[0] < box[1]:
        raise ValueError(f"box must be two numbers, low < high, but got {list(box)}.")
    return box


Coordinate = Annotated[Number, Field(ge=-1_000, le=1_000)]
Box = Annotated[
    tuple[Coordinate, ...],
    AfterValidator(_ascending),
    Field(description="low and high of every coordinate of random and grid starts"),
]
FlatBelow = Annotated[
    Number,
    Field(gt=0, le=1e9, description="a minimum whose largest Hessian eigenvalue is at most this is flat, else sharp"),
]


class LandscapeParameters(SpecModel):
    """Parameters of every landscape."""

    start: Annotated[
        Literal["random", "grid"] | tuple[Coordinate, ...],
        Field(description="random: uniform in the box; grid: seed s takes point s of a grid over it; or coordinates"),
    ] = "random"
    box: Box = (-3.0, 3.0)
    grid: Annotated[Integer, Field(ge=2, le=1_000, description="points along each axis of the grid of starts")] = 10
    flat_below: FlatBelow = 1.0
    reach: Annotated[
        Number, Field(gt=0, le=100, description="how far from the end of a run a critical point is looked for")
    ] = 0.5

    @property
    def n_dimensions(self) -> int:
        """Number of coordinates."""
        return 2

    @model_validator(mode="after")
    def _one_number_a_coordinate(self) -> Self:
        if not isinstance(self.start, str) and len(self.start) != self.n_dimensions:
            raise ValueError(
                f"start must be random, grid or a list of {self.n_dimensions} numbers, one a coordinate, "
                f"but got {list(self.start)}."
            )
        return self


def landscape_metrics(mean_loss: float) -> tuple[Metric, ...]:
    """Return the metrics of a landscape.

    The level of chance is what a diverged run scores, and no score of a minimised metric counts for less. So it is 1
    for ending at a saddle, a maximum or a sharp minimum: a run that left for infinity is taken to be as bad as one that
    was caught. For ending at a flat minimum it is 0.

    Args:
        mean_loss: over uniform starts in the default box; with other parameters it is computed.
    """
    ends = (
        Metric(
            f"at_{kind}",
            "maximize" if kind == "flat_minimum" else "minimize",
            SHARE_TOLERANCE,
            0.0 if kind == "flat_minimum" else 1.0,
            f"whether the run ended at a {kind.replace('_', ' ')}; its seed mean is the share of such runs",
            at_end=True,
        )
        for kind in KINDS
    )
    return (Metric("loss", "minimize", LOSS_TOLERANCE, mean_loss, "height of the landscape"), *ends)


class _Point(nn.Module):
    """A point `theta` as a model."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self) -> Tensor:
        return self.theta


class Landscape(Task):
    """Descend on a function of a few numbers, which is the loss; a subclass gives the function.

    There is no data, so one epoch is one step, and the seed chooses the start alone. How a run ended is told by the
    metrics, so none counts as collapsed. With a start of coordinates all seeds are the same run.
    """

    version: ClassVar[int] = 1
    has_split: ClassVar[bool] = False
    max_evaluations: ClassVar[int] = 500
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)  # nothing of it is a kernel that 16 bits make faster
    Parameters: ClassVar[type[SpecModel]] = LandscapeParameters
    params: LandscapeParameters

    @abstractmethod
    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point of shape (d,), a scalar; smooth, and without branches on data."""

    def start_of(self, seed: int) -> Tensor:
        """Return where the run of a seed starts, shape (d,)."""
        start, n_dimensions = self.params.start, self.params.n_dimensions
        low, high = self.params.box
        if start == "random":
            # torch's global generator would draw the same numbers, but a thread of a server must not seed that one
            return low + (high - low) * torch.rand(n_dimensions, generator=torch_generator(seed, Stream.INIT))
        if start == "grid":
            n = self.params.grid
            places = [seed // n**power % n for power in reversed(range(n_dimensions))]
            return torch.linspace(low, high, n)[places]
        return torch.tensor(start)

    def splits(self, seed: int) -> Splits:
        """Return a single example that holds nothing."""
        return Splits((torch.zeros(1, 1),))

    def model(self, seed: int) -> nn.Module:
        """Return the point where the run of a seed starts."""
        return _Point(self.start_of(seed))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the height at the point."""
        return self.value(model())

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return the height at the point."""
        return {"loss": self.value(model())}

    def evaluate_end(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return at which kind of critical point the run ended, 0 or 1 for each kind."""
        kinds = kind_of_end(self.value, model().detach(), reach=self.params.reach, flat_below=self.params.flat_below)
        return {f"at_{kind}": kinds[kind] for kind in KINDS}

    def trace(self, model: Model) -> dict[str, Tensor]:
        """Return the coordinates of the point, `theta_0` and on."""
        return {f"theta_{index}": coordinate for index, coordinate in enumerate(model().unbind())}

    @property
    def can_fuse(self) -> bool:
        """Whether many runs can be trained at once: always."""
        return True

    def chance(self, metric: str) -> float:
        """Return the level that a diverged run scores; for the loss its mean over the starts of 200 seeds."""
        return self._mean_start_loss if metric == "loss" else super().chance(metric)

    @functools.cached_property
    def _mean_start_loss(self) -> float:
        starts = torch.stack([self.start_of(seed) for seed in range(N_STARTS)])
        losses: Tensor = torch.func.vmap(self.value)(starts.to(torch.float64))
        return losses.mean().item()

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        """Return False: the metrics tell how a run ended."""
        return False
