import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import BenchmarkError
from benchmark.packs import (
    MAX_DEATHS,
    MAX_FRUITLESS,
    MAX_FUSED_CELLS,
    MAX_PACK_CELLS,
    MIN_FUSED_CELLS,
    PACK_S,
    Footprint,
    Pack,
    PackQueue,
    cut,
    most_of,
    plan_packs,
)
from benchmark.spec import Cell, expand
from tests.benchmark.toys import make_spec


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (3, 2), (-1, 1)])
def test_a_pack_has_a_cell_at_least(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=f"0 <= start < stop must hold, but got start={start}, stop={stop}"):
        Pack(start, stop)


@given(n_workers=st.integers(1, 200), size=st.none() | st.integers(1, 30), keep=st.sets(st.integers(0, 47)))
def test_packs_cut_the_plan_without_gaps_and_never_across_settings(
    n_workers: int, size: int | None, keep: set[int]
) -> None:
    every = list(expand(make_spec(seeds={"count": 4})))
    cells = [cell for index, cell in enumerate(every) if index in keep]
    packs = plan_packs(cells, n_workers=n_workers, size=size)
    assert [index for pack in packs for index in range(pack.start, pack.stop)] == list(range(len(cells)))
    assert all(pack.size <= (size or MAX_PACK_CELLS) for pack in packs)
    assert all(len({cell.setting.key for cell in cells[pack.start : pack.stop]}) == 1 for pack in packs)


def test_every_worker_gets_several_packs() -> None:
    cells = list(expand(make_spec(seeds={"count": 40})))
    packs = plan_packs(cells, n_workers=2)
    assert len(packs) >= 16
    assert len(plan_packs(cells, n_workers=10_000)) == len(cells)
    assert plan_packs([], n_workers=2) == []


EVERY = [
    list(group) for _, group in itertools.groupby(expand(make_spec(seeds={"count": 100})), lambda c: c.setting.key)
]


@given(
    n_workers=st.integers(1, 50),
    counts=st.tuples(*(st.integers(0, len(cells)) for cells in EVERY)),
    first=st.booleans(),
)
def test_packs_that_are_trained_at_once_are_large_and_about_equal(
    n_workers: int, counts: tuple[int, ...], first: bool
) -> None:
    cells = [cell for own, n in zip(EVERY, counts, strict=True) for cell in own[:n]]
    fused = {own[0].setting.key for own in (EVERY[:1] if first else EVERY)}
    packs = plan_packs(cells, n_workers=n_workers, fused=fused)
    assert [index for pack in packs for index in range(pack.start, pack.stop)] == list(range(len(cells)))
    by_setting: dict[str, list[int]] = {}
    for pack in packs:
        (key,) = {cell.setting.key for cell in cells[pack.start : pack.stop]}
        by_setting.setdefault(key, []).append(pack.size)
    for key, sizes in by_setting.items():
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= (MAX_FUSED_CELLS if key in fused else MAX_PACK_CELLS)
        if key in fused:  # not cut where no half would be large enough
            assert len(sizes) == 1 or min(sizes) >= MIN_FUSED_CELLS // 2
            assert len(sizes) == 1 or sum(sizes) > MIN_FUSED_CELLS


def test_a_size_that_is_given_holds_for_packs_that_are_trained_at_once() -> None:
    cells: list[Cell] = EVERY[0]
    packs = plan_packs(cells, n_workers=1, size=7, fused={cells[0].setting.key})
    assert {pack.size for pack in packs} <= {6, 7}
    (whole,) = plan_packs(cells[:31], n_workers=8, fused={cells[0].setting.key})
    assert whole == Pack(0, 31)
    assert len(plan_packs(cells[:31], n_workers=8)) == 31


@pytest.mark.parametrize(
    ("footprint", "room", "n"),
    [
        (Footprint(0.0, 0), 0, MAX_FUSED_CELLS),
        (Footprint(1.0, 0), 0, 120),
        (Footprint(PACK_S / 7.5, 1), 10**12, 7),
        (Footprint(1e6, 1), 10**12, 1),
        (Footprint(1e-9, 10**9), 5 * 10**9 + 1, 5),
        (Footprint(0.0, 10**9), 1, 1),
        (Footprint(PACK_S / 3, 10), 20, 2),
        (Footprint(PACK_S / 2, 10), 30, 2),
        (Footprint(1e-9, 1), 10**12, MAX_FUSED_CELLS),
    ],
)
def test_a_pack_holds_as_many_cells_as_it_has_time_and_memory_for(footprint: Footprint, room: int, n: int) -> None:
    assert footprint.most_cells(room) == n


@pytest.mark.parametrize("most", [1, 5, 40, 1_000])
def test_packs_that_are_trained_at_once_are_cut_to_what_fits(most: int) -> None:
    cells: list[Cell] = EVERY[0]
    key = cells[0].setting.key
    packs = plan_packs(cells, n_workers=1, fused={key}, most={key: most})
    largest = max(pack.size for pack in packs)
    assert largest <= most
    assert largest >= min(most, MIN_FUSED_CELLS) - 1
    assert plan_packs(cells, n_workers=1, fused={key}, most={"another": most}) == plan_packs(
        cells, n_workers=1, fused={key}
    )
    assert max(pack.size for pack in plan_packs(cells, n_workers=1, size=7, fused={key}, most={key: most})) <= 7


