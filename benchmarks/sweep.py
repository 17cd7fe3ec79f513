"""How many cells a second: packs, one after another and fused, beside Ray Tune and Optuna as one would use them alone.

    python -m benchmarks.sweep            # about a quarter of an hour
    python -m benchmarks.sweep --smoke    # a minute; shows that it runs, not how fast

Every arm trains cells of SAM over (rho, lr) from one seed, none of which diverges, two at a time on one thread each:

    (a) Ray Tune, one cell a trial, a function trainable: each trial starts a process of its own
    (b) Ray Tune, one cell a trial, a class trainable with `reset_config`, reuse_actors=True
    (c) Optuna alone, in this process, grid sampler, n_jobs=2; and one at a time, for its threads wait for each other
    (d) packs, one cell after another
    (e) packs, fused

Packs go the way of `benchmark.running.train_missing`, all arms in one Ray session, whose start counts for none of them.
The clock runs from the first worker's training to the last result; what comes before is `start s`, paid once a job, but
in (a), which pays it for every cell, it counts. In doubt it is the others' benefit: the workers of (b) and (c) have
trained a cell before, those of (d) and (e) load the data, look at untrained models and trace on the clock; Tune runs
without its loggers and snapshots in every arm; and where it keeps to one actor in (b), which happens to cells that end
before the other has started, it may try again. Ratios are taken within a round, in which the arms take turns.

Then: which share of what the machine multiplies (e) reaches, and whether `pack: auto` picks the faster of (d) and (e),
or one that is at most a tenth slower.
"""

import argparse
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from benchmark import RayOptions, Record, Spec, Status
from benchmark.choice import choose_execution
from benchmark.execution import Execution
from benchmark.fingerprint import Fingerprint
from benchmark.packs import plan_packs
from benchmark.rayenv import prepare_ray_environment
from benchmark.spec import Cell, expand
from benchmark.tasks import load_task
from benchmark.training import train
from benchmarks.peak import CPU, print_shares

N_WORKERS = 2
OPTIONS = RayOptions(n_cpus=N_WORKERS)
RANGES = {"rho": (0.01, 0.1), "lr": (0.003, 0.1)}
N_ROUNDS = 5
FEWER_ROUNDS = {"a": 3}
MAX_TRIES = 4
MAX_SLOWER = 0.10
TITLES = {
    "a": "(a) Ray Tune, a cell a trial",
    "b": "(b) Ray Tune, reuse_actors",
    "c": "(c) Optuna, n_jobs=2",
    "c1": "(c) Optuna, n_jobs=1",
    "d": "(d) packs, sequential",
    "e": "(e) packs, fused",
}


@dataclass(frozen=True)
class Work:
    """A task, and how much of it each arm trains.

    Attributes:
        title: for people.
        task: its name.
        params: its parameters.
        sides: by arm, how many values rho and lr have.
        epochs: of a cell.
    """

    title: str
    task: str
    params: Mapping[str, int | str]
    sides: Mapping[str, tuple[int, int]]
    epochs: int = 10

    def spec(self, arm: str) -> Spec:
        """Return what an arm trains."""
        numbers = dict(zip(RANGES, self.sides[arm], strict=True))
        document = {
            "name": "bench",
            "gd": False,
            "tasks": [{"name": self.task, "params": dict(self.params)}],
            "budget": {"epochs": self.epochs},
            "base": {"name": "sgd", "momentum": 0.9},
            "optimizers": [{"name": "sam"}],
            "space": {name: {"log": list(ends), "n": numbers[name]} for name, ends in RANGES.items()},
            "seeds": {"count": 1},
            "resources": {"gpus_per_pack": 0, "max_concurrent": N_WORKERS},
        }
        return Spec.from_mapping(document)


MLP_SIDES = {"a": (4, 3), "b": (8, 8), "c": (8, 8), "c1": (8, 8), "d": (16, 8), "e": (32, 32)}
WORKS = (
    Work("digits-mlp, hidden 64", "digits-mlp", {"hidden": 64}, MLP_SIDES),
    Work("digits-mlp, hidden 256", "digits-mlp", {"hidden": 256}, MLP_SIDES),
    Work("digits-cnn, norm group", "digits-cnn", {"norm": "group"}, {"d": (8, 4), "e": (8, 8)}),
)
SMOKE_SIDES = {**dict.fromkeys(TITLES, (2, 2)), "e": (4, 4)}
SMOKE_WORKS = (Work("digits-mlp, hidden 8", "digits-mlp", {"hidden": 8}, SMOKE_SIDES, epochs=1),)


