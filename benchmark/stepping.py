"""Stepping: what one step of a cell does with a batch, in the precision, micro-batches and processes of its budget."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.distributed import crew_of, of_all, spread
from benchmark.microbatches import has_batch_norm, in_parts
from benchmark.precision import in_precision
from benchmark.records import Scalar
from benchmark.schedule import lr_factor
from benchmark.spec import Setting
from benchmark.spec.steps import whole_batches
from benchmark.tasks import Batch, Task
from optimizers import Alone, TwoPassOptimizer, build

MIN_SCALE = 1.0  # of the loss in fp16; below it, scaling would make small what is too large already


class Met(NamedTuple):
    """What a step met: scalars on the device, for which nobody has waited yet."""

    loss: Tensor
    grad_norm: Tensor
    delta_norm: Tensor


class Stepping:
    """The steps of one cell, its optimizer among them.

    In fp16 many gradients are smaller than a number of 16 bits can be, so the loss is scaled up before the backward
    pass and the gradients back down after it, by torch's `GradScaler`. A step with a gradient that is not finite is
    skipped, with nothing changed but the scale, which is halved; after 2,000 steps without one it is doubled. A skipped
    step counts: as a step, and with the gradient evaluations that it took. The norms that it met are NaN, which no
    median takes in; its loss is the unscaled one, as of every step. Where the scale falls below 1 the run overflows for
    good, whatever the scale: the loss of that step is NaN, so that the run ends there as diverged.

    A batch goes through the model in micro-batches where the budget says so. One evaluation of the gradient is still a
    pass over the batch.

    Where several processes train the cell, each has such an object, makes the same calls, and holds the same parameters
    after each.

    Args:
        task: of the setting.
        setting: task, rule, base and budget.
        hyperparameters: every hyperparameter of the rule and its base.
        model: as training begins with it, on the device.
        total: steps of the run.
        device: on which it is trained.

    Raises:
        ValueError: the budget has micro-batches, and the model batch norm; or it is for several processes that have not
            joined.
    """

    def __init__(
        self,
        task: Task,
        setting: Setting,
        hyperparameters: Mapping[str, Scalar],
        model: nn.Module,
        total: int,
        device: torch.device,
    ) -> None:
        self._task, self._budget, self._total = task, setting.budget, total
        budget, self.crew = setting.budget, crew_of(setting)
        if budget.micro_batch is not None and has_batch_norm(model):
            raise ValueError(whole_batches(task, budget.micro_batch))
        trained = model if self.crew.size == 1 else spread(model, budget.micro_batch, device)
        in_step = in_parts(model, budget.micro_batch) if trained is model else trained
        self._model = of_all(in_precision(in_step, budget.precision, device), self.crew)
        self._scaler = torch.amp.GradScaler(device.type) if budget.precision == "fp16" else None
        self.optimizer = build(
            setting.rule,
            model.named_parameters(),
            setting.base,
            hyperparameters,
            total_steps=total,
            model=trained,
            ascent_sync=budget.ascent_sync,
            # a gradient that is not finite is to end the run, on every device; in fp16, to be left out
            skip_non_finite=self._scaler is not None,
        )
        self._learning_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._one = torch.ones((), device=device)

    def step(self, number: int, batch: Batch) -> Met:
        """Update the parameters once.

        Args:
            number: of the step, from 1.
            batch: what the step sees.
        """
        self.crew.lead(number)
        factor = lr_factor(number - 1, self._total, self._budget)
        for group, learning_rate in zip(self.optimizer.param_groups, self._learning_rates, strict=True):
            group["lr"] = learning_rate * factor
        if self._scaler is not None and isinstance(self.optimizer, TwoPassOptimizer):
            return self._scaled_step(self._scaler, self.optimizer, batch)
        loss = self.optimizer.step(_closure(self.optimizer, lambda: self._backward(batch)))
        return Met(torch.as_tensor(loss), self.optimizer.grad_norm, self.optimizer.delta_norm)

    def end(self) -> None:
        """Tell the other processes, if there are any, that the run is at its end."""
        self.crew.lead(0)

    def state_dict(self) -> dict[str, float]:
        """Return as plain numbers what the next step depends on beside model, optimizer and random state."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from what `state_dict` returned."""
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(state))

    def _scaled_step(self, scaler: torch.amp.GradScaler, optimizer: TwoPassOptimizer, batch: Batch) -> Met:
        """Update the parameters as the two passes go with a scaler; the loss is that of the first of them."""
        scale = scaler.scale(self._one)  # a tensor: for its number one would wait
        losses = []
        optimizer.zero_grad()
        if optimizer.needs_first_gradient:
            with optimizer.first_pass():
                losses.append(self._backward(batch))
        optimizer.first_step(grad_scale=scale)
        with optimizer.second_pass():
            losses.append(self._backward(batch))
        scaler.unscale_(optimizer)
        optimizer.restore()
        scaler.step(optimizer)
        scaler.update()
        after = scaler.scale(self._one)
        loss = torch.where(after < MIN_SCALE, torch.nan, losses[0])
        norms = (torch.where(after < scale, torch.nan, norm) for norm in (optimizer.grad_norm, optimizer.delta_norm))
        return Met(loss, *norms)

    def _backward(self, batch: Batch) -> Tensor:
        """Add the gradient of a batch, scaled where there is a scale, to those of the parameters; return its loss."""
        loss = self._task.loss(self._model, batch)
        whole = loss if self.crew.size == 1 else loss * self.crew.size  # of the shares' gradients comes the mean
        scaled = whole if self._scaler is None else self._scaler.scale(whole)
        scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach()


def _closure(optimizer: TwoPassOptimizer | Alone, backward: Callable[[], Tensor]) -> Callable[[], Any]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        return backward()

    return closure
