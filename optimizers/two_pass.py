"""The one class that takes steps: a rule's two passes around a step of a base optimizer."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, cast, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from optimizers.ascent_sync import AscentSync, check_sync
from optimizers.buffers import frozen_buffers
from optimizers.errors import StepOrderError
from optimizers.foreach import Foreach
from optimizers.hooked import hooked
from optimizers.layout import Active
from optimizers.observed import Observed
from optimizers.rules import Ascent, warmed_up
from optimizers.uncompiled import uncompiled
from optimizers.update import Phase, Update

__all__ = ["TwoPassOptimizer"]


class TwoPassOptimizer(Observed):
    """A rule over a base optimizer: perturb, take the gradient there, restore, let the base step.

    Subclasses name the rule; see there for formulas. The base's ``state`` and ``param_groups`` are this object's own,
    so ``state_dict``, learning-rate schedulers and ``GradScaler`` see one optimizer. A group with ``maximize=True`` is
    perturbed against delta, to where its objective is lower. Each pass of a model with dropout draws a mask of its own,
    unless the closure puts the random state back before the second.

    With a closure, that zeroes the gradients, computes the loss and backpropagates::

        loss = optimizer.step(closure)

    In a loop of one's own, with any number of ``backward`` calls in each pass::

        if optimizer.needs_first_gradient:
            with optimizer.first_pass():
                loss_of(model(x), y).backward()
        optimizer.first_step()
        with optimizer.second_pass():
            loss_of(model(x), y).backward()
        optimizer.second_step()

    With a gradient scaler, between ``first_step`` and the end::

        optimizer.first_step(grad_scale=scaler.get_scale())
        with optimizer.second_pass():
            scaler.scale(loss_of(model(x), y)).backward()
        scaler.unscale_(optimizer)
        optimizer.restore()  # the scaler may skip the step
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    Args:
        params: parameters, named parameters or groups of them; a group may have its own ``rho`` and ``lr``.
        base_optimizer: class of the descent step, such as ``torch.optim.SGD``; its step must need no closure. Where
            all parameters fit into a CPU's cache and nobody has chosen ``foreach`` or ``fused``, it takes its
            multi-tensor path, as it does on an accelerator anyhow: SGD without Nesterov's momentum, Adam and AdamW, in
            32 or 64 bits, where the result is the same to the bit.
        model: the network. Its buffers (statistics of batch norm) then count once an update, not once a pass. Without
            it, put :func:`~optimizers.frozen_buffers` around the second pass.
        ascent_sync: under ``DistributedDataParallel``, whether the perturbation follows each process's own gradient
            (``"local"``: one reduction an update; needs ``model``) or the reduced one (``"global"``).
        total_steps: number of updates in the run; needed where ``rho_warmup`` is not 0.
        skip_non_finite: whether an update with a NaN or infinite gradient in either pass is skipped, the base's state
            included. None: wherever that needs no wait for an accelerator, that is on a CPU and over a base with
            ``fused=True``; elsewhere the base does with the gradient what it always does. True: everywhere, by one
            synchronisation an update where needed. False: nowhere. Such a gradient never perturbs, and is reported
            by :attr:`non_finite` (with False, that of the first pass).
        arguments: the rule's hyperparameters, and the base optimizer's.

    Raises:
        HyperparameterError: an argument is unknown, or a hyperparameter of the rule is outside its range.
        BaseOptimizerError: ``base_optimizer`` is no class of optimizers, needs a closure or sparse gradients, or has
            a hyperparameter of the rule's name.
        ParameterError: a parameter is complex, sparse, of a foreign class, or on another device than the first.
    """

    keeps_first_gradient: ClassVar[bool] = False
    """Whether the first gradient enters the step or a memory, and then has to be the same in every process."""

    def __init__(
        self,
        params: ParamsT,
        base_optimizer: type[Optimizer],
        *,
        model: nn.Module | None = None,
        ascent_sync: AscentSync = "global",
        total_steps: int | None = None,
        skip_non_finite: bool | None = None,
        **arguments: Any,
    ) -> None:
        check_sync(type(self).__name__, ascent_sync, model, keeps_first_gradient=self.keeps_first_gradient)
        self._saved_buffers: list[Tensor] = []
        self.model = model
        self.ascent_sync: AscentSync = ascent_sync
        self.skip_non_finite = skip_non_finite
        super().__init__(params, base_optimizer, total_steps=total_steps, **arguments)

    # What a rule says: whether it looks at theta, the perturbation, and the gradient to step with.

    @property
    def needs_first_gradient(self) -> bool:
        """Whether the next update needs a gradient at theta; where it does not, a loop leaves the first pass out."""
        return True

    @property
    def _needs_first_step(self) -> bool:
        """Whether the next update goes wrong where a loop leaves ``first_step`` out."""
        return True

    def _candidates(self) -> Active:
        """Return what is to be perturbed."""
        return self._places.with_gradient()

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        """Return the perturbation of what is to be perturbed."""
        raise NotImplementedError

    def _redirect(self, active: Active, ops: Foreach) -> None:
        """Turn the gradients of the second pass, in place, into what the base is to step with."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @hooked
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the parameters once.

        Args:
            closure: zeroes the gradients, computes the loss, backpropagates and returns the loss; called once a pass,
                with gradients enabled. Without it, this is :meth:`second_step` that leaves the gradients alone.

        Returns:
            The loss at theta (of a rule that never looks there, at the perturbed point).

        Raises:
            StepOrderError: without a closure, when :meth:`first_step` has not been called.
        """
        if closure is None:
            self._descend()
            return None
        self._refuse_perturbed("step(closure)")
        looks_at_theta = self.needs_first_gradient
        try:
            if looks_at_theta:
                with torch.enable_grad(), self.first_pass():
                    loss = closure()
            self._ascend(consume=True)
            with torch.enable_grad(), self.second_pass():
                perturbed_loss = closure()
        except BaseException:
            self._update.put_back()
            self._update = Update()
            raise
        loss = loss if looks_at_theta else perturbed_loss
        # With its graph, which need not live longer.
        del perturbed_loss
        self._descend()
        return loss

    @torch.no_grad()
    def first_step(self, zero_grad: bool = True, *, grad_scale: float | Tensor | None = None) -> None:
        """Move the parameters from theta to theta + delta.

        Args:
            zero_grad: whether to clear the gradients afterwards. Where true, some rules use their memory meanwhile.
            grad_scale: what the loss was multiplied by, such as ``scaler.get_scale()``; the gradients are divided by
                it. ``scaler.scale(torch.ones((), device=device))`` is the same without waiting for the device.

        Raises:
            StepOrderError: the parameters are perturbed already.
        """
        self._refuse_perturbed("first_step()")
        if grad_scale is not None and self.needs_first_gradient:
            inverse = torch.as_tensor(grad_scale).double().reciprocal().float()
            torch._foreach_mul_(self._candidates().gradients, inverse)
        self._ascend(consume=zero_grad)
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad: bool = True) -> None:
        """Restore theta bitwise and let the base step with the gradients as they are.

        Args:
            zero_grad: whether to clear the gradients afterwards.

        Raises:
            StepOrderError: :meth:`first_step` has not been called.
        """
        # Through step, not beside it: schedulers and step hooks watch that method.
        self.step()
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def restore(self) -> None:
        """Put theta back, bitwise and in place, without a step.

        A step may follow or, where a gradient scaler skipped it, the next :meth:`first_step`.
        """
        if self._update.phase is Phase.PERTURBED:
            self._update.put_back()
            self._count("n_evaluations")
            self._update.phase = Phase.RESTORED

    def first_pass(self) -> AbstractContextManager[None]:
        """Return a context for the pass at theta: gradients stay in the process where ``ascent_sync`` is local."""
        if self.ascent_sync == "local" and hasattr(self.model, "no_sync"):
            return cast(AbstractContextManager[None], cast(Any, self.model).no_sync())
        return nullcontext()

    def second_pass(self) -> AbstractContextManager[None]:
        """Return a context for the pass at theta + delta: buffers of ``model`` count in the first pass only."""
        if self.model is not None and self.needs_first_gradient:
            return frozen_buffers(self.model, memory=self._saved_buffers)
        return nullcontext()

    def __getstate__(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("model", "ascent_sync", "skip_non_finite")}
        return {**super().__getstate__(), **own, "_saved_buffers": []}

    @uncompiled
    def _ascend(self, *, consume: bool) -> None:
        self._update = Update()
        if self.needs_first_gradient:
            self._count("n_evaluations")
        active = self._candidates()
        if active.parameters:
            ascent = self._ascent(active, self._places.operations(active.indices, overwrite=consume, allocate=True))
            radii = [self._radius(group) for group in self.param_groups]
            if len(radii) > 1:
                radii = [radii[self._places.groups[index]] for index in active.indices]
            try:
                self._update.displace(active, self._places.memory("theta", active.indices), ascent, radii)
            except BaseException:
                self._update.put_back()
                raise
        self._update.phase = Phase.PERTURBED

    def _radius(self, group: Mapping[str, Any]) -> float:
        radius: float = warmed_up(
            group["rho"], group["n_updates"], rho_warmup=group["rho_warmup"], total_steps=group["total_steps"]
        )
        # A momentum of a base that maximizes has turned its sign already.
        return -radius if group.get("maximize") and self.needs_first_gradient else radius

    @uncompiled
    def _descend(self) -> None:
        update = self._update
        if update.phase is Phase.AT_REST and self._needs_first_step:
            message = (
                f"first_step() must come before the step of {type(self).__name__}, but theta is not perturbed. Call "
                "it after the first backward pass, or give step() a closure."
            )
            raise StepOrderError(message)
        if update.phase is Phase.AT_REST:
            update = self._update = Update()
        if update.phase is not Phase.RESTORED:
            update.put_back()
            self._count("n_evaluations")
        active = self._places.with_gradient()
        if active.gradients:
            ops = self._places.operations(active.indices, overwrite=True, allocate=False)
            if update.first_norm is None:
                update.second = ops.norm(active.gradients)
            elif self.skip_non_finite is not False:
                update.second = ops.excess(active.gradients)
            self._redirect(active, ops)
        self._step_where_finite()
        self._count("n_updates")
        update.phase = Phase.AT_REST

    def _step_where_finite(self) -> None:
        # A perturbation of this process's own gradient says nothing about the others, which have to step alike.
        seen = self._update.seen()[-1:] if self.ascent_sync == "local" else self._update.seen()
        on_host = not any(isinstance(scalar, Tensor) for scalar in seen)
        if not on_host and self.skip_non_finite is not False and all(group.get("fused") for group in self.param_groups):
            self._step_base((~self._all_finite(seen)).to(torch.float32))
            return
        may_skip = on_host if self.skip_non_finite is None else self.skip_non_finite
        if not may_skip or all(math.isfinite(float(scalar)) for scalar in seen):
            self._step_base()
