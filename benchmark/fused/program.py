"""The program of a fused group: its update and its measurements as traced graphs, made once for each shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from benchmark.fused.graph import Traced, traced
from benchmark.measuring import measured, measured_last, scored_splits
from benchmark.precision import in_precision
from benchmark.records import Scalar
from benchmark.sharpness import Losses
from benchmark.spec import Setting
from benchmark.tasks import Batch, Model, Splits, Task
from optimizers.functional import Memory, Updated, update

Parameters = list[Tensor]
"""One tensor a parameter of the model, the cells along its first dimension."""


class Program:
    """What is done to the cells of a group, as functions of their stacked parameters.

    Args:
        task: of the setting.
        setting: task, rule, base and budget.
        model: any initialised model of the task, on the device; it gives the structure.
        constants: hyperparameters that are the same in every cell.
        total: steps of a run.
        is_traced: whether the functions are traced, which pays where they are called often.
    """

    def __init__(
        self,
        task: Task,
        setting: Setting,
        model: nn.Module,
        constants: Mapping[str, Scalar],
        total: int,
        *,
        is_traced: bool = True,
    ) -> None:
        self._task, self._setting, self._model, self._total = task, setting, model, total
        self._constants, self._is_traced = dict(constants), is_traced
        self.names = [name for name, _ in model.named_parameters()]
        self._is_weight = ["bias" not in name.rpartition(".")[2] for name in self.names]
        self._buffers = dict(model.named_buffers())
        self._graphs: dict[Any, Traced] = {}

    def update(
        self,
        parameters: Parameters,
        memory: Memory,
        values: Mapping[str, Tensor],
        batch: Batch,
        *,
        lr: Tensor,
        step: Tensor,
        twice: Tensor | None,
        one_batch: bool,
    ) -> Updated:
        """Return what one update makes of every cell.

        Args:
            parameters: theta.
            memory: of the optimizer, stacked likewise.
            values: hyperparameters that differ between cells, (cells,) each.
            batch: tensors (cells, batch, ...), or (batch, ...) where all cells have the same.
            lr: learning rates of this update, (cells,).
            step: number of updates done, 0-dim.
            twice: of LookSAM, which cells take a full step, (cells,); None where none does.
            one_batch: whether all cells have the same batch.
        """
        full = () if twice is None else (twice,)

        def one(
            ps: Parameters, kept: Memory, own: Mapping[str, Tensor], data: Batch, rate: Tensor, *rest: Tensor
        ) -> Any:
            *two, number = rest
            return update(
                self._setting.rule,
                self._setting.base,
                ps,
                kept,
                {**self._constants, **own},
                grad_and_value(lambda qs: self._task.loss(self._trained_at(qs), data)),
                step=number,
                lr=rate,
                total_steps=self._total,
                is_weight=self._is_weight,
                twice=two[0] if two else None,
            )

        axes = (0, 0, 0, None if one_batch else 0, 0, *(0 for _ in full), None)
        arguments = (parameters, memory, dict(values), batch, lr, *full, step)
        self._model.train()
        result: Updated = self._run(("update", one_batch), vmap(one, in_dims=axes), *arguments)
        return result

    def measure(self, parameters: Parameters, splits: Splits) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the metrics of the curve and what it holds beside them, (cells,) each, of cells with one split."""

        def one(ps: Parameters, data: dict[str, Batch]) -> Any:
            return measured(self._task, self._at(ps), data, at_end=False), self._task.trace(self._at(ps))

        scored = scored_splits(self._task, splits)
        self._model.eval()
        result: tuple[dict[str, Tensor], dict[str, Tensor]] = self._run(
            ("measure",), vmap(one, in_dims=(0, None)), parameters, scored
        )
        return result

    def measure_last(self, parameters: Parameters, splits: Splits) -> dict[str, Tensor]:
        """Return what is measured after the last step, (cells,) each, of cells with one split."""

        def one(ps: Parameters) -> Any:
            return measured_last(self._task, self._at(ps), splits)

        self._model.eval()
        # Not traced: that takes as long as a hundred calls where there is much to do, and there is one a run.
        with torch.no_grad():
            result: dict[str, Tensor] = vmap(one)(parameters)
        return result

    def losses(self, batch: Batch) -> Losses:
        """Return the losses of cells on one batch as they are measured, as a function of stacked parameters."""

        def one(ps: Parameters) -> Tensor:
            return self._task.loss(self._at(ps), batch)

        def losses(parameters: Sequence[Tensor]) -> Tensor:
            self._model.eval()
            of_all: Tensor = vmap(one)(list(parameters))
            return of_all

        return losses

    def same_buffers(self, model: nn.Module) -> bool:
        """Return whether a model has the buffers of this program's; they are no part of what is stacked."""
        theirs = dict(model.named_buffers())
        return theirs.keys() == self._buffers.keys() and all(
            torch.equal(buffer, self._buffers[name]) for name, buffer in theirs.items()
        )

    def _trained_at(self, parameters: Sequence[Tensor]) -> Model:
        return in_precision(self._at(parameters), self._setting.budget.precision, parameters[0].device)

    def _at(self, parameters: Sequence[Tensor]) -> Model:
        state = {**self._buffers, **dict(zip(self.names, parameters, strict=True))}

        def model(*inputs: Any) -> Any:
            outputs = functional_call(self._model, state, inputs)
            changed = [name for name, buffer in self._buffers.items() if state[name] is not buffer]
            if changed:
                raise ValueError(
                    f"models that are trained together must leave their buffers alone, but those of {self._task.name} "
                    f"change {', '.join(changed)}; let its can_fuse be False."
                )
            return outputs

        return model

    def _run(self, kind: tuple[Any, ...], function: Callable[..., Any], *arguments: Any) -> Any:
        if not self._is_traced:
            with torch.no_grad():
                return function(*arguments)
        key = (kind, _shapes(arguments))
        if key not in self._graphs:
            self._graphs[key] = traced(function, *arguments)
        return self._graphs[key](*arguments)


def _shapes(value: Any) -> Any:
    """Return what a graph depends on: the shapes and types of all tensors, in their order."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    if isinstance(value, Mapping):
        return tuple((name, _shapes(item)) for name, item in value.items())
    return tuple(_shapes(item) for item in value)
