"""Training many cells at once: one clock, one batch a seed, every cell with hyperparameters of its own."""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from benchmark.batches import batches_of
from benchmark.canonical import canonical_json
from benchmark.fused.program import Parameters, Program
from benchmark.journal import Journal
from benchmark.memory import peak_bytes
from benchmark.precision import Precision
from benchmark.records import Cost, Outcome, Scalar
from benchmark.replay import initial_model
from benchmark.schedule import evaluation_steps, lr_factor, total_steps
from benchmark.sending import sent
from benchmark.sharpness import Losses, Neighbourhood, reference_batch, work_bytes
from benchmark.sharpness import sharpness as measured_sharpness
from benchmark.spec import Setting
from benchmark.tasks import Batch, Splits, Task
from benchmark.tasks.lazy import Column
from benchmark.training import READ_EVERY
from optimizers import optimizer_info
from optimizers.functional import Memory, initial_memory, is_functional, looks_twice

N_PROGRAMS = 8
SHARPNESS_BYTES = 256 * 1024**2  # that the sharpness of several cells may take at once
# How far an update may be from that of the plain loop, from the same state. In fp32 by so much of the largest element
# of each tensor. In bf16 by so much of the length of the whole change, over SGD: sums that are taken in another order
# round to another number, 2^-8 away, and terms of a gradient cancel; both ways are as far from fp32. (Adam's change is
# nearly the sign of each element, however small.) Over whole runs the difference grows with their length, and near the
# edge of stability without bound.
TOLERANCES: Mapping[Precision, float] = MappingProxyType({"fp32": 1e-5, "bf16": 0.1})


@dataclass(frozen=True, slots=True)
class Run:
    """A cell of a setting: its hyperparameters, of rule and base, and its seed."""

    hyperparameters: Mapping[str, Scalar]
    seed: int


def can_train_together(task: Task, setting: Setting) -> bool:
    """Return whether cells of a setting can be trained at once: task and budget allow it, and the optimizer's form."""
    return task.can_fuse and setting.budget.can_fuse and is_functional(setting.rule, setting.base)


