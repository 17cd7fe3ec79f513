"""One row for each member of the family, and the small problems that generic tests run them on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from optimizers import TwoPassOptimizer, optimizer_info


@dataclass(frozen=True)
class Case:
    """A member with hyperparameters far from degenerate, and what it does in one update."""

    name: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    passes: int = 2
    copies: int = 1

    @property
    def cls(self) -> type[TwoPassOptimizer]:
        cls = optimizer_info(self.name).cls
        assert cls is not None
        return cls

    def __str__(self) -> str:
        return self.name


CASES = [
    Case("gd", passes=1, copies=0),
    Case("sam", {"rho": 0.1}),
    Case("usam", {"rho": 0.1}),
    Case("msam", {"rho": 0.1}),
    Case("asam", {"rho": 0.5, "eta": 0.02}),
    Case("fisher_sam", {"rho": 0.1, "eta": 0.5}),
    Case("gsam", {"rho": 0.1, "alpha": 0.3}, copies=2),
    Case("friendly_sam", {"rho": 0.1, "sigma": 0.9, "decay": 0.7}, copies=2),
    Case("look_sam", {"rho": 0.1, "k": 3, "alpha": 0.5}, copies=2),
    Case("momentum_sam", {"rho": 0.1}, passes=1),
]
PERTURBING = [case for case in CASES if case.name != "gd"]
BASES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2}),
    "nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01}),
}


class Problem:
    """A small regression with batch norm: another batch at every call, the same in every instance."""

    def __init__(self, dtype: torch.dtype = torch.float32, *, norm: bool = True) -> None:
        generator = torch.Generator().manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6) if norm else nn.Identity(), nn.Tanh(), nn.Linear(6, 1)
        )
        with torch.no_grad():
            for p in self.model.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
        self.model.to(dtype)
        self.inputs = torch.randn(32, 4, generator=generator).to(dtype)
        self.targets = torch.randn(32, 1, generator=generator).to(dtype)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def vector(self) -> Tensor:
        return torch.cat([p.detach().flatten().clone() for p in self.model.parameters()])

    def loss(self, batch: int = 0) -> Tensor:
        rows = slice(8 * (batch % 4), 8 * (batch % 4) + 8)
        return nn.functional.mse_loss(self.model(self.inputs[rows]), self.targets[rows])

    def closure(self, optimizer: torch.optim.Optimizer, batch: int = 0) -> Callable[[], Any]:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(batch)
            backward(loss)
            return loss

        return closure


def backward(loss: Tensor) -> None:
    """Backpropagate; torch has no types for it."""
    loss.backward()  # type: ignore[no-untyped-call]


def make(case: Case, problem: Problem, base: str = "sgd", **overrides: Any) -> TwoPassOptimizer:
    cls, arguments = BASES[base]
    return case.cls(
        problem.model.parameters(), cls, model=problem.model, **{**case.hyperparameters, **arguments, **overrides}
    )


def run(optimizer: TwoPassOptimizer, problem: Problem, updates: range | int) -> list[float]:
    """Train and return the losses."""
    steps = range(updates) if isinstance(updates, int) else updates
    losses = []
    for batch in steps:
        loss: Any = optimizer.step(problem.closure(optimizer, batch))
        losses.append(loss.item())
    return losses
