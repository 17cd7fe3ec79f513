"""The measures that a spec can ask for, on a stated batch, by the names that a record has for them."""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from benchmark.seeding import Stream, torch_generator
from benchmark.sharpness.ascent import ASCENT_RHO, ascent_sharpness
from benchmark.sharpness.curvature import MAX_ITERATIONS, N_PROBES, largest_eigenvalue, trace
from benchmark.sharpness.neighbourhood import Neighbourhood
from benchmark.tasks import Batch, Split
from benchmark.tasks.lazy import in_memory, taken

PREFIX = "sharpness_"
MEASURES = ("lambda_max", "trace", *ASCENT_RHO)
COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: (PREFIX + name, *(PREFIX + name + suffix for suffix in suffixes))
    for name, suffixes in ((name, {"lambda_max": ("_residual",), "trace": ("_se",)}.get(name, ())) for name in MEASURES)
}
"""The names under which a record holds each measure: its value first, then how far it can be trusted."""

MAX_EXAMPLES = 512
BATCH_SEED = 0


def columns_of(measures: Collection[str]) -> tuple[str, ...]:
    """Return the names under which a record holds these measures."""
    return tuple(column for name in MEASURES if name in measures for column in COLUMNS[name])


def reference_batch(train: Split) -> Batch:
    """Return the examples on which sharpness is measured: at most 512 of the training split, all of a smaller one.

    Which places of the split they have is drawn once, whatever the seed of a cell: all cells of a task that share a
    split are measured on the same examples.

    Args:
        train: the training split, examples along the first dimension.
    """
    n = len(train[0])
    if n <= MAX_EXAMPLES:
        return in_memory(train)
    order = torch.randperm(n, generator=torch_generator(BATCH_SEED, Stream.SHARPNESS))[:MAX_EXAMPLES]
    (batch,) = taken(train, [order])
    return batch


def sharpness(
    measures: Sequence[str],
    around: Neighbourhood,
    seeds: Sequence[int],
    *,
    is_late: Callable[[], bool] = lambda: False,
) -> dict[str, Tensor]:
    """Return the measures of some cells by their columns: (cells,) each, float64 on the CPU.

    Starts and probes are drawn from the seed of each cell. A measure for which no time is left is missing;
    a value is not finite where the loss or a derivative is not.

    Args:
        measures: names among `MEASURES`.
        around: the losses of the cells.
        seeds: of the cells.
        is_late: asked before each measure.
    """
    found: dict[str, Tensor] = {}
    for name in measures:
        if is_late():
            break
        if name == "lambda_max":
            eigenvalue = largest_eigenvalue(around.product, _drawn(seeds, 1, around, torch.randn)[0])
            values = [eigenvalue.value, eigenvalue.residual]
        elif name == "trace":
            estimate = trace(around.product, _drawn(seeds, N_PROBES, around, _signs))
            values = [estimate.value, estimate.standard_error]
        else:
            values = [ascent_sharpness(name, around).cpu().to(torch.float64)]
        found |= dict(zip(COLUMNS[name], values, strict=True))
    return found


def work_bytes(n_parameters: int, itemsize: int) -> int:
    """Return the most bytes that the vectors of a measure take for a cell: the basis, or the probes, and some work."""
    return (max(MAX_ITERATIONS, N_PROBES) + 8) * n_parameters * itemsize


def _drawn(seeds: Sequence[int], n: int, around: Neighbourhood, draw: Callable[..., Tensor]) -> tuple[Tensor, ...]:
    """Return n draws of (cells, parameters); cells of one seed have the same."""
    like = around.parameters[0]
    of_seed = {
        seed: draw(n, around.n_parameters, generator=torch_generator(seed, Stream.SHARPNESS)) for seed in set(seeds)
    }
    stacked = torch.stack([of_seed[seed] for seed in seeds], dim=1)
    return stacked.to(like).unbind()


def _signs(n: int, d: int, *, generator: torch.Generator) -> Tensor:
    return 2 * torch.randint(0, 2, (n, d), generator=generator) - 1
