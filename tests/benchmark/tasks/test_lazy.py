import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.batches import batches_of
from benchmark.cell_costs import step_s
from benchmark.fused import Run, train_together
from benchmark.records import Outcome
from benchmark.sharpness import reference_batch
from benchmark.tasks import Batch, LazyRows, Split, Splits
from benchmark.tasks.digits import DigitsMLP
from benchmark.tasks.lazy import N_AHEAD, Column, Row, in_memory, taken
from benchmark.training import train
from tests.benchmark.toys import CPU, first_cell

N, SIZE = 40, 4
TABLE = np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3)
NUMBERS = torch.arange(N)


def row_of(place: int) -> Row:
    row: Row = TABLE[place]
    return row


def rows(read: Callable[[int], Row] = row_of) -> LazyRows:
    return LazyRows(read, N, TABLE.tobytes)


def splits_of(*train: Column) -> Splits:
    return Splits(cast(Batch, train))


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rows")]


@pytest.fixture(params=[1, 3])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    own = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(own)


def test_batches_are_those_of_the_same_rows_in_memory(n_threads: int) -> None:
    def read(place: int) -> Row:
        time.sleep(0.002 * (place % 3))  # those that are asked for last are there first
        return row_of(place)

    order = torch.split(torch.randperm(N, generator=torch.Generator().manual_seed(0)), 7)
    kept = torch.from_numpy(TABLE)
    for index, (found, numbers) in zip(order, taken((rows(read), NUMBERS), order), strict=True):
        assert torch.equal(found, kept[index])
        assert torch.equal(numbers, index)
    assert torch.equal(in_memory((rows(), NUMBERS))[0], kept)


def test_so_many_threads_read_as_torch_has(n_threads: int) -> None:
    all_read = threading.Barrier(n_threads, timeout=60)

    def read(place: int) -> Row:
        all_read.wait()  # which nobody passes before all of them are here
        return row_of(place)

    batches = taken((rows(read),), [torch.arange(12)])
    assert len(next(batches)[0]) == 12
    assert len(readers()) == n_threads
    assert list(batches) == []
    assert readers() == []


def test_no_more_is_read_ahead_than_two_batches(n_threads: int) -> None:
    started: list[int] = []

    def read(place: int) -> Row:
        started.append(place)
        return row_of(place)

    batches = taken((rows(read),), torch.split(NUMBERS, SIZE))
    for n_taken in range(1, N // SIZE + 1):
        next(batches)
        expected = min(N, (n_taken + N_AHEAD) * SIZE)
        deadline = time.monotonic() + 60
        while len(started) < expected and time.monotonic() < deadline:
            time.sleep(0.001)
        assert sorted(started) == list(range(expected))


def test_what_reading_raises_comes_with_its_batch_and_ends_all_threads(n_threads: int) -> None:
    def read(place: int) -> Row:
        if place == 2 * SIZE:
            raise OSError(f"row {place} is damaged")
        return row_of(place)

    batches = taken((rows(read),), torch.split(NUMBERS, SIZE))
    assert [len(next(batches)[0]) for _ in range(2)] == [SIZE, SIZE]
    with pytest.raises(OSError, match="row 8 is damaged"):
        next(batches)
    assert readers() == []


def test_a_batch_that_nobody_wants_any_more_is_not_waited_for() -> None:
    started: list[int] = []

    def read(place: int) -> Row:
        started.append(place)
        time.sleep(0.001 if place < SIZE else 0.1)
        return row_of(place)

    batches = batches_of((rows(read), NUMBERS), N, 0)
    batches.close()
    assert started == [], "nothing is read before the first batch is wanted"
    some = taken((rows(read),), torch.split(NUMBERS, SIZE))
    next(some)
    some.close()
    assert len(started) < N
    assert readers() == []


@pytest.mark.parametrize("start", [0, 1, 8, 9, 10, 18, 23])
@pytest.mark.parametrize("is_read", [False, True])
def test_batches_go_on_where_they_were(start: int, is_read: bool) -> None:
    read: list[int] = []

    def reading(place: int) -> Row:
        read.append(place)
        return row_of(place)

    split = (rows(reading) if is_read else torch.from_numpy(TABLE), NUMBERS)
    whole = list(itertools.islice(batches_of((torch.from_numpy(TABLE), NUMBERS), SIZE, 5), start + 3))
    batches = batches_of(split, SIZE, 5, start=start)
    rest = list(itertools.islice(batches, 3))
    batches.close()
    for one, other in zip(whole[start:], rest, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))
    assert len(read) <= (3 + N_AHEAD) * SIZE, "what is left out is not read"


