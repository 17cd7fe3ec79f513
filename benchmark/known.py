"""The cells of a spec that are known: of grids and designs from the spec, of adaptive searches from the records."""

from collections.abc import Iterator, Mapping, Sequence

from benchmark.records import Record, Scalar
from benchmark.spec import Cell, Grid, Spec

Configuration = tuple[tuple[str, Scalar], ...]


def known_cells(spec: Spec, records: Mapping[str, Record]) -> Iterator[Cell]:
    """Yield the cells of a spec that are known: all of a grid or a design, and of an adaptive search those it chose.

    Args:
        spec: whose cells they are.
        records: of the spec's cells, by config_key, in the order in which they were made.
    """
    for grid in spec.grids:
        if not grid.is_adaptive:
            yield from grid.cells(spec.seeds.values)
        else:
            yield from cells_of_all(grid, chosen_configurations(grid, records), spec)


def sample_cells(spec: Spec) -> Iterator[Cell]:
    """Yield the cells of one configuration, in the middle of its intervals, of each adaptive search of a spec."""
    for grid in spec.grids:
        if grid.is_adaptive:
            middle = grid.configuration(axis.at(0.5) for axis in grid.axes)
            yield from grid.cells_of(middle, spec.seeds.values)


def chosen_configurations(grid: Grid, records: Mapping[str, Record]) -> list[Configuration]:
    """Return the configurations of an adaptive search that have a record, in the order of the records."""
    own = (one for one in records.values() if grid.holds(one.setting, one.hyperparameters))
    return list(dict.fromkeys(tuple(sorted(record.hyperparameters.items())) for record in own))


def cells_of_all(grid: Grid, configurations: Sequence[Configuration], spec: Spec) -> Iterator[Cell]:
    """Yield the cells of configurations."""
    for configuration in configurations:
        yield from grid.cells_of(dict(configuration), spec.seeds.values)
