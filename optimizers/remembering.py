"""Members that keep a second copy of the parameters' size: gradients within an update, or state between updates."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from optimizers import rules
from optimizers.elementwise import Scalar
from optimizers.errors import BaseOptimizerError, HyperparameterError
from optimizers.foreach import Foreach
from optimizers.hyperparameter import Hyperparameter
from optimizers.layout import Active
from optimizers.rule_hyperparameters import of_projection, table
from optimizers.rules import Ascent
from optimizers.two_pass import TwoPassOptimizer

__all__ = ["GSAM", "FriendlySAM", "LookSAM", "MomentumSAM"]


class GSAM(TwoPassOptimizer):
    """Surrogate gap SAM: SAM's delta, then a step with g_p - alpha g_o, g_o the part of g orthogonal to g_p.

    Two gradient evaluations a step; keeps a second copy of the parameters' size, for g.

    Zhuang, Gong, Yuan, Cui, Adam, Dvornek, Tatikonda, Duncan, Liu, *Surrogate Gap Minimization Improves
    Sharpness-Aware Training*, 2022, arXiv 2203.08065.

    Args:
        rho: radius, >= 0; usual .01-.5.
        alpha: weight of the orthogonal part, >= 0; usual .4.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(0.05, of_projection("alpha", 0.4, "weight of the part of g orthogonal to g_p"))
    keeps_first_gradient = True
    _first: Sequence[int] = ()

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        self._first = active.indices
        torch._foreach_copy_(self._places.memory("gradient", active.indices).views, active.gradients)
        return rules.sam(active.gradients, ops=ops)

    def _redirect(self, active: Active, ops: Foreach) -> None:
        if self._first != active.indices:
            # No gradient at theta is a gradient of 0.
            for view in self._places.memory("gradient", sorted(set(active.indices) - set(self._first))).views:
                view.zero_()
        kept = self._places.memory("gradient", active.indices).views
        rules.gsam_gradient(active.gradients, kept, alpha=self.param_groups[0]["alpha"], ops=ops)


