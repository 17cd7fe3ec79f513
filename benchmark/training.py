"""Training of one cell: the plain loop, which every faster way of training is held against."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.records import Cost, Diagnostics, Outcome, Scalar, Status
from benchmark.schedule import evaluation_steps, lr_factor, steps_per_epoch, total_steps
from benchmark.seeding import Stream, seeded_torch, torch_generator
from benchmark.spec import Setting
from benchmark.tasks import Batch, Splits, Task
from optimizers import build, optimizer_info

READ_EVERY = 1_000  # steps; what is pending for longer fills the device's memory


def train(
    task: Task,
    setting: Setting,
    hyperparameters: Mapping[str, Scalar],
    seed: int,
    *,
    device: torch.device,
    limit_s: float,
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
        clock: monotonic seconds.
    """
    started = clock()
    splits = task.data(seed, device)
    n_examples = len(splits.train[0])
    per_step = optimizer_info(setting.rule).gradient_evaluations(hyperparameters)
    total = total_steps(setting.budget, n_examples, per_step)
    with seeded_torch(seed, Stream.INIT):
        model = task.model(seed).to(device)
    optimizer = build(
        setting.rule,
        model.named_parameters(),
        setting.base,
        hyperparameters,
        total_steps=total,
        model=model,
        skip_non_finite=False,  # a gradient that is not finite is to end the run, on every device
    )
    learning_rates = [float(group["lr"]) for group in optimizer.param_groups]
    log = _Log(task, splits)
    evaluations = frozenset(evaluation_steps(total, task.max_evaluations))
    batches = _batches(splits.train, setting.budget.batch_size, seed)
    status, diverged_at, step = Status.COMPLETED, None, 0
    with seeded_torch(seed, Stream.TRAIN):
        model.train()
        for step in range(1, total + 1):
            factor = lr_factor(step - 1, total, setting.budget)
            for group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
                group["lr"] = learning_rate * factor
            loss = optimizer.step(_closure(task, model, optimizer, next(batches)))
            log.add(torch.as_tensor(loss), optimizer.grad_norm, optimizer.delta_norm)
            is_late = step < total and clock() - started > limit_s
            if step not in evaluations and not is_late and step % READ_EVERY:
                continue
            diverged_at = log.read(step, model)
            if diverged_at is not None:
                status = Status.DIVERGED
                break
            if step in evaluations:
                log.evaluate(step, model)
            if is_late:
                status = Status.TIMED_OUT
                break
    metrics = log.final_metrics(model) if status is Status.COMPLETED else {}
    if status is Status.COMPLETED and not metrics:
        status, diverged_at = Status.DIVERGED, step
    tests = {metric.name: metrics[task.score_names(metric.name)[-1]] for metric in task.metrics} if metrics else {}
    return Outcome(
        status=status,
        metrics=metrics,
        curve=log.curve(),
        cost=Cost(step, optimizer.gradient_evaluations, clock() - started, False, "sequential", device.type),
        diagnostics=log.diagnostics(hyperparameters.get("rho")),
        collapsed=status is Status.COMPLETED and task.has_collapsed(metrics["train_loss"], tests),
        diverged_at_step=diverged_at,
    )


