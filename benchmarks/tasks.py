"""What a task takes: seconds, gradient evaluations and memory of one default cell of each.

Each task trains a cell of Monge SAM with its default parameters in a process of its own, on one thread: the first cell
loads the data and is not timed. Memory is what the process holds at its peak beyond what it held before the task was
loaded. The last column is a cell's time as a ratio to the same cell of plain gradient descent: 2 where nothing but
gradients costs anything.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch

from benchmark import PackPlace, Spec, TaskDataError
from benchmark.execution import device_for, train_cell
from benchmark.spec import expand
from benchmark.tasks import task_class, task_names
from benchmarks.planning import held_mb

N_ROUNDS = 5
PLACE = PackPlace("bench", 1, 0)


def main() -> None:
    """Measure every task and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one epoch, one round: does it run at all?")
    parser.add_argument("--task", help="measure this one here and print it as JSON")
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(measure(arguments.task, smoke=False)))
        return
    print(f"one default cell, one thread, torch {torch.__version__}, median of {1 if arguments.smoke else N_ROUNDS}")
    print(f"{'task':<20}{'steps':>7}{'grad. evals':>13}{'parameters':>12}{'first s':>9}{'s':>9}{'MB':>7}{'/ gd':>7}")
    for name in task_names():
        if not has_data(name):
            print(f"{name:<20} not measured: its data is not here")
            continue
        found = measure(name, smoke=True) if arguments.smoke else measured_apart(name)
        print(
            f"{name:<20}{found['steps']:>7,}{found['gradient_evaluations']:>13,}{found['parameters']:>12,}"
            f"{found['first_s']:>9.3f}{found['s']:>9.3f}{found['mb']:>7.0f}{found['s'] / found['gd_s']:>7.2f}"
        )


def has_data(name: str) -> bool:
    """Whether the data of a task is here, which for some of them people bring."""
    try:
        _ = task_class(name)().data_version
    except TaskDataError:
        return False
    return True


def measured_apart(name: str) -> dict[str, float]:
    """Return what a cell of a task takes, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tasks", "--task", name]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def measure(name: str, *, smoke: bool) -> dict[str, float]:
    """Return what a cell of a task takes, measured in this process."""
    torch.set_num_threads(1)
    is_landscape = not task_class(name).has_split
    epochs = 1 if smoke else 200 if is_landscape else 10
    document = {
        "name": "bench",
        "tasks": [{"name": name}],
        "budget": {"epochs": epochs},
        "optimizers": [{"name": "gd"}, {"name": "msam", "fixed": {"rho": 0.05}}],
        "space": {"lr": {"values": [1e-4 if is_landscape else 0.01]}},
        "seeds": {"count": 1},
    }
    gd, msam = expand(Spec.from_mapping(document))
    device = device_for(use_gpu=False)
    before = held_mb("VmRSS")
    seconds: dict[str, list[float]] = {"gd": [], "msam": []}
    for _ in range(1 + (1 if smoke else N_ROUNDS)):
        for cell in (msam, gd):
            started = time.perf_counter()
            record = train_cell(cell, PLACE, device=device, limit_s=3600)
            seconds[cell.optimizer].append(time.perf_counter() - started)
            if record.outcome.error:
                raise SystemExit(f"{name}: {record.outcome.error}")
            if cell is msam:
                cost = record.outcome.cost
    n_parameters = sum(parameter.numel() for parameter in task_class(name)().model(0).parameters())
    return {
        "steps": cost.steps,
        "gradient_evaluations": cost.gradient_evaluations,
        "parameters": n_parameters,
        "first_s": seconds["msam"][0],
        "s": statistics.median(seconds["msam"][1:]),
        "gd_s": statistics.median(seconds["gd"][1:]),
        "mb": held_mb("VmHWM") - before,
    }


if __name__ == "__main__":
    main()
