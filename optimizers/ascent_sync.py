"""Whose gradient the perturbation follows where several processes train one model."""

from typing import Literal, TypeAlias

from torch import nn

from optimizers.errors import HyperparameterError

__all__ = ["AscentSync", "check_sync"]

AscentSync: TypeAlias = Literal["local", "global"]


def check_sync(rule: str, ascent_sync: str, model: nn.Module | None, *, keeps_first_gradient: bool) -> None:
    """Refuse a way of following that is none, or that a rule cannot go.

    Args:
        rule: name of the rule's class.
        ascent_sync: what was given.
        model: whose reduction is to be left out.
        keeps_first_gradient: whether the first gradient enters more than the perturbation.

    Raises:
        HyperparameterError: it is neither of the two, or local without a model or with a rule that keeps the gradient.
    """
    if ascent_sync not in ("local", "global"):
        message = f"ascent_sync must be 'local' or 'global', but got {ascent_sync!r}."
    elif ascent_sync == "local" and keeps_first_gradient:
        message = (
            f"{rule} steps with the first gradient too, or keeps an average of it, which must be the same in every "
            "process, but got ascent_sync='local'. Use 'global'."
        )
    elif ascent_sync == "local" and model is None:
        message = "ascent_sync='local' needs the model whose reduction it leaves out, but got model=None."
    else:
        return
    raise HyperparameterError("ascent_sync", message)
