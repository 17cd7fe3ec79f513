"""How near the fused update comes to what the machine can multiply.

    python -m benchmarks.peak            # under a minute
    python -m benchmarks.peak --smoke    # seconds; shows that it runs, not how fast

Counted are the multiplications and additions of the linear layers alone, in an update of SAM: two passes, each forward
and backward, without the gradient of the input. That rate is held against one large product (the peak), and against the
same products over the same number of cells with nothing in between (`torch.bmm`). All of it runs on one thread, as a
worker has it; shares are medians over rounds in which the three take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark import Spec, fused
from benchmark.fused import Run
from benchmark.schedule import total_steps
from benchmark.spec import Cell, expand
from benchmark.tasks import load_task

CPU = torch.device("cpu")
N_PASSES = 2
SIDE = 1024  # of the matrices whose product is the peak
WIDTHS = (64, 256)
N_CELLS = (32, 64, 128)


@dataclass(frozen=True)
class Product:
    """A matrix product of one cell: (rows, inner) times (inner, columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Rates:
    """Floating-point operations a second, in billions, medians; and the medians of the ratios within a round."""

    peak: float
    products: float
    update: float
    products_of_peak: float
    update_of_peak: float
    update_of_products: float


def products_of(model: nn.Module, batch_size: int) -> list[Product]:
    """Return the products of one pass over the linear layers of a model, forward and backward."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    found = []
    for place, layer in enumerate(layers):
        found.append(Product(batch_size, layer.in_features, layer.out_features))
        found.append(Product(layer.out_features, batch_size, layer.in_features))
        if place > 0:  # nobody asks for the gradient of the input
            found.append(Product(batch_size, layer.out_features, layer.in_features))
    return found


def update_flops(cell: Cell) -> int:
    """Return the operations of one update of a cell's linear layers."""
    model = load_task(cell.setting.task, cell.setting.task_params).model(0)
    return N_PASSES * sum(product.flops for product in products_of(model, cell.setting.budget.batch_size))


def peak_rate(n_threads: int = 1) -> float:
    """Return the rate of one large product, in billions of operations a second."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    own = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        return Product(SIDE, SIDE, SIDE).flops / seconds_of(lambda: a @ b, repeats=5) / 1e9
    finally:
        torch.set_num_threads(own)


def measure(cells: Sequence[Cell], *, n_rounds: int, n_steps: int) -> Rates:
    """Return the rates of an update of some cells of one setting, trained together on one thread."""
    setting = cells[0].setting
    task = load_task(setting.task, setting.task_params)
    runs = [Run(cell.hyperparameters, cell.seed) for cell in cells]
    alone = _alone(products_of(task.model(0), setting.budget.batch_size), len(cells))
    flops = update_flops(cells[0]) / 1e9
    rounds = []
    for _ in range(n_rounds):
        products = flops * len(cells) / seconds_of(alone, repeats=n_steps)
        update = flops / fused.step_s(task, setting, runs, device=CPU, n_steps=n_steps)
        rounds.append((peak_rate(), products, update))
    return Rates(
        peak=statistics.median(peak for peak, _, _ in rounds),
        products=statistics.median(products for _, products, _ in rounds),
        update=statistics.median(update for _, _, update in rounds),
        products_of_peak=statistics.median(products / peak for peak, products, _ in rounds),
        update_of_peak=statistics.median(update / peak for peak, _, update in rounds),
        update_of_products=statistics.median(update / products for _, products, update in rounds),
    )


def _alone(products: Sequence[Product], n_cells: int) -> Callable[[], object]:
    """Return a function that multiplies as an update does, and does nothing else."""
    pairs: list[tuple[Tensor, Tensor]] = [
        (torch.randn(n_cells, one.rows, one.inner), torch.randn(n_cells, one.inner, one.columns)) for one in products
    ]

    def multiply() -> None:
        for _ in range(N_PASSES):
            for left, right in pairs:
                torch.bmm(left, right)

    return multiply


def seconds_of(call: Callable[[], object], *, repeats: int) -> float:
    """Return the mean seconds of a call, after a first one."""
    call()
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def print_shares(cells: Sequence[Cell], cells_per_s: float, n_workers: int, *, n_rounds: int, n_steps: int) -> None:
    """Print what the linear layers reach in an update and in whole cells, whose evaluations count as nothing.

    Args:
        cells: of one pack.
        cells_per_s: of all workers, each with one thread.
        n_workers: how many.
        n_rounds: of which the medians are taken.
        n_steps: updates of a round.
    """
    rates = measure(cells, n_rounds=n_rounds, n_steps=n_steps)
    together = statistics.median(peak_rate(n_workers) for _ in range(n_rounds))
    whole = cells_per_s * cell_flops(cells[0]) / 1e9
    own = whole / n_workers
    rows = (
        ("sgemm, one thread", rates.peak, 1.0, None),
        ("the same products alone", rates.products, rates.products_of_peak, 1.0),
        ("fused update", rates.update, rates.update_of_peak, rates.update_of_products),
        ("whole cells, each worker", own, own / rates.peak, own / rates.products),
        (f"sgemm, {n_workers} threads", together, 1.0, None),
        ("whole cells, all workers", whole, whole / together, None),
    )
    print(f"  {f'linear layers, {len(cells)} cells at once':<36}{'GFLOP/s':>9}{'of sgemm':>10}{'of the products':>17}")
    for name, rate, of_peak, of_products in rows:
        last = "" if of_products is None else f"{of_products:>17.0%}"
        print(f"  {name:<36}{rate:>9.1f}{of_peak:>10.0%}{last}", flush=True)


def cell_flops(cell: Cell) -> int:
    """Return the operations of all updates of a cell's linear layers."""
    task = load_task(cell.setting.task, cell.setting.task_params)
    n_examples = len(task.data(cell.seed, CPU).train[0])
    return total_steps(cell.setting.budget, n_examples, N_PASSES) * update_flops(cell)


def mlp_cells(hidden: int, n_cells: int) -> list[Cell]:
    """Return cells of SAM on the digits."""
    document = {
        "name": "bench",
        "gd": False,
        "tasks": [{"name": "digits-mlp", "params": {"hidden": hidden}}],
        "base": {"name": "sgd", "momentum": 0.9},
        "optimizers": [{"name": "sam", "fixed": {"lr": 0.01}}],
        "space": {"rho": {"log": [0.01, 0.1], "n": n_cells}},
        "seeds": {"count": 1},
    }
    return list(expand(Spec.from_mapping(document)))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one small group, one round: does it run at all?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n_rounds, n_steps = (1, 1) if arguments.smoke else (9, 20)
    print(f"SAM on digits-mlp, torch {torch.__version__}, one thread, medians of {n_rounds}; GFLOP/s of linear layers")
    print(
        f"{'hidden':>6}{'cells':>7}{'sgemm':>9}{'products':>10}{'update':>9}"
        f"{'update / sgemm':>16}{'products / sgemm':>18}{'update / products':>19}"
    )
    for hidden in WIDTHS[:1] if arguments.smoke else WIDTHS:
        for n_cells in N_CELLS[:1] if arguments.smoke else N_CELLS:
            rates = measure(mlp_cells(hidden, n_cells), n_rounds=n_rounds, n_steps=n_steps)
            print(
                f"{hidden:>6}{n_cells:>7}{rates.peak:>9.1f}{rates.products:>10.1f}{rates.update:>9.1f}"
                f"{rates.update_of_peak:>16.0%}{rates.products_of_peak:>18.0%}{rates.update_of_products:>19.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
