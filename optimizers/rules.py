"""The rules as pure functions: state goes in and comes out, nothing is hidden.

A rule that perturbs returns an :class:`Ascent`, the perturbation up to its radius: delta = rho * coefficient *
direction. All norms and projections are global, over every tensor of the list. A coefficient of 0 stands for "no
perturbation": it is returned where the gradient is 0 or not finite, and :func:`perturbation` selects by it.

With the default ``ops`` nothing is written to, hyperparameters may be tensors, and every function runs under
``torch.func.vmap``. With ``Foreach`` operations and scratch memory, gradients are overwritten.
"""

from collections.abc import Sequence
from typing import NamedTuple, overload

import torch
from torch import Tensor

from optimizers.algebra import Plain
from optimizers.elementwise import Scalar, Tensors, accumulation_dtype, finite, product

__all__ = [
    "Ascent",
    "asam",
    "fisher_sam",
    "friendly_sam",
    "gsam_gradient",
    "look_sam_component",
    "look_sam_gradient",
    "momentum_sam",
    "msam",
    "perturbation",
    "sam",
    "usam",
    "warmed_up",
]

PLAIN = Plain()


class Ascent(NamedTuple):
    """A perturbation up to its radius: delta = rho * coefficient * direction.

    Attributes:
        direction: one tensor a parameter, shaped like it.
        coefficient: a scalar, float32 or wider; 0 where there is no perturbation.
        direction_norm: the global norm of ``direction``.
        gradient_norm: ||g||; None for a rule that needs no gradient.
    """

    direction: Tensors
    coefficient: Scalar
    direction_norm: Scalar
    gradient_norm: Scalar | None


def perturbation(ascent: Ascent, rho: Scalar) -> list[Tensor]:
    """Return delta = rho * coefficient * direction, exactly 0 where rho or the coefficient is 0.

    Args:
        ascent: what a rule returned.
        rho: radius >= 0, a number or a 0-dim tensor.
    """
    scale = finite(rho * ascent.coefficient)
    none = torch.as_tensor(scale) == 0
    return [torch.where(none, 0, product(scale, x)).to(x.dtype) for x in ascent.direction]


def sam(gradients: Tensors, *, ops: Plain = PLAIN) -> Ascent:
    """Ascend by rho g / ||g||: the worst point of a ball to first order.

    Foret, Kleiner, Mobahi, Neyshabur, *Sharpness-Aware Minimization for Efficiently Improving Generalization*, 2020,
    arXiv 2010.01412.

    Args:
        gradients: g, one tensor a parameter.
        ops: the arithmetic.
    """
    norm = ops.norm(gradients)
    return Ascent(gradients, ops.reciprocal(norm), norm, norm)


def usam(gradients: Tensors, *, ops: Plain = PLAIN) -> Ascent:
    """Ascend by rho g, without the normalisation of SAM.

    Andriushchenko, Flammarion, *Towards Understanding Sharpness-Aware Minimization*, 2022, arXiv 2206.06232.

    Args:
        gradients: g, one tensor a parameter.
        ops: the arithmetic.
    """
    norm = ops.norm(gradients)
    return Ascent(gradients, ops.finite(1 + 0 * norm), norm, norm)


def msam(gradients: Tensors, *, ops: Plain = PLAIN) -> Ascent:
    """Ascend by rho g / (||g|| sqrt(1 + ||g||^2)): the worst point of a ball of the Monge metric I + g g^T.

    For a small gradient this is SAM, for a large one the perturbation vanishes like rho / ||g||. Not to be confused
    with Momentum-SAM, which goes by the same letters in print and is :func:`momentum_sam` here.

    Jacobsen, Arvanitidis, *Monge SAM: Robust Reparameterization-Invariant Sharpness-Aware Minimization Based on Loss
    Geometry*, 2025, arXiv 2502.08448.

    Args:
        gradients: g of the loss as it is meant, unscaled: the rule is not invariant to the loss's scale.
        ops: the arithmetic.
    """
    norm = ops.norm(gradients)
    return Ascent(gradients, ops.reciprocal(norm * (1 + norm * norm) ** 0.5), norm, norm)


