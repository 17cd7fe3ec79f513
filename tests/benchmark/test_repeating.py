"""Packs as they are trained again: who is in them, and whose records are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from benchmark import Cost, Diagnostics, Outcome, PackPlace, RayOptions, Record, Spec, Status
from benchmark.fingerprint import Fingerprint
from benchmark.repeating import RepeatedPack, repeated_pack, train_again
from benchmark.spec import Cell, expand
from tests.benchmark.toys import make_spec

SPEC = make_spec(
    optimizers=[{"name": "msam", "space": {"rho": {"values": [0.05, 0.5]}}}], gd=False, controls=["radius_matched"]
)
CELLS = [cell for cell in expand(SPEC) if not cell.partner]
CONTROLS = [cell for cell in expand(SPEC) if cell.partner]


def record(cell: Cell, position: int, execution: str = "fused", radius: float | None = None) -> Record:
    cost = Cost(1, 1, 0.1, execution == "fused", execution, "cpu")
    outcome = Outcome(Status.DIVERGED, {}, {}, cost, Diagnostics(None, None), diverged_at_step=1)
    hyperparameters = replace(cell, radius=radius).recorded
    place = PackPlace("pack", 8, position)
    return Record(cell.key, "making", cell.setting.key, hyperparameters, cell.seed, outcome, place)


def by_key(cells: Sequence[Cell]) -> dict[str, Cell]:
    return {cell.key: cell for cell in cells}


def test_cells_that_were_trained_at_once_are_trained_at_once_again_with_all_of_their_company() -> None:
    order = [CELLS[place] for place in (5, 0, 3, 2)]
    members = [record(cell, position) for position, cell in enumerate(order)]
    pack = repeated_pack(members, by_key([order[3], order[1]]), 2)
    assert pack == RepeatedPack(tuple(order), frozenset((1, 3)), "fused", 2)


def test_cells_that_were_trained_one_after_another_need_no_company() -> None:
    members = [record(cell, position, "sequential") for position, cell in enumerate(CELLS[:4])]
    pack = repeated_pack(members, by_key([CELLS[3], CELLS[1]]), 1)
    assert pack == RepeatedPack((CELLS[1], CELLS[3]), frozenset((0, 1)), "sequential", 1)


def test_a_pack_of_which_nothing_is_wanted_is_left_out() -> None:
    assert repeated_pack([record(CELLS[0], 0)], by_key(CELLS[1:]), 1) is None


def test_a_control_is_trained_at_the_radius_that_it_had_also_as_company() -> None:
    members = [record(cell, position, radius=0.01 * (position + 1)) for position, cell in enumerate(CONTROLS[:3])]
    pack = repeated_pack(members, by_key(CONTROLS[1:2]), 1)
    assert pack is not None
    assert [cell.trained_with for cell in pack.cells] == [
        replace(cell, radius=0.01 * (position + 1)).trained_with for position, cell in enumerate(CONTROLS[:3])
    ]
    assert [cell.recorded for cell in pack.cells] == [one.hyperparameters for one in members]
    assert [cell.seed for cell in pack.cells] == [cell.seed for cell in CONTROLS[:3]]
    assert pack.cells[1] == replace(CONTROLS[1], radius=0.02)


@pytest.mark.parametrize("kept", [frozenset(), frozenset((1, 2))])
def test_a_pack_keeps_some_of_its_cells(kept: frozenset[int]) -> None:
    with pytest.raises(ValueError, match=rf"kept must be places of the 2 cells, but got \[{'1, 2' if kept else ''}\]"):
        RepeatedPack(tuple(CELLS[:2]), kept, "fused", 1)


@dataclass
class Collected:
    """A sink that keeps everything."""

    records: list[Record] = field(default_factory=list)
    n_flushed: int = 0

    def on_cells(self, cells: Sequence[Cell]) -> None:
        raise AssertionError("nothing is searched for")

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None: ...

    def on_fingerprint(self, fingerprint: Fingerprint) -> None: ...

    def on_records(self, records: Sequence[Record]) -> None:
        self.records += records

    def flush(self) -> None:
        self.n_flushed += 1


@pytest.mark.slow
def test_only_what_is_kept_is_recorded_and_of_one_cell_in_two_packs_the_one_that_counts() -> None:
    """The same cell is company in one pack and kept in another; packs of several kinds follow one another."""
    spec: Spec = make_spec(resources={"gpus_per_pack": 0})
    cells: list[Any] = [cell for cell in expand(spec) if cell.optimizer == "sam"]
    packs = [
        RepeatedPack((*cells[:5], cells[9]), frozenset((1, 4)), "fused", 1),
        RepeatedPack((cells[9], cells[8]), frozenset((0,)), "fused", 1),
        RepeatedPack((cells[7],), frozenset((0,)), "sequential", 2),
    ]
    sink = Collected()
    train_again(spec, packs, sink, options=RayOptions(n_cpus=2))
    found = {record.config_key: record for record in sink.records}
    assert len(sink.records) == len(found) == 4
    places = {key: (one.pack.size, one.pack.position, one.outcome.cost.execution) for key, one in found.items()}
    assert places == {
        cells[1].key: (6, 1, "fused"),
        cells[4].key: (6, 4, "fused"),
        cells[9].key: (2, 0, "fused"),
        cells[7].key: (1, 0, "sequential"),
    }
    assert sink.n_flushed == 1
    assert {one.outcome.status for one in found.values()} == {Status.COMPLETED}