@dataclass(frozen=True)
class Timed:
    """A round of an arm: how many cells, when it was called, when training began and ended, in monotonic seconds."""

    n_cells: int
    called: float
    began: float
    ended: float

    @property
    def rate(self) -> float:
        """Cells a second."""
        return self.n_cells / (self.ended - self.began)


@dataclass(frozen=True)
class Example:
    """A cell of an arm that knows nothing of packs, and the metrics of untrained models, which it need not make."""

    cell: Cell
    start: dict[str, NDArray[np.float64]]

    def train(self, values: Mapping[str, float]) -> dict[str, float]:
        """Train the cell with other values of rho and lr; return its score, when it began and ended, and where."""
        torch.set_num_threads(1)
        began, setting = time.monotonic(), self.cell.setting
        task = load_task(setting.task, setting.task_params)
        task.start = self.start
        hyperparameters = {**self.cell.hyperparameters, **values}
        outcome = train(task, setting, hyperparameters, self.cell.seed, device=CPU, limit_s=math.inf)
        score = outcome.metrics["val_accuracy"]
        return {"score": score, "began": began, "ended": time.monotonic(), "process": os.getpid()}


def example_of(spec: Spec) -> tuple[Example, dict[str, list[float]]]:
    """Return an example of a spec's cells and the values of each axis."""
    cell, (grid,) = next(expand(spec)), spec.grids
    start = load_task(cell.setting.task, cell.setting.task_params).start
    return Example(cell, start), {axis.name: [float(value) for value in axis.values] for axis in grid.axes}


def tune_alone(spec: Spec, *, reuse: bool, tries: int = MAX_TRIES) -> Timed:
    """Train each cell as a trial of Ray Tune, in as many processes as there are workers if it takes a few tries."""
    from ray import tune  # Ray reads the environment when it is imported

    example, axes = example_of(spec)

    def trainable(config: dict[str, float]) -> None:
        tune.report(example.train(config))

    class Trainable(tune.Trainable):
        def setup(self, config: dict[str, float]) -> None:
            example.train(config)
            self.values = config

        def reset_config(self, new_config: dict[str, float]) -> bool:
            self.values = new_config
            return True

        def step(self) -> dict[str, Any]:
            return {**example.train(self.values), "done": True}

    at_end = tune.CheckpointConfig(checkpoint_at_end=False)  # a cell leaves nothing to go on from
    storage, called = tempfile.mkdtemp(prefix="tune-"), time.monotonic()
    try:
        results = tune.Tuner(
            tune.with_resources(Trainable if reuse else trainable, {"cpu": 1}),
            param_space={name: tune.grid_search(values) for name, values in axes.items()},
            tune_config=tune.TuneConfig(max_concurrent_trials=N_WORKERS, reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=storage, checkpoint_config=at_end, verbose=0),
        ).fit()
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed, the first with {results.errors[0]}")
    found = [results[place].metrics or {} for place in range(len(results))]
    if tries > 1 and len({one["process"] for one in found}) < N_WORKERS:
        return tune_alone(spec, reuse=reuse, tries=tries - 1)
    began = min(one["began"] for one in found) if reuse else called
    return Timed(len(found), called, began, max(one["ended"] for one in found))


def optuna_alone(spec: Spec, n_jobs: int) -> Timed:
    """Train each cell as a trial of Optuna, in so many threads of this process."""
    example, axes = example_of(spec)
    example.train({})

    def objective(trial: optuna.Trial) -> float:
        values = {name: trial.suggest_float(name, *ends, log=True) for name, ends in RANGES.items()}
        return example.train(values)["score"]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(axes, seed=0), direction="maximize")
    called = time.monotonic()
    study.optimize(objective, n_trials=spec.n_cells, n_jobs=n_jobs)
    return Timed(len(study.trials), called, called, time.monotonic())


class _Clock:
    """A sink that notes when records arrive; what fused cells are charged adds up to the seconds of their pack."""

    n_cells, began, ended = 0, math.inf, math.inf

    def on_fingerprint(self, fingerprint: Fingerprint) -> None: ...

    def on_cells(self, cells: Sequence[Cell]) -> None: ...

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None: ...

    def flush(self) -> None: ...

    def on_records(self, records: Sequence[Record]) -> None:
        if any(record.outcome.status is not Status.COMPLETED for record in records):
            raise SystemExit("every cell must be completed, or the arms do not do the same work.")
        if records:
            self.n_cells, self.ended = self.n_cells + len(records), time.monotonic()
            self.began = min(self.began, self.ended - sum(record.outcome.cost.elapsed_s for record in records))


