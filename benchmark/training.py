"""Training of one cell: the plain loop, which every faster way of training is held against."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.journal import Journal
from benchmark.measuring import measured, measured_last, scored_splits
from benchmark.memory import peak_bytes
from benchmark.precision import in_precision
from benchmark.records import Cost, Outcome, Scalar
from benchmark.replay import initial_model
from benchmark.schedule import evaluation_steps, lr_factor, steps_per_epoch, total_steps
from benchmark.seeding import Stream, seeded_torch, torch_generator
from benchmark.sending import sent
from benchmark.sharpness import Neighbourhood, reference_batch
from benchmark.sharpness import sharpness as measured_sharpness
from benchmark.spec import Setting
from benchmark.tasks import Batch, Model, Split, Splits, Task
from benchmark.tasks.lazy import is_in_memory, taken
from optimizers import Alone, TwoPassOptimizer, build, optimizer_info

Augmentation = Callable[[Batch, int, int], Batch]
"""Returns a batch as it is trained on, given the seed and the step."""

READ_EVERY = 1_000  # steps; what is pending for longer fills the device's memory


def train(
    task: Task,
    setting: Setting,
    hyperparameters: Mapping[str, Scalar],
    seed: int,
    *,
    device: torch.device,
    limit_s: float,
    sharpness: Sequence[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Train one cell from its seed and return what came of it.

    Split, initialisation, batch order and dropout depend on the seed alone, whatever the optimizer and its
    hyperparameters (common random numbers). A loss or parameter that stops being finite ends the run as diverged,
    noticed when the log is next read: the step loop itself never waits for the device.

    Args:
        task: the task of the setting.
        setting: task, rule, base and budget.
        hyperparameters: every hyperparameter of the rule and its base.
        seed: of all randomness.
        device: on which it is trained.
        limit_s: seconds after which it ends as timed out, with its curve so far, if steps are left.
        sharpness: measures of a completed run, by their names in a spec; those for which no time is left are missing.
        clock: monotonic seconds.
    """
    started = clock()
    splits = task.data(seed, device)
    model, optimizer, total = _prepared(task, setting, hyperparameters, seed, device)
    shown = in_precision(model, setting.budget.precision, device)
    learning_rates = [float(group["lr"]) for group in optimizer.param_groups]
    journal, pending = Journal(task), _Pending()
    evaluations = frozenset(evaluation_steps(total, task.max_evaluations))
    batches = batches_of(splits.train, setting.budget.batch_size, seed, augmented=task.augmented)
    diverged_at, step, is_late = None, 0, False
    with seeded_torch(seed, Stream.TRAIN), contextlib.closing(batches):
        model.train()
        for step in range(1, total + 1):
            factor = lr_factor(step - 1, total, setting.budget)
            for group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
                group["lr"] = learning_rate * factor
            loss = optimizer.step(_closure(task, shown, optimizer, next(batches)))
            pending.add(torch.as_tensor(loss), optimizer.grad_norm, optimizer.delta_norm)
            is_late = step < total and clock() - started > limit_s
            if step not in evaluations and not is_late and step % READ_EVERY:
                continue
            diverged_at = journal.read(step, *pending.read(), parameters_are_finite=_parameters_are_finite(model))
            if diverged_at is None and step in evaluations:
                with _evaluating(model):
                    scores = measured(task, model, scored_splits(task, splits), at_end=False)
                    trace = task.trace(model)
                journal.add_point(step, _numbers(scores), _numbers(trace))
            if diverged_at is not None or is_late:
                break
    last, sharp = None, {}
    if diverged_at is None and not is_late:
        with _evaluating(model):
            last = _numbers(measured_last(task, model, splits))
            sharp = _sharpness(task, model, splits, seed, sharpness, lambda: clock() - started > limit_s)
    cost = Cost(step, optimizer.gradient_evaluations, clock() - started, False, "sequential", device.type)
    return journal.outcome(cost, hyperparameters.get("rho"), last=last, diverged_at=diverged_at, sharpness=sharp)