def test_batches_of_everything_go_on_as_well() -> None:
    whole = list(itertools.islice(batches_of((NUMBERS,), 2 * N, 5), 4))
    assert torch.equal(next(batches_of((NUMBERS,), 2 * N, 5, start=3))[0], whole[3][0])


def test_splits_keep_what_is_read_where_it_is() -> None:
    moved: Split = splits_of(rows(), NUMBERS).to(torch.device("meta")).train
    assert isinstance(moved[0], LazyRows)
    assert [column.device.type for column in moved] == ["meta", "meta"]
    assert [len(column) for column in moved] == [N, N]
    with pytest.raises(ValueError, match=r"must have one length.*train has \[40, 39\]"):
        splits_of(rows(), NUMBERS[1:])


def test_the_checksum_reads_no_row() -> None:
    def read(place: int) -> Row:
        raise AssertionError("a row was read")

    first, others = splits_of(rows(read), NUMBERS), LazyRows(read, N, lambda: b"others")
    assert first.checksum() == splits_of(rows(read), NUMBERS).checksum()
    different = (first, splits_of(others, NUMBERS), splits_of(rows(read), NUMBERS + 1))
    assert len({splits.checksum() for splits in different}) == 3


class ReadDigits(DigitsMLP):
    """Digits whose training images are read one by one."""

    def splits(self, seed: int) -> Splits:
        whole = super().splits(seed)
        images, labels = whole.train
        read = LazyRows(images.numpy().__getitem__, len(images), images.numpy().tobytes)
        return dataclasses.replace(whole, train=cast(Batch, (read, labels)))


def told(outcome: Outcome) -> dict[str, Any]:
    """What came of a run, but for the seconds that it took."""
    return dataclasses.asdict(dataclasses.replace(outcome, cost=dataclasses.replace(outcome.cost, elapsed_s=0.0)))


def test_cells_come_to_the_same_whether_rows_are_read_or_kept(n_threads: int) -> None:
    cell = first_cell(budget={"epochs": 3, "batch_size": 100}, sharpness=["trace"])
    outcomes = []
    for kind in (DigitsMLP, ReadDigits):
        task = kind(cell.setting.task_params)
        outcomes.append(
            told(
                train(
                    task,
                    cell.setting,
                    cell.hyperparameters,
                    cell.seed,
                    device=CPU,
                    limit_s=math.inf,
                    sharpness=["trace"],
                )
            )
        )
        assert readers() == []
        assert step_s(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, n_steps=1) > 0
        assert readers() == []
    assert outcomes[0] == outcomes[1]


def test_cells_that_are_trained_together_may_read_as_well() -> None:
    cell = first_cell(budget={"epochs": 1, "batch_size": 100})
    runs = [Run(cell.hyperparameters, seed) for seed in (0, 0, 1)]
    kept, read = (
        train_together(kind(cell.setting.task_params), cell.setting, runs, device=CPU, limit_s=math.inf)
        for kind in (DigitsMLP, ReadDigits)
    )
    assert list(map(told, kept)) == list(map(told, read))
    assert readers() == []


def test_the_examples_of_sharpness_are_the_same() -> None:
    params = first_cell().setting.task_params
    kept, read = (reference_batch(kind(params).data(0, CPU).train) for kind in (DigitsMLP, ReadDigits))
    assert all(torch.equal(x, y) for x, y in zip(kept, read, strict=True))
    assert isinstance(read[0], Tensor)
