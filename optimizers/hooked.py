"""The hooks and the profile that torch puts around ``step``, entered only where somebody looks."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch._C._autograd import _profiler_enabled
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

__all__ = ["hooked"]

F = TypeVar("F", bound=Callable[..., Any])


def hooked(step: F) -> F:
    """Return ``step`` with the hooks that ``torch.optim.Optimizer`` gives every step.

    Its own wrapper opens a profiler's range even where no profiler runs, which costs as much as copying forty small
    tensors. This one calls that wrapper where there is a profiler, a hook or a compiler. An execution trace taken
    without a profiler shows the kernels of a step, not its name.
    """
    watched = Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def chosen(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        hooks = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
        everywhere = _global_optimizer_pre_hooks or _global_optimizer_post_hooks
        if hooks or everywhere or torch.compiler.is_compiling() or _profiler_enabled():
            return watched(self, *args, **kwargs)
        return step(self, *args, **kwargs)

    # What torch asks for before it puts its own around a step.
    cast(Any, chosen).hooked = True
    return cast(F, chosen)
