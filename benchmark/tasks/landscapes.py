"""Landscapes: small functions whose minima, maxima and saddles are known, on which optimizers show their habits."""

import math
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from benchmark.parsing import Integer, Number, SpecModel
from benchmark.tasks.landscape import MAX_DIMENSION, Box, FlatBelow, Landscape, LandscapeParameters, landscape_metrics
from benchmark.tasks.protocol import Metric

PAPER = (
    "A. K. Jacobsen, G. Arvanitidis, Monge SAM: Robust Reparameterization-Invariant Sharpness-Aware Minimization Based "
    "on Loss Geometry (2025), arXiv 2502.08448"
)
# Below it a series stands in for sin(x)/x; its second derivative, of double numbers, is within 3e-11 there.
SERIES_BELOW = 0.5
SERIES = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(6))


class BananaParameters(LandscapeParameters):
    """Parameters of `banana`; its flattest minima have eigenvalue 4, at (1, 1) and (-1, -1)."""

    flat_below: FlatBelow = 5.0


class Banana(Landscape):
    """l = (1 - t1 t2)^2: a valley of minima along t1 t2 = 1, of curvature 2 (t1^2 + t2^2), and a saddle at 0."""

    name: ClassVar[str] = "banana"
    title: ClassVar[str] = "(1 - t1 t2)^2, a curved valley of minima on either side of a saddle"
    source: ClassVar[str] = PAPER
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=10.0)
    Parameters: ClassVar[type[SpecModel]] = BananaParameters
    params: BananaParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (2,)."""
        t1, t2 = theta.unbind()
        return (1 - t1 * t2).square()


class SincParameters(LandscapeParameters):
    """Parameters of `sinc`; no minimum has an eigenvalue above frequency^2 / 3, that of the lowest."""

    box: Box = (-10.0, 10.0)
    flat_below: FlatBelow = 0.5
    frequency: Annotated[
        Number, Field(gt=0, le=100, description="k of sin(k t)/(k t): 1 as in mathematics, pi as in signal processing")
    ] = 1.0


class Sinc(Landscape):
    """l = 1 - s(t1) s(t2), s(t) = sin(k t)/(k t): one lowest minimum at 0 among rings of saddles, maxima and minima.

    The paper names a two-dimensional sinc, but its scale could not be checked. It matters, for Monge SAM is not
    invariant to it: with the frequency k = 1 the gradient stays below .44, so that Monge SAM is nearly SAM.

    Local minima and maxima lie where both factors are extremal, of curvature up to k^2 |s(t1) s(t2)| (at 0 k^2 / 3);
    saddles, of height 1, where both vanish. The box holds the first two extrema of each axis.
    """

    name: ClassVar[str] = "sinc"
    title: ClassVar[str] = "1 - sinc(t1) sinc(t2), one deep minimum among rings of saddles, maxima and shallow minima"
    source: ClassVar[str] = PAPER
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=0.9725)
    Parameters: ClassVar[type[SpecModel]] = SincParameters
    params: SincParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (2,)."""
        s1, s2 = _sinc(self.params.frequency * theta).unbind()
        return 1 - s1 * s2


class ParabolaParameters(LandscapeParameters):
    """Parameters of `parabola`; its minimum has the eigenvalue 2 curvature."""

    flat_below: FlatBelow = 2.0
    dimension: Annotated[Integer, Field(ge=1, le=MAX_DIMENSION, description="number of coordinates")] = 1
    curvature: Annotated[Number, Field(gt=0, le=1e6, description="factor of the squared norm")] = 1.0

    @property
    def n_dimensions(self) -> int:
        """Number of coordinates."""
        return self.dimension


class Parabola(Landscape):
    """l = curvature ||t||^2: one minimum at 0."""

    name: ClassVar[str] = "parabola"
    title: ClassVar[str] = "curvature ||t||^2, a single minimum"
    source: ClassVar[str] = PAPER
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=3.0)
    Parameters: ClassVar[type[SpecModel]] = ParabolaParameters
    params: ParabolaParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (d,)."""
        return self.params.curvature * theta.square().sum()


def _eigenvalues(values: tuple[float, ...]) -> tuple[float, ...]:
    if not 2 <= len(values) <= MAX_DIMENSION or 0.0 in values:
        raise ValueError(f"eigenvalues must be 2 to {MAX_DIMENSION} numbers other than 0, but got {list(values)}.")
    return values


class SaddleParameters(LandscapeParameters):
    """Parameters of `saddle`."""

    eigenvalues: Annotated[
        tuple[Annotated[Number, Field(ge=-1e6, le=1e6)], ...],
        AfterValidator(_eigenvalues),
        Field(description="of the Hessian, one a coordinate; with both signs the point at 0 is a saddle"),
    ] = (1.0, -1.0)

    @property
    def n_dimensions(self) -> int:
        """Number of coordinates."""
        return len(self.eigenvalues)


class Saddle(Landscape):
    """l = 1/2 sum lambda_i t_i^2: one critical point at 0, and no bottom where an eigenvalue is negative.

    A run that escapes falls for ever: keep the budget so short that its loss is still a number.
    """

    name: ClassVar[str] = "saddle"
    title: ClassVar[str] = "1/2 sum lambda_i t_i^2, a single saddle of given eigenvalues"
    source: ClassVar[str] = "H. Kim et al., Stability Analysis of Sharpness-Aware Minimization (2023), arXiv 2301.06308"
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=0.0)
    Parameters: ClassVar[type[SpecModel]] = SaddleParameters
    params: SaddleParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (d,)."""
        # numbers and no tensor of eigenvalues, which would be copied to the device at every step
        terms = [factor * t.square() for factor, t in zip(self.params.eigenvalues, theta.unbind(), strict=True)]
        return 0.5 * torch.stack(terms).sum()


