"""What a cell takes in the plain loop, measured on a step or a few: seconds and bytes."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from benchmark.batches import batches_of
from benchmark.measuring import evaluating, measured, measured_last, scored_splits, sharpness_of
from benchmark.memory import peak_bytes
from benchmark.records import Scalar
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Setting
from benchmark.tasks import Task
from benchmark.training import prepared


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
    _, stepping, _ = prepared(task, setting, hyperparameters, seed, device)
    splits = task.data(seed, device)
    batches = batches_of(splits.train, setting.budget.batch_size, seed, augmented=task.augmented)
    with seeded_torch(seed, Stream.TRAIN), contextlib.closing(batches):
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
        model, stepping, _ = prepared(task, setting, hyperparameters, seed, device)
        batches = batches_of(splits.train, setting.budget.batch_size, seed, augmented=task.augmented)
        with seeded_torch(seed, Stream.TRAIN), contextlib.closing(batches):
            stepping.step(1, next(batches))
        with evaluating(model):
            measured(task, model, scored_splits(task, splits), at_end=False)
            measured_last(task, model, splits)
            sharpness_of(task, model, splits, seed, sharpness, lambda: False)

    return peak_bytes(do_once)


def _of_one(setting: Setting) -> Setting:
    """Return what one of the processes of a setting does with its share of each batch."""
    budget = setting.budget
    if budget.processes == 1:
        return setting
    alone = {"batch_size": budget.share, "processes": 1, "ascent_sync": "global"}
    return replace(setting, budget=budget.model_copy(update=alone))