def train_together(
    task: Task,
    setting: Setting,
    runs: Sequence[Run],
    *,
    device: torch.device,
    limit_s: float,
    sharpness: Sequence[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> list[Outcome]:
    """Train cells of one setting at once and return what came of each, in their order.

    Every run is that of `benchmark.training.train`, to rounding: the same split, initialisation, batches and updates
    from the same seed. A run that stops being finite never touches its neighbours, nor slows them down; once the
    journals are read nothing more is written down of it.

    Runs of one length keep step and share one clock, which starts before their data is loaded and their models are
    made, as that of the plain loop does. Each is charged the same share, also one that diverged long before the others
    ended.

    Args:
        task: the task of the setting.
        setting: task, rule, base and budget.
        runs: the cells.
        device: on which they are trained.
        limit_s: seconds of its share after which a run ends as timed out, with its curve so far, if steps are left: n
            runs that keep step all end when they have taken n times as long together.
        sharpness: measures of completed runs, by their names in a spec; those for which no time is left are missing.
        clock: monotonic seconds.

    Raises:
        ValueError: when models of different seeds have different buffers, which cannot be stacked, when a model changes
            its buffers, or when it has parameters that are not trained.
    """
    started = clock()
    lengths = [_length(task, setting, run, device) for run in runs]
    outcomes: dict[int, Outcome] = {}
    for length in dict.fromkeys(lengths):
        places = [place for place, own in enumerate(lengths) if own == length]
        places.sort(key=lambda place: runs[place].seed)
        group = _Group(task, setting, [runs[place] for place in places], length[0], device)
        outcomes |= zip(places, group.train(limit_s * len(places), clock, started, sharpness), strict=True)
        started = clock()
    return [outcomes[place] for place in range(len(runs))]


def step_s(
    task: Task,
    setting: Setting,
    runs: Sequence[Run],
    *,
    device: torch.device,
    n_steps: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return one run's share of the seconds of a step, without evaluations: the mean of a few, all traced before."""
    lengths = [_length(task, setting, run, device) for run in runs]
    group = _Group(
        task, setting, [run for run, own in zip(runs, lengths, strict=True) if own == lengths[0]], lengths[0][0], device
    )
    return group.step_s(n_steps, clock)


def cell_bytes(task: Task, setting: Setting, run: Run, *, device: torch.device) -> int:
    """Return the bytes that a run adds to a group at its peak: its state, an update, and the measurements.

    They are those of a group of one, untraced: tracing for a group goes through all of them as well. What the runs of a
    group share, such as the batch, is counted with each.
    """
    total, _ = _length(task, setting, run, device)
    return peak_bytes(lambda: _Group(task, setting, [run], total, device, is_traced=False).do_once())


def _length(task: Task, setting: Setting, run: Run, device: torch.device) -> tuple[int, int]:
    """Return the number of steps of a run and of its training examples; runs that differ in them do not keep step."""
    n_examples = len(task.data(run.seed, device).train[0])
    per_step = optimizer_info(setting.rule).gradient_evaluations(run.hyperparameters)
    return total_steps(setting.budget, n_examples, per_step), n_examples


_programs: dict[object, Program] = {}  # a process goes through many groups of one kind


def _program(key: object, model: nn.Module, make: Callable[[], Program]) -> Program:
    """Return the program for a key and a model, made only where it is not among those used last."""
    program = _programs.pop(key, None)
    if program is None or not program.same_buffers(model):
        program = make()
    _programs[key] = program
    while len(_programs) > N_PROGRAMS:
        del _programs[next(iter(_programs))]
    return program


class _Group:
    """Runs of one setting that keep step, sorted by seed, with their state stacked."""

    def __init__(
        self,
        task: Task,
        setting: Setting,
        runs: Sequence[Run],
        total: int,
        device: torch.device,
        *,
        is_traced: bool = True,
    ) -> None:
        self._task, self._setting, self._runs, self._total, self._device = task, setting, runs, total, device
        seeds = [run.seed for run in runs]
        self._slices = {
            seed: slice(seeds.index(seed), seeds.index(seed) + len(list(same)))
            for seed, same in itertools.groupby(seeds)
        }
        # kept, for a task keeps those of a few seeds alone
        self._splits = {seed: task.data(seed, device) for seed in self._slices}
        self._scored = _joined([(part, self._splits[seed]) for seed, part in self._slices.items()])
        models = {seed: self._model(seed) for seed in self._slices}
        constants, varying = _divided([run.hyperparameters for run in runs])
        first = models[seeds[0]]
        make = functools.partial(Program, task, setting, first, constants, total, is_traced=is_traced)
        key = (task, setting.key, canonical_json(constants), total, device)
        self._program = _program(key, first, make) if is_traced else make()
        if not all(map(self._program.same_buffers, models.values())):
            raise ValueError(
                f"models that are trained together must have the same buffers under every seed, but those of "
                f"{task.name} differ; let its can_fuse be False."
            )
        frozen = [name for name, p in first.named_parameters() if not p.requires_grad]
        if frozen:
            raise ValueError(
                f"every parameter of models that are trained together must have a gradient, but those of {task.name} "
                f"have none for {', '.join(frozen)}; let its can_fuse be False."
            )
        stacked = {seed: [p.detach() for p in model.parameters()] for seed, model in models.items()}
        self._parameters: Parameters = [
            torch.stack(each) for each in zip(*(stacked[seed] for seed in seeds), strict=True)
        ]
        self._memory: Memory = initial_memory(setting.rule, setting.base, self._parameters)
        self._lr = torch.tensor([float(run.hyperparameters["lr"]) for run in runs], device=device)
        self._values = {
            name: torch.tensor(values, device=device, dtype=torch.float32 if isinstance(values[0], float) else None)
            for name, values in varying.items()
        }
        self._place_of = torch.tensor([list(self._slices).index(seed) for seed in seeds], device=device)

    def train(
        self, limit_s: float, clock: Callable[[], float], started: float, sharpness: Sequence[str]
    ) -> list[Outcome]:
        """Train the runs and return what came of each.

        Args:
            limit_s: seconds that all of them may take together.
            clock: monotonic seconds.
            started: when their clock started.
            sharpness: measures of completed runs.
        """
        n = len(self._runs)
        journals = [Journal(self._task) for _ in self._runs]
        diverged_at: list[int | None] = [None] * n
        ended_at, n_evaluations = [0] * n, [0] * n
        evaluations = frozenset(evaluation_steps(self._total, self._task.max_evaluations))
        pending: list[tuple[Tensor, Tensor, Tensor]] = []
        batches, is_late = self._batches(), False
        for step in range(1, self._total + 1):
            twice = [looks_twice(self._setting.rule, run.hyperparameters, step - 1) for run in self._runs]
            alive = [place for place in range(n) if diverged_at[place] is None]
            for place in alive:
                n_evaluations[place] += 1 + twice[place]
            pending.append(self._update(step, next(batches), twice))
            is_late = step < self._total and clock() - started > limit_s
            if step not in evaluations and not is_late and step % READ_EVERY:
                continue
            # three numbers of each run a step, then one that is finite where its parameters are
            losses, grad_norms, delta_norms = (
                torch.stack(series).cpu().to(torch.float64).T.tolist() for series in zip(*pending, strict=True)
            )
            pending.clear()
            is_finite = self._are_finite().tolist()
            for place in alive:
                diverged_at[place] = journals[place].read(
                    step, losses[place], grad_norms[place], delta_norms[place], parameters_are_finite=is_finite[place]
                )
                ended_at[place] = step
            alive = [place for place in alive if diverged_at[place] is None]
            if step in evaluations and alive:
                for places, splits in self._scored:
                    self._measure(step, range(n)[places], splits, journals, diverged_at)
            if is_late or not alive:
                break
        last = [None] * n if is_late else self._last(diverged_at)
        sharp = self._sharpness(sharpness, last, lambda: clock() - started > limit_s)
        share_s = (clock() - started) / n
        return [
            journal.outcome(
                Cost(ended_at[place], n_evaluations[place], share_s, True, "fused", self._device.type),
                self._runs[place].hyperparameters.get("rho"),
                last=last[place],
                diverged_at=diverged_at[place],
                sharpness=sharp[place],
            )
            for place, journal in enumerate(journals)
        ]

    def do_once(self) -> None:
        """Do everything of a run once: measure and update."""
        self._try_measurements()
        twice = [looks_twice(self._setting.rule, run.hyperparameters, 0) for run in self._runs]
        self._update(1, next(self._batches()), twice)

    def _try_measurements(self) -> None:
        part, splits = self._scored[0]
        some = self._of(range(len(self._runs))[part])
        self._program.measure(some, splits)
        self._program.measure_last(some, splits)

    def step_s(self, n_steps: int, clock: Callable[[], float]) -> float:
        """Return one run's share of the seconds of a step, once it is seen that also the measurements can be mapped."""
        self._try_measurements()
        rule, batches = self._setting.rule, self._batches()
        looks = [[looks_twice(rule, run.hyperparameters, step) for run in self._runs] for step in range(n_steps + 1)]
        for twice in looks:  # each kind of step traces once
            losses, _, _ = self._update(1, next(batches), twice)
        losses.tolist()  # a list waits for the device
        started = clock()
        for twice in looks[1:]:  # the same steps as in the plain loop
            losses, _, _ = self._update(1, next(batches), twice)
        losses.tolist()
        return (clock() - started) / n_steps / len(self._runs)

    def _update(self, step: int, batch: Batch, twice: Sequence[bool]) -> tuple[Tensor, Tensor, Tensor]:
        is_look_sam = self._setting.rule == "look_sam" and any(twice)
        updated = self._program.update(
            self._parameters,
            self._memory,
            self._values,
            batch,
            lr=self._lr * lr_factor(step - 1, self._total, self._setting.budget),
            step=torch.full((), step - 1, device=self._device),  # unlike a copy, nothing to wait for
            twice=sent(torch.tensor(twice), self._device) if is_look_sam else None,
            one_batch=len(self._slices) == 1,
        )
        self._parameters, self._memory = updated.parameters, updated.memory
        return updated.loss, updated.gradient_norm, updated.delta_norm

    def _batches(self) -> Iterator[Batch]:
        """Yield the batch of each step: that of the only seed, or each cell's own, stacked."""
        size = self._setting.budget.batch_size
        augmented = self._task.augmented
        with contextlib.ExitStack() as reading:
            streams = [
                reading.enter_context(
                    contextlib.closing(batches_of(self._splits[seed].train, size, seed, augmented=augmented))
                )
                for seed in self._slices
            ]
            if len(streams) == 1:
                yield from streams[0]
            for batches in zip(*streams, strict=True):
                yield tuple(torch.stack(parts)[self._place_of] for parts in zip(*batches, strict=True))

    def _measure(
        self, step: int, places: range, splits: Splits, journals: Sequence[Journal], diverged_at: Sequence[int | None]
    ) -> None:
        scores, trace = self._program.measure(self._of(places), splits)
        rows = zip(places, _rows(scores, len(places)), _rows(trace, len(places)), strict=True)
        for place, of_scores, of_trace in rows:
            if diverged_at[place] is None:
                journals[place].add_point(step, of_scores, of_trace)

    def _last(self, diverged_at: Sequence[int | None]) -> list[dict[str, float] | None]:
        """Return what is measured of each run after its last step, None of one that diverged before."""
        last: list[dict[str, float] | None] = []
        for part, splits in self._scored:
            places = range(len(self._runs))[part]
            if all(diverged_at[place] is not None for place in places):
                last += [None] * len(places)
                continue
            rows = _rows(self._program.measure_last(self._of(places), splits), len(places))
            last += [row if diverged_at[place] is None else None for place, row in zip(places, rows, strict=True)]
        return last

    def _sharpness(
        self, measures: Sequence[str], last: Sequence[object], is_late: Callable[[], bool]
    ) -> list[dict[str, float]]:
        """Return measures of sharpness of each run that has last metrics, and none of the others."""
        found: list[dict[str, float]] = [{} for _ in self._runs]
        for part, splits in self._scored if measures else ():
            places = [place for place in range(len(self._runs))[part] if last[place] is not None]
            if not places or is_late():
                continue
            losses = self._program.losses(reference_batch(splits.train))
            size = self._n_at_once(losses, places[0])
            for some in (places[start : start + size] for start in range(0, len(places), size)):
                around = Neighbourhood(losses, [p[some] for p in self._parameters])
                seeds = [self._runs[place].seed for place in some]
                rows = _rows(measured_sharpness(measures, around, seeds, is_late=is_late), len(some))
                for place, row in zip(some, rows, strict=True):
                    found[place] = row
        return found

    def _n_at_once(self, losses: Losses, place: int) -> int:
        """Return of how many cells there is room for the sharpness at once: second derivatives take much memory."""
        one = [p[place : place + 1] for p in self._parameters]
        vectors = torch.cat([p.reshape(1, -1) for p in one], dim=1)
        n_bytes = peak_bytes(lambda: Neighbourhood(losses, one).product(vectors))
        n_bytes += work_bytes(vectors.shape[1], vectors.element_size())
        return max(1, SHARPNESS_BYTES // n_bytes)

    def _of(self, places: range) -> Parameters:
        return [p[places.start : places.stop] for p in self._parameters]

    def _are_finite(self) -> Tensor:
        # the largest absolute value: sums of squares overflow long before
        largest = torch.stack([p.reshape(len(p), -1).abs().amax(dim=1) for p in self._parameters])
        return largest.isfinite().all(dim=0)

    def _model(self, seed: int) -> nn.Module:
        return initial_model(self._task, seed, self._device)


def _joined(parts: Sequence[tuple[slice, Splits]]) -> list[tuple[slice, Splits]]:
    """Return the parts, neighbours with the same data as one: a task without data has the same under every seed."""
    joined: list[tuple[slice, Splits]] = []
    for part, splits in parts:
        if joined and _are_equal(joined[-1][1], splits):
            joined[-1] = (slice(joined[-1][0].start, part.stop), splits)
        else:
            joined.append((part, splits))
    return joined


def _are_equal(some: Splits, others: Splits) -> bool:
    mine, theirs = ((*splits.train, *splits.validation, *splits.test) for splits in (some, others))
    return len(mine) == len(theirs) and all(_is_equal(x, y) for x, y in zip(mine, theirs, strict=True))


def _is_equal(x: Column, y: Column) -> bool:
    return torch.equal(x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else x is y


def _divided(
    given: Sequence[Mapping[str, Scalar]],
) -> tuple[dict[str, Scalar], dict[str, list[Scalar]]]:
    """Return the hyperparameters that all runs share, and the values of the others but lr, one a run."""
    values = {name: [one[name] for one in given] for name in given[0] if name != "lr"}
    constants = {name: each[0] for name, each in values.items() if len(set(each)) == 1}
    return constants, {name: each for name, each in values.items() if name not in constants}


def _rows(columns: Mapping[str, Tensor], n: int) -> list[dict[str, float]]:
    """Return the numbers of each cell, read together."""
    if not columns:
        return [{} for _ in range(n)]
    numbers = torch.stack(list(columns.values())).cpu().to(torch.float64).T.tolist()
    return [dict(zip(columns, row, strict=True)) for row in numbers]