class FriendlySAM(TwoPassOptimizer):
    """Friendly SAM: delta = rho d / ||d||, d = g - sigma m, m an average of g with a decay. Two evaluations a step.

    m is used before its update; at first d = g. It is the second copy of the parameters' size, and state.

    Li, Zhou, He, Cheng, Huang, *Friendly Sharpness-Aware Minimization*, 2024, arXiv 2403.12350.

    Args:
        rho: radius, >= 0; usual .2.
        sigma: share of the average that is taken out, >= 0; usual 1.
        decay: of the average (lambda in the paper), in [0, 1); usual .6-.95.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(
        0.2,
        of_projection("sigma", 1.0, "share of the average gradient that is taken out"),
        of_projection("decay", 0.9, "decay of the average gradient", high=1),
    )

    keeps_first_gradient = True
    remembers: ClassVar = "gradient_average"

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        group = self.param_groups[0]
        fresh = [place for place, p in enumerate(active.parameters) if p not in self._remembered]
        for place in fresh:
            parameter = active.parameters[place]
            self._remembered[parameter] = torch.zeros_like(parameter)
        averages = [self._remembered[p] for p in active.parameters]
        ascent, _ = rules.friendly_sam(active.gradients, averages, sigma=group["sigma"], decay=group["decay"], ops=ops)
        if fresh and ascent.gradient_norm is not None:
            # From an average of 0 came d = g, which is what the first average is; a NaN stays for none yet.
            parameters, gradients = ([xs[place] for place in fresh] for xs in (active.parameters, ascent.direction))
            self._begin(parameters, gradients, ascent.gradient_norm)
        return ascent

    def _begin(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], norm: Scalar) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if isinstance(norm, Tensor):
                self._remembered[parameter].copy_(torch.where(torch.isfinite(norm), gradient, torch.nan))
            elif math.isfinite(norm):
                self._remembered[parameter].copy_(gradient)
            else:
                del self._remembered[parameter]


class LookSAM(TwoPassOptimizer):
    """LookSAM: SAM every k updates; between them g + alpha ||g|| / ||g_v|| g_v. 1 + 1/k gradient evaluations a step.

    g_v is the part of the last SAM gradient orthogonal to g, over all parameters together. It is the second copy of
    the parameters' size, and state.

    Liu, Mai, Chen, Hsieh, You, *Towards Efficient and Scalable Sharpness-Aware Minimization*, 2022, arXiv 2203.02714.

    Args:
        rho: radius, >= 0; usual .01-.5.
        k: updates from one full step to the next, >= 1; usual 5-10.
        alpha: weight of g_v, >= 0; usual .7.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(
        0.05,
        Hyperparameter("k", int, 5, low=1, description="updates from one full step to the next", per_group=False),
        of_projection("alpha", 0.7, "weight of the reused component"),
    )
    keeps_first_gradient = True
    remembers: ClassVar = "orthogonal_gradient"

    @property
    def needs_first_gradient(self) -> bool:
        """True in one update of k."""
        group = self.param_groups[0]
        return bool(group["n_updates"] % group["k"] == 0)

    def _candidates(self) -> Active:
        return super()._candidates() if self.needs_first_gradient else Active((), (), ())

    @property
    def _needs_first_step(self) -> bool:
        return self.needs_first_gradient

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        old = self._remembered
        self._remembered = {p: old[p] if p in old else torch.empty_like(p) for p in active.parameters}
        # The gradient waits where the component that replaces it is to be.
        torch._foreach_copy_(list(self._remembered.values()), active.gradients)
        return rules.sam(active.gradients, ops=ops)

    def _redirect(self, active: Active, ops: Foreach) -> None:
        both = [place for place, p in enumerate(active.parameters) if p in self._remembered]
        parameters, gradients = ([xs[place] for place in both] for xs in (active.parameters, active.gradients))
        kept = [self._remembered[p] for p in parameters]
        ops = self._places.operations([active.indices[place] for place in both], overwrite=True, allocate=True)
        if self.needs_first_gradient:
            self._remembered = dict(zip(parameters, kept, strict=True))
            if both:
                rules.look_sam_component(kept, gradients, ops=ops)
        elif both:
            rules.look_sam_gradient(gradients, kept, alpha=self.param_groups[0]["alpha"], ops=ops)


class MomentumSAM(TwoPassOptimizer):
    """Momentum-SAM: the gradient at theta - rho v / ||v||, v the base's momentum. One gradient evaluation a step.

    The loss that ``step(closure)`` returns is that at the perturbed point, the only one where it is known. In print
    it goes by the same letters as Monge SAM, which is :class:`MSAM`.

    Becker, Altrock, Risse, *Momentum-SAM: Sharpness Aware Minimization without Computational Overhead*, 2024,
    arXiv 2401.12033.

    Args:
        rho: radius, >= 0; usual about 3.
        arguments: those of :class:`TwoPassOptimizer`; the base must have a momentum.

    Raises:
        BaseOptimizerError: the base has no momentum.
        HyperparameterError: the base's momentum is 0.
    """

    hyperparameters: ClassVar = table(3.0)

    @property
    def needs_first_gradient(self) -> bool:
        """False: the momentum is known before the only pass."""
        return False

    def _candidates(self) -> Active:
        moving = [(index, p) for index, p in enumerate(self._places.parameters) if self._velocity(p) is not None]
        return Active([index for index, _ in moving], [p for _, p in moving], ())

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        velocities = [(self._velocity(p), p.dtype) for p in active.parameters]
        return rules.momentum_sam([v.to(dtype) for v, dtype in velocities if v is not None], ops=ops)

    def _velocity(self, parameter: Tensor) -> Tensor | None:
        state = self.state.get(parameter, {})
        velocity: Tensor | None = state.get("momentum_buffer", state.get("exp_avg"))
        return velocity

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        if "momentum" not in group and "betas" not in group:
            message = "momentum_sam moves along the base's momentum, but the base given has neither momentum nor betas."
            raise BaseOptimizerError(message)
        if group.get("momentum", 1) == 0:
            message = "momentum_sam moves along the base's momentum, so momentum > 0 must hold, but got momentum=0."
            raise HyperparameterError("momentum", message)
