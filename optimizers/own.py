"""Optimizers of one's own: a rule that is a pure function, or a whole class of ``torch.optim``, made known by name."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from optimizers.algebra import Plain
from optimizers.alone import Alone
from optimizers.bases import LR
from optimizers.errors import OptimizersError, RegistrationError
from optimizers.foreach import Foreach
from optimizers.hyperparameter import Hyperparameter, Value
from optimizers.info import Direction, OptimizerInfo, Seen, Source, along
from optimizers.layout import Active
from optimizers.memoryless import is_weight
from optimizers.rule_hyperparameters import own_of, table
from optimizers.rules import Ascent
from optimizers.two_pass import TwoPassOptimizer

__all__ = ["OwnRule", "class_info", "rule_info"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class OwnRule(TwoPassOptimizer):
    """A rule that a user gave as a function: delta = rho d / ||d||, or rho d. Two gradient evaluations a step.

    Args:
        rho: radius, >= 0.
        arguments: those of :class:`TwoPassOptimizer`, and the rule's.
    """

    direction: ClassVar[Direction]
    normalised: ClassVar[bool]

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        kinds = [is_weight(group, place) for group in self.param_groups for place in range(len(group["params"]))]
        values = {name: self.param_groups[0][name] for name in own_of(self.hyperparameters)}
        seen = Seen(active.gradients, active.parameters, [kinds[index] for index in active.indices], values)
        return along(type(self).direction, seen, normalised=self.normalised, ops=ops)


def rule_info(
    name: str,
    direction: Direction,
    *,
    title: str,
    rho: float,
    hyperparameters: Iterable[Hyperparameter] = (),
    normalised: bool = True,
    source: Source | None = None,
    usual: str = "",
) -> OptimizerInfo:
    """Return what specs have to know of a rule of one's own: its perturbation is rho d / ||d||, or rho d.

    It works over every base optimizer, alone as ``rule_info(...).cls``, and where many cells are trained at once.
    ``rho`` and its warm-up ``rho_warmup`` are hyperparameters of every rule.

    Args:
        name: as in a spec: small letters, digits and underscores.
        direction: d, a pure function of what it sees: new tensors by operations that ``torch.func.vmap`` can map, no
            state, no branch on a value.
        title: as in a table.
        rho: default of the radius, >= 0.
        hyperparameters: the rule's others, each with a default and a range.
        normalised: whether ||d|| is taken out, so that the perturbation has the length rho.
        source: where it comes from.
        usual: values in use, in words.

    Raises:
        RegistrationError: something of it is missing, of the wrong type, or the function does not do what it should.
        HyperparameterError: the default of the radius is out of range.
    """
    _check_words(name, title, usual, source)
    own = [replace(one, per_group=False) for one in _checked(name, hyperparameters, ("rho", "rho_warmup"))]
    if not callable(direction):
        raise RegistrationError(f"the direction of '{name}' must be a function, but got {direction!r}.")
    _try_direction(name, direction, own)
    known = MappingProxyType(dict(table(rho, *own)))
    parts = {
        "__doc__": f"{title}. Two gradient evaluations a step.",
        "__module__": direction.__module__,
        "hyperparameters": known,
        "direction": staticmethod(direction),
        "normalised": normalised,
    }
    cls = type("".join(map(str.capitalize, name.split("_"))), (OwnRule,), parts)
    return OptimizerInfo(name, title, cls, known, _two, source, usual, direction=direction, normalised=normalised)


def class_info(
    name: str,
    make: Callable[..., Optimizer],
    *,
    title: str,
    hyperparameters: Iterable[Hyperparameter] = (),
    gradient_evaluations: float | Callable[[Mapping[str, Value]], float] = 1.0,
    source: Source | None = None,
    usual: str = "",
) -> OptimizerInfo:
    """Return what specs have to know of an optimizer of one's own that takes the descent step itself.

    It has no base, and its cells are trained one after another. ``lr`` is a hyperparameter of every optimizer;
    schedules scale that of its parameter groups.

    Args:
        name: as in a spec: small letters, digits and underscores.
        make: a class of ``torch.optim``'s kind or a function: ``make(parameters, lr=..., **hyperparameters)`` returns
            an optimizer whose ``step(closure)`` calls the closure at least once.
        title: as in a table.
        hyperparameters: all but ``lr``, each with a default and a range.
        gradient_evaluations: calls of the closure a step, averaged over a long run, or a function of the values.
        source: where it comes from.
        usual: values in use, in words.

    Raises:
        RegistrationError: something of it is missing, of the wrong type, or a step of it goes wrong.
    """
    _check_words(name, title, usual, source)
    own = _checked(name, hyperparameters, ("lr",))
    known = MappingProxyType({one.name: one for one in (LR, *own)})
    _check_signature(name, make, known)
    cost = gradient_evaluations if callable(gradient_evaluations) else _constant(name, gradient_evaluations)
    info = OptimizerInfo(name, title, None, known, cost, source, usual, make=make)
    _try_step(info)
    return info


def _two(_: Mapping[str, Value]) -> float:
    return 2.0


def _constant(name: str, number: object) -> Callable[[Mapping[str, Value]], float]:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 1 <= number < 1e6:
        raise RegistrationError(f"1 <= gradient_evaluations must hold of '{name}', but got {number!r}.")
    value = float(number)
    return lambda _: value


def _check_words(name: object, title: object, usual: object, source: object) -> None:
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise RegistrationError(
            f"the name of an optimizer must be of small letters, digits and underscores, at most 64, but got {name!r}."
        )
    if not (isinstance(title, str) and title.strip() and isinstance(usual, str)):
        raise RegistrationError(f"title and usual of '{name}' must be texts, but got {title!r} and {usual!r}.")
    if source is not None and not isinstance(source, Source):
        raise RegistrationError(f"the source of '{name}' must be a Source, but got {source!r}.")


def _checked(name: str, hyperparameters: Iterable[Hyperparameter], reserved: Iterable[str]) -> list[Hyperparameter]:
    own = list(hyperparameters)
    for one in own:
        if not isinstance(one, Hyperparameter):
            raise RegistrationError(f"each hyperparameter of '{name}' must be a Hyperparameter, but got {one!r}.")
        if one.default is None:
            raise RegistrationError(f"each hyperparameter of '{name}' must have a default, but {one.name} has none.")
    names = [*reserved, *(one.name for one in own)]
    for twice in (one for one in names if names.count(one) > 1):
        raise RegistrationError(f"a hyperparameter of '{name}' must stand once, but got {twice} twice.")
    return own


def _check_signature(name: str, make: object, known: Mapping[str, Hyperparameter]) -> None:
    """Refuse what cannot be called with parameters and every hyperparameter, or needs what is not declared."""
    if not callable(make):
        raise RegistrationError(f"'{name}' must be made by a class or a function, but got {make!r}.")
    theirs = list(inspect.signature(make).parameters.values())[1:]
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in theirs)
    missing = sorted(known.keys() - {one.name for one in theirs})
    if missing and not takes_any:
        raise RegistrationError(f"'{name}' must take every hyperparameter by name, but it takes no {missing[0]}.")
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [one.name for one in theirs if one.default is inspect.Parameter.empty and one.kind not in variable]
    for undeclared in (one for one in needed if one not in known):
        raise RegistrationError(
            f"each argument that '{name}' needs must be a declared hyperparameter, but {undeclared} is not."
        )


def _try_direction(name: str, direction: Direction, own: Iterable[Hyperparameter]) -> None:
    """Ask for the direction at a point; whatever an author's code does wrong is told here and not in a job."""
    tensors = [torch.ones(2, 3), torch.ones(3)]
    before = [tensor.clone() for tensor in tensors]
    seen = Seen(tensors, [2 * one for one in tensors], [True, False], {h.name: h.default or 0 for h in own})
    try:
        ways: list[Any] = list(direction(seen))
        along(direction, seen, normalised=True, ops=Plain())
    except Exception as error:
        raise RegistrationError(f"the direction of '{name}' fails: {type(error).__name__}: {error}") from error
    shapes = [tuple(way.shape) if isinstance(way, torch.Tensor) else way for way in ways]
    if shapes != [tuple(one.shape) for one in tensors]:
        raise RegistrationError(
            f"the direction of '{name}' must be one tensor a parameter, of its shape, here [(2, 3), (3,)], "
            f"but got {shapes}."
        )
    if not all(map(torch.equal, tensors, before)):
        raise RegistrationError(f"the direction of '{name}' must leave the gradients alone, but it writes to them.")


def _try_step(info: OptimizerInfo) -> None:
    """Take a step with the defaults, for the same reason."""
    parameter = nn.Parameter(torch.ones(2, 3))
    values: dict[str, Any] = {name: one.default for name, one in info.hyperparameters.items()}
    values["lr"] = 0.01
    try:
        optimizer = Alone(info, [parameter], values)
        made: object = optimizer.optimizer
        if not isinstance(made, Optimizer):
            raise RegistrationError(f"'{info.name}' must make a torch.optim.Optimizer, but made {made!r}.")
        if any(group.get("lr") != values["lr"] for group in optimizer.param_groups):
            raise RegistrationError(f"each parameter group of '{info.name}' must hold its lr, which schedules scale.")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = parameter.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return loss.detach()

        optimizer.step(closure)
    except RegistrationError:
        raise
    except OptimizersError as error:
        raise RegistrationError(str(error)) from error
    except Exception as error:
        raise RegistrationError(f"a step of '{info.name}' fails: {type(error).__name__}: {error}") from error
    if not info.gradient_evaluations() >= 1:
        raise RegistrationError(f"1 <= gradient_evaluations must hold of '{info.name}'.")
