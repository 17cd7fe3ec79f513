"""Which measures of sharpness a rescaling of layers leaves alone, and what they take.

The first table is of a ReLU network with one hidden layer, trained by SGD on digits: (W1, b1) a, W2/a computes the same
function for every a. Each measure is shown as a ratio to its value at a = 1; one that is a property of the function
stays 1. The second table is what each measure takes for a network of about 9,000 parameters on 512 examples, on one
thread, alone and as a share where 32 cells are measured at once.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from benchmark.sharpness import COLUMNS, MEASURES, Losses, Neighbourhood, reference_batch, rescaled, sharpness
from benchmark.tasks import load_task

FACTORS = (0.1, 0.5, 1.0, 2.0, 10.0)
N_HIDDEN = 120  # (64 + 1) 120 + (120 + 1) 10 = 9,010 parameters
N_TOGETHER, N_ROUNDS = 32, 5
CPU = torch.device("cpu")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few steps, one round: does it run at all?")
    smoke = parser.parse_args().smoke
    torch.set_num_threads(1)
    losses, point = trained(10 if smoke else 300)
    found = [measured(MEASURES, losses, [rescaled(point, factor)]) for factor in FACTORS]
    print("ratio to the value at a = 1")
    print(f"{'measure':<12}" + "".join(f"{f'a = {factor:g}':>12}" for factor in FACTORS))
    for name in MEASURES:
        values = [one[COLUMNS[name][0]].item() for one in found]
        print(f"{name:<12}" + "".join(f"{value / values[FACTORS.index(1.0)]:>12.4g}" for value in values))
    n = sum(tensor.numel() for tensor in point)
    n_together = 2 if smoke else N_TOGETHER
    print(f"\n{n:,} parameters, seconds a cell, median of {1 if smoke else N_ROUNDS}, torch {torch.__version__}")
    print(f"{'measure':<12}{'alone':>12}{f'of {n_together}':>12}")
    for name in MEASURES:
        alone, together = (seconds(name, losses, [point] * k, 1 if smoke else N_ROUNDS) for k in (1, n_together))
        print(f"{name:<12}{alone:>12.4f}{together / n_together:>12.4f}")


def trained(n_steps: int) -> tuple[Losses, list[Tensor]]:
    """Return the losses of digit networks on the reference batch, and the parameters of one after some steps of SGD."""
    task = load_task("digits-mlp", {"hidden": N_HIDDEN})
    batch = reference_batch(task.data(0, CPU).train)
    torch.manual_seed(0)
    model = task.model(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(n_steps):
        optimizer.zero_grad()
        task.loss(model, batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    names = [name for name, _ in model.named_parameters()]

    def loss(parameters: list[Tensor]) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        return task.loss(lambda *inputs: functional_call(model, state, inputs), batch)

    def losses(parameters: Sequence[Tensor]) -> Tensor:
        of_all: Tensor = vmap(loss)(list(parameters))
        return of_all

    return losses, [parameter.detach() for parameter in model.parameters()]


def measured(names: Sequence[str], losses: Losses, points: Sequence[Sequence[Tensor]]) -> dict[str, Tensor]:
    """Return measures of some points."""
    stacked = [torch.stack(each) for each in zip(*points, strict=True)]
    return sharpness(names, Neighbourhood(losses, stacked), range(len(points)))


def seconds(name: str, losses: Losses, points: Sequence[Sequence[Tensor]], n_rounds: int) -> float:
    """Return the median seconds of a measure of some points, all together, after a first round."""
    taken = []
    for _ in range(1 + n_rounds):
        started = time.perf_counter()
        measured([name], losses, points)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
