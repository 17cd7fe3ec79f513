"""Bookkeeping that torch.compile is not to trace."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch._compile import _disable_dynamo

__all__ = ["uncompiled"]

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` such that a compiled caller calls it as it is.

    torch.optim does the same with its own bookkeeping, for tracing specialises on every counter. Outside of a compiled
    caller it costs nothing. ``torch.compiler.disable`` is the public way, but imports the compiler at once.
    """
    hidden = _disable_dynamo(function)

    @functools.wraps(function)
    def chosen(*args: P.args, **kwargs: P.kwargs) -> R:
        return (hidden if torch.compiler.is_compiling() else function)(*args, **kwargs)

    return chosen