def _closure(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> Callable[[], Any]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach()

    return closure


def _batches(train: Batch, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yield full batches without end, in an order drawn anew each epoch from the seed."""
    generator = torch_generator(seed, Stream.ORDER)
    n_examples = len(train[0])
    per_epoch = steps_per_epoch(n_examples, batch_size)
    while True:
        order = torch.randperm(n_examples, generator=generator).to(train[0].device)
        for index in torch.split(order[: per_epoch * batch_size], batch_size):
            yield tuple(tensor[index] for tensor in train)


class _Log:
    """What a run writes down: tensors of each step, kept on the device until they are read together."""

    def __init__(self, task: Task, splits: Splits) -> None:
        self._task, self._train = task, splits.train
        self._scored = {"val_": splits.validation, "test_": splits.test} if task.has_split else {"": splits.train}
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self._losses: list[float] = []
        # Also a run that ends before its first evaluation has a curve, of no points.
        along = [metric.name for metric in task.metrics if not metric.at_end]
        self._curve: dict[str, list[float]] = {"step": [], "train_loss": []}
        self._curve |= {prefix + name: [] for prefix in self._scored for name in along}
        self._last: dict[str, float] = {}
        self._grad_norms: list[float] = []
        self._delta_norms: list[float] = []

    def add(self, loss: Tensor, grad_norm: Tensor, delta_norm: Tensor) -> None:
        """Write down one step."""
        self._pending.append((loss, grad_norm, delta_norm))

    def read(self, step: int, model: nn.Module) -> int | None:
        """Read what is pending after `step` steps; return the first of these steps that was not finite."""
        losses, grad_norms, delta_norms = (
            torch.stack(series).to(torch.float64).tolist() for series in zip(*self._pending, strict=True)
        )
        first = step - len(losses) + 1
        self._pending.clear()
        bad = next((index for index, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is None and not _parameters_are_finite(model):
            bad = len(losses) - 1
        n_good = len(losses) if bad is None else bad
        self._grad_norms += filter(math.isfinite, grad_norms[:n_good])
        self._delta_norms += filter(math.isfinite, delta_norms[:n_good])
        self._losses += losses
        return None if bad is None else first + bad

    def evaluate(self, step: int, model: nn.Module) -> None:
        """Add a point to the curve: the mean loss of the steps since the last point, and the metrics after them."""
        point = {"step": float(step), "train_loss": statistics.fmean(self._losses)}
        self._losses.clear()
        with _evaluating(model):
            scores = _measured(self._task, model, self._scored, at_end=False)
            trace = self._task.trace(model)
        self._last = _numbers(scores)
        point |= self._last | _numbers(trace)
        if not self._curve["step"]:
            self._curve |= {name: [] for name in trace}
        for name, series in self._curve.items():
            series.append(point[name])

    def final_metrics(self, model: nn.Module) -> dict[str, float]:
        """Return the metrics after the last step, and the loss of the training split; empty if one is not finite."""
        with _evaluating(model):
            train_loss = self._task.evaluate(model, self._train)["loss"]
            scores = _measured(self._task, model, self._scored, at_end=True)
        metrics = _numbers({"train_loss": train_loss, **scores}) | self._last
        return metrics if all(map(math.isfinite, metrics.values())) else {}

    def curve(self) -> dict[str, tuple[float, ...]]:
        """Return the series of all evaluations."""
        return {name: tuple(series) for name, series in self._curve.items()}

    def diagnostics(self, rho: Scalar | None) -> Diagnostics:
        """Return the medians over the steps at which the norms were finite."""
        grad_norm = statistics.median(self._grad_norms) if self._grad_norms else None
        if rho is None or not rho > 0 or not self._delta_norms:
            return Diagnostics(grad_norm, None)
        return Diagnostics(grad_norm, statistics.median(self._delta_norms) / rho)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    model.eval()
    with torch.no_grad():
        yield
    model.train()


def _measured(task: Task, model: nn.Module, splits: Mapping[str, Batch], *, at_end: bool) -> dict[str, Tensor]:
    """Return the metrics of each split that belong to the curve, or those that are measured after the last step."""
    measure = task.evaluate_end if at_end else task.evaluate
    names = {metric.name for metric in task.metrics if metric.at_end == at_end}
    found: dict[str, Tensor] = {}
    for prefix, data in splits.items():
        values = measure(model, data)
        if values.keys() != names:
            wanted, got = (", ".join(sorted(keys)) or "nothing" for keys in (names, values.keys()))
            raise ValueError(f"{measure.__name__} of {task.name} must return {wanted}, but it returned {got}.")
        found |= {prefix + name: value for name, value in values.items()}
    return found


def _numbers(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars of one device as numbers, read together."""
    if not values:
        return {}
    return dict(zip(values, torch.stack(list(values.values())).cpu().to(torch.float64).tolist(), strict=True))


def _parameters_are_finite(model: nn.Module) -> bool:
    # the largest absolute value: sums of squares overflow long before
    norms = torch._foreach_norm([parameter.detach() for parameter in model.parameters()], math.inf)
    return bool(torch.stack(norms).isfinite().all())
