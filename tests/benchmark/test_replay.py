"""Replays: one unit in the last place of every initial parameter, another order, other threads, and nothing else."""

from dataclasses import replace

import pytest
import torch

from benchmark import PackPlace, Spec
from benchmark.execution import Execution, cell_fingerprint, train_cells
from benchmark.replay import initial_model, n_threads, reordered, replay_number, replaying
from benchmark.spec import expand
from benchmark.tasks import load_task
from tests.benchmark.toys import CPU, first_cell
from tests.service.filling import small_spec

SPEC = Spec.from_mapping(small_spec(seeds={"count": 2}))


def parameters(number: int, seed: int = 3) -> torch.Tensor:
    with replaying(number):
        model = initial_model(load_task("digits-mlp", {"hidden": 8}), seed, CPU)
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def test_every_parameter_goes_to_a_neighbour_up_or_down_at_random() -> None:
    usual, moved = parameters(0), parameters(1)
    infinity = torch.full_like(usual, torch.inf)
    up, down = moved == torch.nextafter(usual, infinity), moved == torch.nextafter(usual, -infinity)
    assert bool((up ^ down).all())
    assert 0.4 < float(up.float().mean()) < 0.6


def test_a_replay_is_the_same_every_time_and_another_one_differs() -> None:
    assert torch.equal(parameters(1), parameters(1))
    assert not torch.equal(parameters(1), parameters(2))
    assert torch.equal(parameters(0), parameters(0))


def test_nothing_is_left_of_a_replay_behind_its_block() -> None:
    with replaying(4):
        assert replay_number() == 4
    assert replay_number() == 0
    with pytest.raises(ValueError, match=r"must be 0 \(none\) or more, but got -1"), replaying(-1):
        pass


def test_order_and_threads_are_the_replay_s() -> None:
    items = list(range(50))
    assert (reordered(items), n_threads(2)) == (items, 2)
    orders, threads = [], []
    for number in (1, 2, 3):
        with replaying(number):
            orders.append(reordered(items))
            threads.append(n_threads(1))
            assert orders[-1] == reordered(items)
    assert threads == [2, 1, 2]
    assert len({tuple(order) for order in (*orders, items)}) == 4
    assert all(sorted(order) == items for order in orders)


def test_records_of_a_replay_pair_with_the_others_and_are_never_reused_for_them() -> None:
    cell = first_cell()
    usual = cell_fingerprint(cell, CPU)
    assert "replay" not in usual.to_dict()  # the keys of all records from before replays stay what they are
    with replaying(2):
        own = cell_fingerprint(cell, CPU)
    assert own.key != usual.key
    assert replace(own, replay="") == usual


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["sequential", "fused"])
def test_both_ways_of_training_begin_a_replay_with_the_same_parameters(execution: Execution) -> None:
    """What comes of it is near to what comes without, and not the same."""
    cells = [cell for cell in expand(SPEC) if cell.optimizer == "sam"][:4]
    places = [PackPlace("p", 4, position) for position in range(4)]
    losses = {}
    for number in (0, 1):
        with replaying(number):
            records = train_cells(cells, places, device=CPU, limit_s=60, execution=execution)
        assert [record.config_key for record in records] == [cell.key for cell in cells]
        losses[number] = [record.outcome.metrics["train_loss"] for record in records]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
