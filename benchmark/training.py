"""Training of one cell: the plain loop, which every faster way of training is held against."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.journal import Journal
from benchmark.measuring import measured, measured_last, scored_splits
from benchmark.memory import peak_bytes
from benchmark.records import Cost, Outcome, Scalar
from benchmark.replay import initial_model
from benchmark.schedule import evaluation_steps, steps_per_epoch, total_steps
from benchmark.seeding import Stream, seeded_torch, torch_generator
from benchmark.sharpness import Neighbourhood, reference_batch
from benchmark.sharpness import sharpness as measured_sharpness
from benchmark.spec import Setting
from benchmark.stepping import Stepping
from benchmark.tasks import Batch, Splits, Task
from optimizers import optimizer_info

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
    model, stepping, total = _prepared(task, setting, hyperparameters, seed, device)
    journal, pending = Journal(task), _Pending()
    evaluations = frozenset(evaluation_steps(total, task.max_evaluations))
    batches = batches_of(splits.train, setting.budget.batch_size, seed)
    diverged_at, step, is_late = None, 0, False
    with seeded_torch(seed, Stream.TRAIN):
        model.train()
        for step in range(1, total + 1):
            pending.add(*stepping.step(step, next(batches)))
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
    stepping.end()
    last, sharp = None, {}
    if diverged_at is None and not is_late:
        with _evaluating(model):
            last = _numbers(measured_last(task, model, splits))
            sharp = _sharpness(task, model, splits, seed, sharpness, lambda: clock() - started > limit_s)
    cost = Cost(step, stepping.optimizer.gradient_evaluations, clock() - started, False, "sequential", device.type)
    return journal.outcome(cost, hyperparameters.get("rho"), last=last, diverged_at=diverged_at, sharpness=sharp)


def follow(
    task: Task, setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int, *, device: torch.device
) -> None:
    """Train one cell beside the process that leads, which alone evaluates it, until that says that it is at its end."""
    model, stepping, _ = _prepared(task, setting, hyperparameters, seed, device)
    batches = batches_of(task.data(seed, device).train, setting.budget.batch_size, seed)
    with seeded_torch(seed, Stream.TRAIN):
        model.train()
        while step := stepping.crew.heard():
            stepping.step(step, next(batches))


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
    """Return the seconds that a step of `train` takes, without evaluations: the mean of a few after a first one.

    Of several processes it is what one does with its share of a batch, without waiting for the others.
    """
    setting = _of_one(setting)
    _, stepping, _ = _prepared(task, setting, hyperparameters, seed, device)
    batches = batches_of(task.data(seed, device).train, setting.budget.batch_size, seed)
    with seeded_torch(seed, Stream.TRAIN):
        float(stepping.step(1, next(batches)).loss)  # a float waits for the device
        started = clock()
        for _ in range(n_steps):
            met = stepping.step(1, next(batches))
        float(met.loss)
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
    """Return the bytes that a cell takes at its peak: its state, a step of `train`, and the measurements.

    Of several processes it is what the one that leads takes.
    """
    setting = _of_one(setting)
    splits = task.data(seed, device)

    def do_once() -> None:
        model, stepping, _ = _prepared(task, setting, hyperparameters, seed, device)
        with seeded_torch(seed, Stream.TRAIN):
            stepping.step(1, next(batches_of(splits.train, setting.budget.batch_size, seed)))
        with _evaluating(model):
            measured(task, model, scored_splits(task, splits), at_end=False)
            measured_last(task, model, splits)
            _sharpness(task, model, splits, seed, sharpness, lambda: False)

    return peak_bytes(do_once)


def _of_one(setting: Setting) -> Setting:
    """Return what one of the processes of a setting does with its share of each batch."""
    budget = setting.budget
    if budget.processes == 1:
        return setting
    alone = {"batch_size": budget.share, "processes": 1, "ascent_sync": "global"}
    return replace(setting, budget=budget.model_copy(update=alone))


def _prepared(
    task: Task, setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int, device: torch.device
) -> tuple[nn.Module, Stepping, int]:
    """Return the model of a cell, what a step does with it, and the number of steps."""
    n_examples = len(task.data(seed, device).train[0])
    per_step = optimizer_info(setting.rule).gradient_evaluations(hyperparameters)
    total = total_steps(setting.budget, n_examples, per_step)
    model = initial_model(task, seed, device)
    return model, Stepping(task, setting, hyperparameters, model, total, device), total


def batches_of(train: Batch, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yield full batches without end, in an order drawn anew each epoch from the seed."""
    generator = torch_generator(seed, Stream.ORDER)
    n_examples = len(train[0])
    per_epoch = steps_per_epoch(n_examples, batch_size)
    while True:
        order = sent(torch.randperm(n_examples, generator=generator), train[0].device)
        for index in torch.split(order[: per_epoch * batch_size], batch_size):
            yield tuple(tensor[index] for tensor in train)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on the device, without waiting for it where it takes what is pinned."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


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
