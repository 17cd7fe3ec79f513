"""The optimizers as pure functions: one update of one run, to be mapped over many runs by ``torch.func.vmap``.

State goes in and comes out, hyperparameters may be tensors, and nothing is written to. The arithmetic is that of
``optimizers.rules``, which the classes use as well, and of the base optimizers of ``torch.optim``; the two ways agree
to rounding. Unlike the classes with their default arguments, an update is never skipped: a gradient that is not finite
never perturbs, and the base does with it what it always does.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, cast

import torch
from torch import Tensor

from optimizers import rules
from optimizers.algebra import Plain
from optimizers.bases import base_names
from optimizers.elementwise import Scalar, Tensors, finite
from optimizers.info import OptimizerInfo, Seen, along
from optimizers.registry import optimizer_info, optimizer_names
from optimizers.rule_hyperparameters import own_of
from optimizers.rules import Ascent

__all__ = ["Memory", "Updated", "initial_memory", "is_functional", "looks_twice", "update"]

Memory = dict[str, list[Tensor]]
"""What an optimizer keeps between updates: by name, one tensor a parameter."""

Gradient = Callable[[list[Tensor]], tuple[list[Tensor], Tensor]]
"""From parameters to the gradient, one tensor each, and the loss."""

PLAIN = Plain()


class Updated(NamedTuple):
    """What an update gives.

    Attributes:
        parameters: theta after it.
        memory: what is kept for the next one.
        loss: at theta; of a rule that never looks there, at the perturbed point.
        gradient_norm: of the first pass.
        delta_norm: length of the perturbation.
    """

    parameters: list[Tensor]
    memory: Memory
    loss: Tensor
    gradient_norm: Tensor
    delta_norm: Tensor


class Point(NamedTuple):
    """Where a rule stands: gradients (empty where it does not look), parameters, memory and hyperparameters."""

    gradients: Tensors
    parameters: Tensors
    is_weight: Sequence[bool]
    memory: Memory
    values: Mapping[str, Scalar]


def _friendly(at: Point) -> tuple[Ascent, Memory]:
    ascent, average = rules.friendly_sam(
        at.gradients, at.memory["gradient_average"], sigma=at.values["sigma"], decay=at.values["decay"]
    )
    return ascent, {"gradient_average": list(average)}


def _momentum(at: Point) -> tuple[Ascent, Memory]:
    velocity = at.memory["momentum_buffer"] if "momentum_buffer" in at.memory else at.memory["exp_avg"]
    return rules.momentum_sam(velocity), {}


def _sam(at: Point) -> tuple[Ascent, Memory]:
    return rules.sam(at.gradients), {}


ASCENTS: Mapping[str, Callable[[Point], tuple[Ascent, Memory]]] = MappingProxyType(
    {
        "sam": _sam,
        "gsam": _sam,
        "look_sam": _sam,
        "usam": lambda at: (rules.usam(at.gradients), {}),
        "msam": lambda at: (rules.msam(at.gradients), {}),
        "asam": lambda at: (rules.asam(at.gradients, at.parameters, at.is_weight, eta=at.values["eta"]), {}),
        "fisher_sam": lambda at: (rules.fisher_sam(at.gradients, eta=at.values["eta"]), {}),
        "friendly_sam": _friendly,
        "momentum_sam": _momentum,
    }
)
ONE_PASS = ("gd", "momentum_sam")


def is_functional(rule: str, base: str) -> bool:
    """Return whether :func:`update` knows an optimizer, by the names of its rule and its base."""
    is_known = rule in (*ASCENTS, "gd") or (rule in optimizer_names() and optimizer_info(rule).direction is not None)
    return is_known and base in base_names()


def looks_twice(rule: str, values: Mapping[str, float], step: int) -> bool:
    """Return whether an update of a run takes two gradients.

    Args:
        rule: name of the optimizer.
        values: its hyperparameters, as numbers.
        step: number of updates done before it.
    """
    return rule not in ONE_PASS and (rule != "look_sam" or step % int(values["k"]) == 0)


def initial_memory(rule: str, base: str, parameters: Tensors) -> Memory:
    """Return what an optimizer remembers before its first update, one tensor like each parameter."""
    kept = ("momentum_buffer",) if base == "sgd" else ("exp_avg", "exp_avg_sq")
    memory = {name: [torch.zeros_like(p) for p in parameters] for name in kept}
    if rule == "friendly_sam":  # NaN stands for none yet
        memory["gradient_average"] = [torch.full_like(p, torch.nan) for p in parameters]
    elif rule == "look_sam":
        memory["orthogonal_gradient"] = [torch.zeros_like(p) for p in parameters]
    return memory


def update(
    rule: str,
    base: str,
    parameters: list[Tensor],
    memory: Memory,
    values: Mapping[str, Scalar],
    gradient: Gradient,
    *,
    step: Tensor,
    lr: Scalar,
    total_steps: int,
    is_weight: Sequence[bool],
    twice: Tensor | None = None,
) -> Updated:
    """Return what one update makes of a run.

    Args:
        rule: name of the optimizer, one that :func:`is_functional`.
        base: name of the base optimizer.
        parameters: theta.
        memory: what the last update returned, or :func:`initial_memory`.
        values: hyperparameters of the rule and the base by name, numbers or 0-dim tensors.
        gradient: the pass; called once, or twice where the rule looks at theta first.
        step: number of updates done, 0-dim.
        lr: learning rate of this update, in place of that among the values.
        total_steps: length of the run, for a warm-up of rho.
        is_weight: for each parameter whether it is a weight, else a bias; only ASAM asks.
        twice: of LookSAM, whether this run's update is a full one, 0-dim; None where no run's is, which saves the
            second pass.
    """
    values = {**values, "lr": lr}
    if rule == "gd":
        gradients, loss = gradient(parameters)
        norm = cast(Tensor, PLAIN.norm(gradients))
        stepped, kept = _descend(base, parameters, gradients, memory, values, step)
        return Updated(stepped, {**memory, **kept}, loss, norm, torch.zeros_like(norm))
    at = Point((), parameters, is_weight, memory, values)
    first_loss = None
    if rule not in ONE_PASS:
        first, first_loss = gradient(parameters)
        at = at._replace(gradients=first)
    remembered: Memory = {}
    if rule == "look_sam" and twice is None:
        norm = cast(Tensor, PLAIN.norm(at.gradients))
        descent = _look_on(at)
        loss, delta_norm = cast(Tensor, first_loss), torch.zeros_like(norm)
    else:
        ascent, remembered = ASCENTS[rule](at) if rule in ASCENTS else (_own(optimizer_info(rule), at), {})
        rho = rules.warmed_up(values["rho"], step, rho_warmup=values["rho_warmup"], total_steps=total_steps)
        scale = finite(rho * ascent.coefficient)
        # No selection where the scale is 0: a direction that is not finite ends the run, whatever is added to theta.
        perturbed, second_loss = gradient([p + scale * x for p, x in zip(parameters, ascent.direction, strict=True)])
        descent = perturbed
        if rule == "gsam":
            descent = list(rules.gsam_gradient(perturbed, at.gradients, alpha=values["alpha"]))
        elif rule == "look_sam":
            full = cast(Tensor, twice)
            component = rules.look_sam_component(at.gradients, perturbed)
            remembered = {"orthogonal_gradient": _chosen(full, component, memory["orthogonal_gradient"])}
            descent = _chosen(full, perturbed, _look_on(at))
            scale = torch.where(full, torch.as_tensor(scale), 0.0)
        loss = second_loss if first_loss is None else first_loss
        norm = cast(Tensor, PLAIN.norm(perturbed) if ascent.gradient_norm is None else ascent.gradient_norm)
        delta_norm = cast(Tensor, finite(torch.as_tensor(scale).abs() * ascent.direction_norm))
    stepped, kept = _descend(base, parameters, descent, memory, values, step)
    return Updated(stepped, {**memory, **remembered, **kept}, loss, norm, delta_norm)


def _own(info: OptimizerInfo, at: Point) -> Ascent:
    """Return the ascent of a rule that somebody added."""
    if info.direction is None:
        raise ValueError(f"{info.name} must be a rule that is a function, but it takes the descent step itself.")
    seen = Seen(
        at.gradients, at.parameters, at.is_weight, {name: at.values[name] for name in own_of(info.hyperparameters)}
    )
    return along(info.direction, seen, normalised=info.normalised, ops=PLAIN)


def _look_on(at: Point) -> list[Tensor]:
    return list(rules.look_sam_gradient(at.gradients, at.memory["orthogonal_gradient"], alpha=at.values["alpha"]))


def _chosen(choice: Tensor, xs: Tensors, ys: Tensors) -> list[Tensor]:
    return [torch.where(choice, x, y) for x, y in zip(xs, ys, strict=True)]


def _descend(
    base: str, parameters: list[Tensor], gradients: Tensors, memory: Memory, values: Mapping[str, Scalar], step: Tensor
) -> tuple[list[Tensor], Memory]:
    """Return the parameters and the memory after a step of the base."""
    if base == "sgd":
        return _sgd(parameters, gradients, memory, values)
    return _adam(parameters, gradients, memory, values, step, decoupled=base == "adamw")


def _sgd(
    parameters: list[Tensor], gradients: Tensors, memory: Memory, values: Mapping[str, Scalar]
) -> tuple[list[Tensor], Memory]:
    """Return a step of ``torch.optim.SGD``; a buffer of 0 stands for none yet."""
    momentum, decay, nesterov = values["momentum"], values["weight_decay"], values["nesterov"]
    if isinstance(decay, Tensor) or decay:
        gradients = [_plus(g, p, decay) for p, g in zip(parameters, gradients, strict=True)]
    buffers = [_plus(g, b, momentum) for b, g in zip(memory["momentum_buffer"], gradients, strict=True)]
    ahead = buffers
    if isinstance(nesterov, Tensor) or nesterov:
        ahead = [_plus(g, b, momentum) for g, b in zip(gradients, buffers, strict=True)]
    if isinstance(nesterov, Tensor):
        ahead = _chosen(nesterov, ahead, buffers)
    stepped = [p - values["lr"] * d for p, d in zip(parameters, ahead, strict=True)]
    return stepped, {"momentum_buffer": buffers}


def _plus(x: Tensor, y: Tensor, factor: Scalar) -> Tensor:
    """Return ``x + factor y``, in one kernel where the factor is a number."""
    return x + factor * y if isinstance(factor, Tensor) else torch.add(x, y, alpha=factor)


def _adam(
    parameters: list[Tensor],
    gradients: Tensors,
    memory: Memory,
    values: Mapping[str, Scalar],
    step: Tensor,
    *,
    decoupled: bool,
) -> tuple[list[Tensor], Memory]:
    """Return a step of ``torch.optim.AdamW``, or of ``Adam`` where the weight decay is part of the gradient."""
    lr, decay, beta1, beta2 = values["lr"], values["weight_decay"], values["beta1"], values["beta2"]
    if decoupled:
        parameters = [p * (1 - lr * decay) for p in parameters]
    else:
        gradients = [g + decay * p for p, g in zip(parameters, gradients, strict=True)]
    means = [m + (1 - beta1) * (g - m) for m, g in zip(memory["exp_avg"], gradients, strict=True)]
    squares = [beta2 * s + (1 - beta2) * g * g for s, g in zip(memory["exp_avg_sq"], gradients, strict=True)]
    # in float64, for 1 - beta2^t of a beta2 near 1 has few digits in float32
    n = step.to(torch.float64) + 1
    wide = (beta.to(torch.float64) if isinstance(beta, Tensor) else beta for beta in (beta1, beta2))
    of_mean, of_square = (1 - beta**n for beta in wide)
    size, root = (lr / of_mean).to(means[0].dtype), of_square.sqrt().to(means[0].dtype)
    stepped = [
        p - size * m / (s.sqrt() / root + values["eps"]) for p, m, s in zip(parameters, means, squares, strict=True)
    ]
    return stepped, {"exp_avg": means, "exp_avg_sq": squares}