def asam(
    gradients: Tensors, parameters: Tensors, is_weight: Sequence[bool], *, eta: Scalar = 0.01, ops: Plain = PLAIN
) -> Ascent:
    """Ascend by rho T^2 g / ||T g||: the worst point of a ball that stretches with the weights.

    T = |w| + eta on weights and 1 on biases.

    Kwon, Kim, Park, Choi, *ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural
    Networks*, 2021, arXiv 2102.11600.

    Args:
        gradients: g, one tensor a parameter.
        parameters: w, one tensor a gradient.
        is_weight: for each parameter whether it is a weight; else it is a bias.
        eta: offset of the stretching, >= 0.
        ops: the arithmetic.
    """
    gradient_norm = ops.norm(gradients)
    stretch = ops.magnitude(parameters, eta)
    is_bias = [not weight for weight in is_weight]

    def stretched(xs: Tensors, factor: Scalar) -> Tensors:
        weights = iter(ops.multiply_(_chosen(xs, is_weight), _chosen(stretch, is_weight), factor))
        biases = iter(ops.scale_(_chosen(xs, is_bias), factor))
        return [next(weights) if weight else next(biases) for weight in is_weight]

    # Up to factors that keep 16 bits in range: T g, whose norm is taken, then T^2 g.
    once = stretched(gradients, ops.rescaling(gradients, gradient_norm))
    norm = ops.norm(once)
    factor = ops.rescaling(once, norm)
    twice = stretched(once, factor)
    return Ascent(twice, ops.reciprocal(norm * factor), ops.norm(twice), gradient_norm)


def fisher_sam(gradients: Tensors, *, eta: Scalar = 0.2, ops: Plain = PLAIN) -> Ascent:
    """Ascend by rho f^-1 g / sqrt(g^T f^-1 g), with f = 1 + eta g^2 elementwise, the diagonal of Fisher's metric.

    Kim, Li, Hu, Hospedales, *Fisher SAM: Information Geometry and Sharpness Aware Minimisation*, 2022,
    arXiv 2206.04920.

    Args:
        gradients: g, one tensor a parameter.
        eta: weight of the metric beside the identity, >= 0; 0 is SAM.
        ops: the arithmetic.
    """
    gradient_norm = ops.norm(gradients)
    root = ops.stretch(gradients, eta)
    once = ops.divide_(gradients, root)
    norm = ops.norm(once)
    twice = ops.divide_(once, root)
    return Ascent(twice, ops.reciprocal(norm), ops.norm(twice), gradient_norm)


def friendly_sam(
    gradients: Tensors, average: Tensors | None, *, sigma: Scalar = 1.0, decay: Scalar = 0.9, ops: Plain = PLAIN
) -> tuple[Ascent, Tensors]:
    """Ascend by rho d / ||d||, d = g - sigma m: along what this batch's gradient adds to the average m.

    m is used, then updated to decay m + (1 - decay) g; at first d = g and m becomes g. Until a gradient is finite, m is
    NaN, which stands for none yet.

    Li, Zhou, He, Cheng, Huang, *Friendly Sharpness-Aware Minimization*, 2024, arXiv 2403.12350.

    Args:
        gradients: g, one tensor a parameter.
        average: m, one tensor a gradient; None, or NaN, for none yet.
        sigma: share of the average that is taken out, >= 0; 0 is SAM.
        decay: of the average, in [0, 1).
        ops: the arithmetic.

    Returns:
        The perturbation and the new average. A gradient that is not finite leaves the average as it was.
    """
    norm = ops.norm(gradients)
    if average is None:
        begun = torch.isfinite(torch.as_tensor(norm))
        return Ascent(gradients, ops.reciprocal(norm), norm, norm), [
            torch.where(begun, g, torch.nan) for g in gradients
        ]
    old = ops.known(average, norm)
    new = ops.average_(average, gradients, decay, norm)
    direction = ops.combine_(1, gradients, -sigma, old)
    length = ops.norm(direction)
    return Ascent(direction, ops.reciprocal(length), length, norm), new


def momentum_sam(velocity: Tensors, *, ops: Plain = PLAIN) -> Ascent:
    """Move by -rho v / ||v|| along the momentum v of the base optimizer: no gradient is needed for it.

    Becker, Altrock, Risse, *Momentum-SAM: Sharpness Aware Minimization without Computational Overhead*, 2024,
    arXiv 2401.12033.

    Args:
        velocity: v, one tensor a parameter.
        ops: the arithmetic.
    """
    norm = ops.norm(velocity)
    return Ascent(velocity, -ops.reciprocal(norm), norm, None)