def step_s(
    task: Task,
    setting: Setting,
    hyperparameters: Mapping[str, Scalar],
    seed: int,
    *,
    device: torch.device,
    n_steps: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the seconds that a step of `train` takes, without evaluations: the mean of a few after a first one."""
    model, optimizer, _ = _prepared(task, setting, hyperparameters, seed, device)
    shown = in_precision(model, setting.budget.precision, device)
    splits = task.data(seed, device)
    batches = batches_of(splits.train, setting.budget.batch_size, seed, augmented=task.augmented)
    with seeded_torch(seed, Stream.TRAIN), contextlib.closing(batches):
        float(optimizer.step(_closure(task, shown, optimizer, next(batches))))  # a float waits for the device
        started = clock()
        for _ in range(n_steps):
            loss = optimizer.step(_closure(task, shown, optimizer, next(batches)))
        float(loss)
    return (clock() - started) / n_steps


def cell_bytes(
    task: Task,
    setting: Setting,
    hyperparameters: Mapping[str, Scalar],
    seed: int,
    *,
    device: torch.device,
    sharpness: Sequence[str] = (),
) -> int:
    """Return the bytes that a cell takes at its peak: its state, a step of `train`, and the measurements."""
    splits = task.data(seed, device)

    def do_once() -> None:
        model, optimizer, _ = _prepared(task, setting, hyperparameters, seed, device)
        batches = batches_of(splits.train, setting.budget.batch_size, seed, augmented=task.augmented)
        with seeded_torch(seed, Stream.TRAIN), contextlib.closing(batches):
            shown = in_precision(model, setting.budget.precision, device)
            optimizer.step(_closure(task, shown, optimizer, next(batches)))
        with _evaluating(model):
            measured(task, model, scored_splits(task, splits), at_end=False)
            measured_last(task, model, splits)
            _sharpness(task, model, splits, seed, sharpness, lambda: False)

    return peak_bytes(do_once)


def _prepared(
    task: Task, setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int, device: torch.device
) -> tuple[nn.Module, TwoPassOptimizer | Alone, int]:
    """Return the model and the optimizer of a cell, and its number of steps."""
    n_examples = len(task.data(seed, device).train[0])
    per_step = optimizer_info(setting.rule).gradient_evaluations(hyperparameters)
    total = total_steps(setting.budget, n_examples, per_step)
    model = initial_model(task, seed, device)
    optimizer = build(
        setting.rule,
        model.named_parameters(),
        setting.base,
        hyperparameters,
        total_steps=total,
        model=model,
        skip_non_finite=False,  # a gradient that is not finite is to end the run, on every device
    )
    return model, optimizer, total


def _closure(task: Task, model: Model, optimizer: TwoPassOptimizer | Alone, batch: Batch) -> Callable[[], Any]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach()

    return closure


def batches_of(
    train: Split, batch_size: int, seed: int, start: int = 0, *, augmented: Augmentation | None = None
) -> Generator[Batch, None, None]:
    """Yield full batches without end, in an order drawn anew each epoch from the seed.

    Close it where the split has rows that are read: threads read ahead until then.

    Args:
        train: the training split.
        batch_size: all examples where there are fewer.
        seed: of the order.
        start: number of batches that are left out; what comes is the same as after them.
        augmented: of the task; without it batches are as they lie in the split.
    """
    with contextlib.closing(taken(train, _order(train, batch_size, seed, start))) as batches:
        for step, batch in enumerate(batches, start):
            yield batch if augmented is None else augmented(batch, seed, step)


def _order(train: Split, batch_size: int, seed: int, start: int) -> Iterator[Tensor]:
    generator = torch_generator(seed, Stream.ORDER)
    n_examples = len(train[0])
    per_epoch = steps_per_epoch(n_examples, batch_size)
    n_skipped, start = divmod(start, per_epoch)
    for epoch in itertools.count():
        order = torch.randperm(n_examples, generator=generator)[start * batch_size : per_epoch * batch_size]
        if epoch >= n_skipped:
            yield from torch.split(sent(order, train[0].device) if is_in_memory(train) else order, batch_size)
            start = 0


class _Pending:
    """Tensors of the steps since the last reading, kept on the device until they are read together."""

    def __init__(self) -> None:
        self._steps: list[tuple[Tensor, ...]] = []

    def add(self, *scalars: Tensor) -> None:
        """Add what a step gave."""
        self._steps.append(scalars)

    def read(self) -> list[list[float]]:
        """Return one series for each scalar of a step, and forget them."""
        series = [torch.stack(one).cpu().to(torch.float64).tolist() for one in zip(*self._steps, strict=True)]
        self._steps.clear()
        return series


def _sharpness(
    task: Task, model: nn.Module, splits: Splits, seed: int, measures: Sequence[str], is_late: Callable[[], bool]
) -> dict[str, float]:
    """Return measures of sharpness; parameters and buffers of the model, in eval mode, stay as they are."""
    if not measures or is_late():
        return {}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    batch = reference_batch(splits.train)

    def losses(parameters: Sequence[Tensor]) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        state = {**dict(zip(trained, (parameter[0] for parameter in parameters), strict=True)), **buffers}
        with seeded_torch(seed, Stream.SHARPNESS):  # what a loss draws is the same at every point
            return task.loss(lambda *inputs: functional_call(model, state, inputs), batch).unsqueeze(0)

    around = Neighbourhood(losses, [parameter.unsqueeze(0) for parameter in trained.values()])
    return _numbers(measured_sharpness(measures, around, [seed], is_late=is_late))


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    model.eval()
    with torch.no_grad():
        yield
    model.train()


def _numbers(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars of one device as numbers, read together."""
    if not values:
        return {}
    return dict(zip(values, torch.stack(list(values.values())).flatten().cpu().to(torch.float64).tolist(), strict=True))


def _parameters_are_finite(model: nn.Module) -> bool:
    # the largest absolute value: sums of squares overflow long before
    norms = torch._foreach_norm([parameter.detach() for parameter in model.parameters()], math.inf)
    return bool(torch.stack(norms).isfinite().all())