@given(st.data())
def test_every_cell_is_reported_once_or_given_up_after_three_lonely_deaths(data: st.DataObject) -> None:
    """A brute-force simulation: workers take, report, end and die in any order; some cells kill whoever trains them."""
    n_cells = data.draw(st.integers(0, 12), label="cells")
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, n_cells - 1))), label="cuts") & set(range(1, n_cells)))
    bounds = [0, *cuts, n_cells]
    queue = PackQueue([Pack(*pair) for pair in itertools.pairwise(bounds) if pair[0] < pair[1]])
    deadly = data.draw(st.sets(st.integers(0, 11)), label="deadly cells")
    n_whims = data.draw(st.integers(0, 10), label="deaths and early ends without a reason")
    reported: Counter[int] = Counter()
    lonely_deaths: Counter[int] = Counter()
    given_up: list[int] = []
    running: dict[str, tuple[int, int]] = {}
    for turn in range(2_000):
        if queue.is_empty:
            break
        holder = f"worker {turn}"
        may_take = len(running) < 3 and (not running or data.draw(st.booleans()))
        if may_take and (pack := queue.take(holder)):
            running[holder] = pack.start, pack.stop
            continue
        holder = data.draw(st.sampled_from(sorted(running)))
        start, stop = running[holder]
        dies = start in deadly
        if not dies and n_whims and data.draw(st.booleans()):
            n_whims -= 1
            dies = data.draw(st.booleans())
            if not dies:
                queue.end(holder)
                del running[holder]
                continue
        if dies:
            lonely_deaths[start] += stop - start == 1
            lost = queue.die(holder)
            del running[holder]
            assert (lost is not None) == (stop - start == 1 and lonely_deaths[start] == MAX_DEATHS)
            given_up += [] if lost is None else [lost]
            continue
        n_done = data.draw(st.integers(1, stop - start))
        n_done = next((n for n in range(n_done) if start + n in deadly), n_done)
        queue.report(holder, n_done)
        reported.update(range(start, start + n_done))
        running[holder] = start + n_done, stop
        if start + n_done == stop:
            del running[holder]
            ending = data.draw(st.sampled_from([queue.end, queue.die]))
            assert ending(holder) is None
    assert queue.is_empty
    assert not running
    assert set(reported.values()) <= {1}
    assert sorted([*reported, *given_up]) == list(range(n_cells))
    assert deadly & set(range(n_cells)) <= set(given_up)
    assert queue.take("late") is None


def test_more_cells_than_a_pack_has_cannot_be_reported() -> None:
    queue = PackQueue([Pack(2, 5)])
    queue.take("a")
    queue.report("a", 2)
    with pytest.raises(ValueError, match="at most 1 cells of the pack are left, but 2 were reported"):
        queue.report("a", 2)


def test_what_a_holder_leaves_comes_first_and_what_it_died_of_last() -> None:
    queue = PackQueue([Pack(0, 4), Pack(4, 8)])
    queue.take("a")
    queue.report("a", 1)
    queue.end("a")
    assert queue.take("b") == Pack(1, 4)
    assert queue.die("b") is None
    assert [queue.take(name) for name in "cde"] == [Pack(4, 8), Pack(1, 2), Pack(2, 4)]


def test_deaths_of_a_cell_that_gets_further_each_time_do_not_count() -> None:
    queue = PackQueue([Pack(0, 1)])
    for number in range(3 * MAX_DEATHS):
        assert queue.take(str(number)) == Pack(0, 1)
        queue.advance(str(number), 100 * (number + 1))
        assert queue.die(str(number)) is None
    for number in range(100, 99 + MAX_DEATHS):
        assert queue.take(str(number)) == Pack(0, 1)
        queue.advance(str(number), 900)
        lost = queue.die(str(number))
    assert lost == 0, "here it went no further"


def test_process_after_process_that_dies_without_a_cell_done_is_nobody_s_cell() -> None:
    queue = PackQueue([Pack(0, 10_000)])
    for number in range(MAX_FRUITLESS):
        assert queue.take(str(number))
        queue.die(str(number))
    assert queue.take("last")
    with pytest.raises(BenchmarkError, match=f"{MAX_FRUITLESS + 1} worker processes died one after another"):
        queue.die("last")


def test_cells_that_are_cut_alone_are_about_equal_and_within_the_limit() -> None:
    assert cut(7, 5, 5) == [Pack(7, 12)]
    assert [pack.size for pack in cut(0, 12, 5)] == [4, 4, 4]
    assert most_of("a", size=None, fused={"a"}, most={"a": 3}) == 3
    assert most_of("a", size=2, fused={"a"}, most={"a": 3}) == 2
    assert most_of("a", size=None, fused=(), most={}) == 64