class BealeParameters(LandscapeParameters):
    """Parameters of `beale`; its minimum has the eigenvalues .30 and 49.0."""

    box: Box = (-4.0, 4.0)
    flat_below: FlatBelow = 50.0


class Beale(Landscape):
    """l = sum of (c_k - t1 (1 - t2^k))^2 over k = 1, 2, 3: a minimum at (3, 1/2), a saddle at (0, 1), steep corners."""

    name: ClassVar[str] = "beale"
    title: ClassVar[str] = "Beale's function: a minimum in a flat valley, a saddle, steep corners"
    source: ClassVar[str] = (
        "E. M. L. Beale, On an Iterative Method for Finding a Local Minimum of a Function of More than One Variable "
        "(1958)"
    )
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=3395.6)
    Parameters: ClassVar[type[SpecModel]] = BealeParameters
    params: BealeParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (2,)."""
        t1, t2 = theta.unbind()
        first = 1.5 - t1 * (1 - t2)
        second = 2.25 - t1 * (1 - t2 * t2)
        third = 2.625 - t1 * (1 - t2 * t2 * t2)
        return first.square() + second.square() + third.square()


class HimmelblauParameters(LandscapeParameters):
    """Parameters of `himmelblau`; its minima have the largest eigenvalues 80.4, 82.3, 105.4 and 133.8."""

    box: Box = (-5.0, 5.0)
    flat_below: FlatBelow = 100.0


class Himmelblau(Landscape):
    """l = (t1^2 + t2 - 11)^2 + (t1 + t2^2 - 7)^2: four minima of height 0, two flatter than the others."""

    name: ClassVar[str] = "himmelblau"
    title: ClassVar[str] = (
        "Himmelblau's function: four minima of one height around a maximum, four saddles between them"
    )
    source: ClassVar[str] = "D. M. Himmelblau, Applied Nonlinear Programming (1972)"
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=136.67)
    Parameters: ClassVar[type[SpecModel]] = HimmelblauParameters
    params: HimmelblauParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (2,)."""
        t1, t2 = theta.unbind()
        return (t1 * t1 + t2 - 11).square() + (t1 + t2 * t2 - 7).square()


class RosenbrockParameters(LandscapeParameters):
    """Parameters of `rosenbrock`; its minimum has the eigenvalues .40 and 1001.6."""

    box: Box = (-2.0, 2.0)
    flat_below: FlatBelow = 1_100.0


class Rosenbrock(Landscape):
    """l = (1 - t1)^2 + 100 (t2 - t1^2)^2: one minimum, at (1, 1), at the end of a curved valley."""

    name: ClassVar[str] = "rosenbrock"
    title: ClassVar[str] = "Rosenbrock's function: one minimum at the end of a narrow curved valley"
    source: ClassVar[str] = (
        "H. H. Rosenbrock, An Automatic Method for Finding the Greatest or Least Value of a Function (1960)"
    )
    metrics: ClassVar[tuple[Metric, ...]] = landscape_metrics(mean_loss=455.67)
    Parameters: ClassVar[type[SpecModel]] = RosenbrockParameters
    params: RosenbrockParameters

    def value(self, theta: Tensor) -> Tensor:
        """Return the height at a point (2,)."""
        t1, t2 = theta.unbind()
        return (1 - t1).square() + 100 * (t2 - t1 * t1).square()


LANDSCAPES: tuple[type[Landscape], ...] = (Banana, Sinc, Parabola, Saddle, Beale, Himmelblau, Rosenbrock)


def _sinc(x: Tensor) -> Tensor:
    """Return sin(x)/x elementwise. That of torch is not used: its second derivative is NaN at 0, and 0 beside it."""
    is_small = x.abs() < SERIES_BELOW
    squared = torch.where(is_small, x, 0.0).square()
    series = torch.full_like(x, SERIES[-1])
    for coefficient in reversed(SERIES[:-1]):
        series = coefficient + squared * series
    away = torch.where(is_small, 1.0, x)
    return torch.where(is_small, series, away.sin() / away)