def gsam_gradient(perturbed: Tensors, gradients: Tensors, *, alpha: Scalar = 0.4, ops: Plain = PLAIN) -> Tensors:
    """Return g_p - alpha g_o, g_o the part of g orthogonal to g_p: descends, and closes the gap between the two.

    Zhuang, Gong, Yuan, Cui, Adam, Dvornek, Tatikonda, Duncan, Liu, *Surrogate Gap Minimization Improves
    Sharpness-Aware Training*, 2022, arXiv 2203.08065.

    Args:
        perturbed: g_p, the gradient at theta + delta; may be overwritten.
        gradients: g, the gradient at theta. Where it is not finite, g_p is returned as it is.
        alpha: weight of the orthogonal part, >= 0; 0 is SAM.
        ops: the arithmetic.
    """
    inverse = ops.reciprocal(ops.norm(perturbed))
    dot = ops.dot(gradients, perturbed)
    # The product with what is not finite is not finite; then both parts of g_o are left out, by selection.
    along, weight = ops.finite(dot * inverse * inverse), ops.finite(alpha + 0 * dot)
    return ops.add_(ops.scale_(perturbed, 1 + weight * along), gradients, -weight)


def look_sam_component(gradients: Tensors, perturbed: Tensors, *, ops: Plain = PLAIN) -> Tensors:
    """Return g_v, the part of g_p orthogonal to g, which LookSAM uses again until the next full step.

    What is left of a g_p parallel to g is rounding, which the next steps would blow up to alpha ||g||: it is 0 instead.

    Args:
        gradients: g, the gradient at theta; may be overwritten.
        perturbed: g_p, the gradient at theta + delta.
        ops: the arithmetic.
    """
    inverse = ops.reciprocal(ops.norm(gradients))
    along = ops.dot(gradients, perturbed) * inverse * inverse
    floor = _rounding(gradients) * ops.norm(perturbed)
    component = ops.combine_(-along, gradients, 1, perturbed)
    return ops.significant_(component, ops.norm(component), floor)


def look_sam_gradient(gradients: Tensors, component: Tensors, *, alpha: Scalar = 0.7, ops: Plain = PLAIN) -> Tensors:
    """Return g + alpha ||g|| / ||g_v|| g_v: the gradient of a step between two full ones.

    Liu, Mai, Chen, Hsieh, You, *Towards Efficient and Scalable Sharpness-Aware Minimization*, 2022, arXiv 2203.02714.

    Args:
        gradients: g, the gradient at theta; may be overwritten.
        component: g_v of the last full step.
        alpha: weight of the component, >= 0.
        ops: the arithmetic.
    """
    scale = alpha * ops.finite(ops.norm(gradients)) * ops.reciprocal(ops.norm(component))
    return ops.add_(gradients, component, scale)


@overload
def warmed_up(rho: float, step: int, *, rho_warmup: float, total_steps: int | None) -> float: ...


@overload
def warmed_up(rho: Scalar, step: Scalar, *, rho_warmup: Scalar, total_steps: int | None) -> Scalar: ...


def warmed_up(rho: Scalar, step: Scalar, *, rho_warmup: Scalar, total_steps: int | None) -> Scalar:
    """Return the radius at a step: it grows linearly over the first share of the run, then stays.

    Args:
        rho: the final radius.
        step: number of updates done, from 0.
        rho_warmup: share of the steps, in [0, 1], over which the radius grows; 0 for a constant radius.
        total_steps: length of the run; used only where ``rho_warmup`` is not 0.
    """
    if total_steps is None:
        return rho
    if isinstance(rho_warmup, Tensor):
        grown = ((step + 1) / (rho_warmup * total_steps).clamp(min=1)).clamp(max=1)
        return rho * torch.where(rho_warmup > 0, grown, 1)
    if not rho_warmup:
        return rho
    if isinstance(step, Tensor):
        return rho * ((step + 1) / max(1.0, rho_warmup * total_steps)).clamp(max=1)
    return rho * min(1.0, (step + 1) / max(1.0, rho_warmup * total_steps))


def _rounding(xs: Tensors) -> float:
    # The scalar of a projection is off by some units in the last place of its dtype, each element by one of its own.
    narrowest = max(torch.finfo(x.dtype).eps for x in xs)
    return max(16 * torch.finfo(accumulation_dtype(xs)).eps, 2 * narrowest)


def _chosen(xs: Tensors, choice: Sequence[bool]) -> Tensors:
    return [x for x, chosen in zip(xs, choice, strict=True) if chosen]