def in_packs(spec: Spec, execution: Execution) -> Timed:
    """Train the cells in packs, as `benchmark.running.train_missing` does inside its session."""
    from benchmark import raytune  # Ray reads the environment when it is imported

    called, clock, cells = time.monotonic(), _Clock(), tuple(expand(spec))
    key = cells[0].setting.key
    packs = plan_packs(cells, n_workers=N_WORKERS, fused={key} if execution == "fused" else ())
    raytune.train_packs(cells, packs, spec, clock, {key: execution}, lambda: False)
    return Timed(clock.n_cells, called, clock.began, clock.ended)


ARMS: Mapping[str, Callable[[Spec], Timed]] = {
    "a": lambda spec: tune_alone(spec, reuse=False),
    "b": lambda spec: tune_alone(spec, reuse=True),
    "c": lambda spec: optuna_alone(spec, N_WORKERS),
    "c1": lambda spec: optuna_alone(spec, 1),
    "d": lambda spec: in_packs(spec, "sequential"),
    "e": lambda spec: in_packs(spec, "fused"),
}


def rounds_of(work: Work, n_rounds: int) -> dict[str, list[Timed]]:
    """Return what each arm took in each of its rounds."""
    found: dict[str, list[Timed]] = {arm: [] for arm in work.sides}
    for turn in range(n_rounds):
        for arm, rounds in found.items():
            if turn < FEWER_ROUNDS.get(arm, n_rounds):
                spec = work.spec(arm)
                rounds.append(ARMS[arm](spec))
                if rounds[-1].n_cells != spec.n_cells:
                    raise SystemExit(f"{TITLES[arm]} trained {rounds[-1].n_cells} of {spec.n_cells} cells.")
    return found


def print_rates(work: Work, found: Mapping[str, Sequence[Timed]]) -> dict[str, float]:
    """Print the arms of a task; return the cells a second of each."""
    print(f"\n{work.title}, {work.epochs} epochs")
    print(f"  {'':<30}{'cells':>6}{'rounds':>8}{'start s':>9}{'cells/s':>9}{'(e) is':>10}   lowest to highest")
    rates = {arm: statistics.median(one.rate for one in rounds) for arm, rounds in found.items()}
    for arm, rounds in found.items():
        ratios = [fused.rate / own.rate for fused, own in zip(found["e"], rounds, strict=False)]
        start_s = statistics.median(one.began - one.called for one in rounds)
        print(
            f"  {TITLES[arm]:<30}{rounds[0].n_cells:>6,}{len(rounds):>8}{start_s:>9.1f}{rates[arm]:>9.2f}"
            f"{statistics.median(ratios):>8.2f} x   {min(ratios):.2f} to {max(ratios):.2f}",
            flush=True,
        )
    return rates


def print_choice(work: Work, rates: Mapping[str, float]) -> None:
    """Print what `pack: auto` picks, and what that costs."""
    spec = work.spec("e")
    started = time.perf_counter()
    (pick,) = choose_execution(spec, expand(spec), CPU).executions.values()
    elapsed_s = time.perf_counter() - started
    slower = max(rates["d"], rates["e"]) / rates["e" if pick == "fused" else "d"] - 1
    verdict = "as it must" if slower <= MAX_SLOWER else f"but at most {MAX_SLOWER:.0%} is allowed"
    print(f"  auto picks {pick} in {elapsed_s:.1f} s: {slower:.0%} slower than the better of (d) and (e), {verdict}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few cells of one epoch, one round: does it run at all?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    prepare_ray_environment(OPTIONS)
    from benchmark import raysession

    print(f"SAM over (rho, lr), {N_WORKERS} workers of one thread, torch {torch.__version__}")
    n_rounds, n_steps = (1, 1) if arguments.smoke else (N_ROUNDS, 20)
    for work in SMOKE_WORKS if arguments.smoke else WORKS:
        with raysession.ray_session(OPTIONS):
            rates = print_rates(work, rounds_of(work, n_rounds))
        print_choice(work, rates)
        if work.task == "digits-mlp":
            cells = list(expand(work.spec("e")))
            pack = plan_packs(cells, n_workers=N_WORKERS, fused={cells[0].setting.key})[0]
            print_shares(cells[: pack.stop], rates["e"], N_WORKERS, n_rounds=n_rounds, n_steps=n_steps)


if __name__ == "__main__":
    main()
