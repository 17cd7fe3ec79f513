"""Training of one cell: the plain loop, which every faster way of training is held against."""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from benchmark.batches import batches_of
from benchmark.journal import Journal
from benchmark.measuring import evaluating, measured, measured_last, numbers, scored_splits, sharpness_of
from benchmark.pending import Pending
from benchmark.records import Cost, Outcome, Scalar
from benchmark.replay import initial_model
from benchmark.schedule import evaluation_steps, total_steps
from benchmark.seeding import Stream, TorchStream
from benchmark.spec import Setting
from benchmark.stepping import Stepping
from benchmark.tasks import Batch, Task
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
    """Train one cell from its seed to its end and return what came of it; the arguments are those of `Training`."""
    training = Training(
        task, setting, hyperparameters, seed, device=device, limit_s=limit_s, sharpness=sharpness, clock=clock
    )
    training.advance()
    return training.outcome()


def follow(
    task: Task, setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int, *, device: torch.device
) -> None:
    """Train one cell beside the process that leads, which alone evaluates it, until that says that it is at its end."""
    Training(task, setting, hyperparameters, seed, device=device, limit_s=math.inf).follow()


class Training:
    """The training of one cell from its seed, which can be left after any step and gone on with.

    Split, initialisation, batch order and dropout depend on the seed alone, whatever the optimizer and its
    hyperparameters (common random numbers). A loss or parameter that stops being finite ends the run as diverged,
    noticed when the log is next read: the step loop itself never waits for the device.

    Where it is cut into slices changes nothing, nor does going on from a state in another process.

    Args:
        task: the task of the setting.
        setting: task, rule, base and budget.
        hyperparameters: every hyperparameter of the rule and its base.
        seed: of all randomness.
        device: on which it is trained.
        limit_s: seconds after which it ends as timed out, with its curve so far, if steps are left.
        sharpness: measures of a completed run, by their names in a spec; those for which no time is left are missing.
        clock: monotonic seconds.

    Attributes:
        step: number of steps taken.
        total: number of steps of the whole run.
    """

    def __init__(
        self,
        task: Task,
        setting: Setting,
        hyperparameters: Mapping[str, Scalar],
        seed: int,
        *,
        device: torch.device,
        limit_s: float,
        sharpness: Sequence[str] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock, self._limit_s = clock, limit_s
        self._started: float | None = clock()
        self._before_s = 0.0
        self._task, self._setting, self._hyperparameters, self._seed = task, setting, hyperparameters, seed
        self._device, self._sharpness = device, sharpness
        self._splits = task.data(seed, device)
        self._model, self._stepping, self.total = prepared(task, setting, hyperparameters, seed, device)
        self._journal, self._pending = Journal(task), Pending()
        self._batches = self._batches_from(0)
        self._random = TorchStream(seed, Stream.TRAIN, device)
        self._diverged_at: int | None = None
        self._is_late = False
        self._is_closed = False
        self._given: Mapping[str, Any] | None = None  # to the processes that follow
        self._has_given = False
        self.step = 0

    @property
    def is_over(self) -> bool:
        """Whether no step is left to take."""
        return self.step == self.total or self._is_late or self._diverged_at is not None

    def advance(self, slice_s: float = math.inf) -> bool:
        """Take steps, one at least if one is left, for so many seconds; return whether the run is over."""
        started = self._started = self._clock() if self._started is None else self._started
        evaluations = frozenset(evaluation_steps(self.total, self._task.max_evaluations))
        spent_s = 0.0
        if not self._has_given:
            self._stepping.crew.give(self._given)
            self._has_given, self._given = True, None
        with self._random.running(), self._reading():
            self._model.train()
            while not self.is_over:
                self.step = step = self.step + 1
                self._pending.add(*self._stepping.step(step, next(self._batches)))
                if step < self.total:
                    spent_s = self._clock() - started
                    self._is_late = self._before_s + spent_s > self._limit_s
                if step in evaluations or self._is_late or step % READ_EVERY == 0:
                    self._read(evaluates=step in evaluations)
                if spent_s >= slice_s:
                    break
        if self.is_over:
            self.close()
        else:
            self._before_s, self._started = self._before_s + self._clock() - started, None
        return self.is_over

    def follow(self) -> None:
        """Take the steps that the process takes which leads this one, and go on from where it does; measure nothing."""
        self._take(self._stepping.crew.given())
        with self._random.running(), contextlib.closing(self._batches):
            self._model.train()
            while step := self._stepping.crew.heard():
                self._stepping.step(step, next(self._batches))

    def outcome(self) -> Outcome:
        """Measure what is measured after the last step, and return what came of a run that is over.

        Raises:
            ValueError: when steps are left.
        """
        started = self._started
        if not self.is_over or started is None:
            raise ValueError(f"a run must be over to have an outcome, but {self.step} of {self.total} steps are taken.")

        def elapsed_s() -> float:
            return self._before_s + (self._clock() - started)

        last, sharp = None, {}
        if self._diverged_at is None and not self._is_late:
            with evaluating(self._model):
                last = numbers(measured_last(self._task, self._model, self._splits))
                limit_s, given = self._limit_s, (self._task, self._model, self._splits, self._seed, self._sharpness)
                sharp = sharpness_of(*given, lambda: elapsed_s() > limit_s)
        evaluations = self._stepping.optimizer.gradient_evaluations
        cost = Cost(self.step, evaluations, elapsed_s(), False, "sequential", self._device.type)
        rho = self._hyperparameters.get("rho")
        return self._journal.outcome(cost, rho, last=last, diverged_at=self._diverged_at, sharpness=sharp)

    def state(self) -> dict[str, Any]:
        """Return all on which the rest of the run depends: numbers, texts and tensors, in dictionaries and lists.

        The tensors are those of the run: what is to last has to be written or copied before the next step.
        """
        return {
            "step": self.step,
            "elapsed_s": self._before_s,
            "model": _tensors_of(self._model),
            "optimizer": self._stepping.optimizer.state_dict(),
            "stepping": self._stepping.state_dict(),
            "journal": self._journal.state(),
            "pending": self._pending.series(),
            "random": self._random.state,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned for the same cell on a device of the same type; before the first step.

        Raises:
            Exception: of whatever kind, when it is not of this cell; this object is then of no use.
        """
        self._take(state)
        if self._stepping.crew.size > 1:
            self._given = state

    def _take(self, state: Mapping[str, Any] | None) -> None:
        if state is None:
            return
        for name, tensor in _tensors_of(self._model).items():
            tensor.copy_(state["model"][name])
        optimizer = self._stepping.optimizer
        optimizer.load_state_dict(state["optimizer"])
        if _kinds(optimizer.state_dict()) != _kinds(state["optimizer"]):
            raise ValueError("an optimizer must take its state as it gave it, but it has other tensors now.")
        self._stepping.load_state_dict(state["stepping"])
        self._journal.load(state["journal"])
        self._pending = Pending(series.to(self._device) for series in state["pending"])
        self._random.state = dict(state["random"])
        self.step, self._before_s = state["step"], state["elapsed_s"]
        self._batches = self._batches_from(self.step)

    def close(self) -> None:
        """End what reads ahead of the run, and the processes that follow; it takes no further step."""
        if not self._is_closed:
            self._batches.close()
            self._stepping.end()
        self._is_closed = True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """End what reads ahead where a step raises."""
        try:
            yield
        except BaseException:
            self._batches.close()
            raise

    def _batches_from(self, step: int) -> Generator[Batch, None, None]:
        size, augmented = self._setting.budget.batch_size, self._task.augmented
        return batches_of(self._splits.train, size, self._seed, step, augmented=augmented)

    def _read(self, *, evaluates: bool) -> None:
        """Write down what is pending, and a point of the curve if it is time for one."""
        step, model = self.step, self._model
        finite = _parameters_are_finite(model)
        self._diverged_at = self._journal.read(step, *self._pending.read(), parameters_are_finite=finite)
        if evaluates and self._diverged_at is None:
            with evaluating(model):
                scores = measured(self._task, model, scored_splits(self._task, self._splits), at_end=False)
                trace = self._task.trace(model)
            self._journal.add_point(step, numbers(scores), numbers(trace))


def prepared(
    task: Task, setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int, device: torch.device
) -> tuple[nn.Module, Stepping, int]:
    """Return the model of a cell, what a step does with it, and the number of steps."""
    n_examples = len(task.data(seed, device).train[0])
    per_step = optimizer_info(setting.rule).gradient_evaluations(hyperparameters)
    total = total_steps(setting.budget, n_examples, per_step)
    model = initial_model(task, seed, device)
    return model, Stepping(task, setting, hyperparameters, model, total, device), total


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, those that a state_dict leaves out among them."""
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _kinds(state: object) -> Counter[tuple[torch.dtype, torch.Size]]:
    """Return how many tensors of each type and shape there are in a state."""
    return Counter((leaf.dtype, leaf.shape) for leaf in tree_leaves(state) if isinstance(leaf, Tensor))


def _parameters_are_finite(model: nn.Module) -> bool:
    # the largest absolute value: sums of squares overflow long before
    norms = torch._foreach_norm([parameter.detach() for parameter in model.parameters()], math.inf)
    return bool(torch.stack(norms).isfinite().all())
