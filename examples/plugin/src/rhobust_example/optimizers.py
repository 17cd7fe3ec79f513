"""A rule that is a pure function, and an optimizer that is a class."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from optimizers import Hyperparameter, Seen, Source, class_info, rule_info


def signs(seen: Seen) -> list[Tensor]:
    """Return the signs of the gradient: the worst direction in a ball of the maximum norm, to first order.

    `softness` makes a smooth sign of it, g / (|g| + softness), for small entries are mostly noise.
    """
    softness = seen.hyperparameters["softness"]
    return [g / (g.abs() + softness).clamp(min=1e-12) for g in seen.gradients]


SIGN_SAM = rule_info(
    "sign_sam",
    signs,
    title="Sign SAM",
    rho=0.05,
    hyperparameters=[
        Hyperparameter("softness", float, 0.0, low=0, high_open=True, description="entries below it count less"),
    ],
    source=Source(
        "Foret, Kleiner, Mobahi, Neyshabur",
        "Sharpness-Aware Minimization for Efficiently Improving Generalization",
        2020,
        "2010.01412",
    ),
    usual="rho as for SAM, which has the same length",
)


class NormalizedGD(Optimizer):
    """Normalised gradient descent: a step of length lr along the gradient, or along an average of its directions.

    Args:
        params: parameters.
        lr: length of a step, > 0.
        momentum: decay of the average, in [0, 1).
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # it needs the loss
        """Update the parameters once.

        Args:
            closure: zeroes the gradients, computes the loss, backpropagates and returns the loss.
        """
        with torch.enable_grad():
            loss = closure()
        every = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([g.norm() for g in every]).norm().clamp(min=1e-12)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad / norm, 1 - group["momentum"])
                p.sub_(group["lr"] * average)
        return loss


NORMALIZED_GD = class_info(
    "normalized_gd",
    NormalizedGD,
    title="Normalised GD",
    hyperparameters=[
        Hyperparameter("momentum", float, 0.0, low=0, high=1, high_open=True, description="decay of the average"),
    ],
    gradient_evaluations=1,
    source=Source(
        "Hazan, Levy, Shalev-Shwartz",
        "Beyond Convexity: Stochastic Quasi-Convex Optimization",
        2015,
        "1507.02030",
    ),
    usual="lr .001-.1",
)
