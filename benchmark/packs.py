"""Packs: which cells are trained together by one trial, and what is planned again when a pack dies."""

import itertools
import math
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmark.errors import BenchmarkError
from benchmark.spec import Cell

MAX_PACK_CELLS = 64  # trained one after another
MIN_FUSED_CELLS, MAX_FUSED_CELLS = 32, 128
PACK_S = 120.0  # that a pack lasts at most, about: what is lost where its process dies
PACKS_PER_WORKER = 8
MAX_DEATHS = 3
MAX_FRUITLESS = 50  # deaths in a row, with no cell done or given up between them: it is not a cell's fault


@dataclass(frozen=True, slots=True)
class Pack:
    """Cells `start` to `stop - 1` of a plan, trained by one trial."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"0 <= start < stop must hold, but got start={self.start}, stop={self.stop}.")

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a cell takes of the pack with which it is trained.

    Attributes:
        elapsed_s: seconds, its share where cells are trained at once; 0 where nobody knows, or where a pack may stop
            after any cell.
        n_bytes: memory at its peak.
    """

    elapsed_s: float
    n_bytes: int

    def most_cells(self, pack_bytes: int) -> int:
        """Return how many cells fit into the seconds and the bytes of a pack, at least one."""
        by_time = PACK_S / self.elapsed_s if self.elapsed_s > 0 else MAX_FUSED_CELLS
        by_memory = pack_bytes // self.n_bytes if self.n_bytes > 0 else MAX_FUSED_CELLS
        return max(1, min(MAX_FUSED_CELLS, int(min(by_time, by_memory))))


def plan_packs(
    cells: Sequence[Cell],
    *,
    n_workers: int,
    size: int | None = None,
    fused: Container[str] = frozenset(),
    most: Mapping[str, int] = MappingProxyType({}),
) -> list[Pack]:
    """Cut cells into packs: none spans two settings, every worker gets several, and those of a setting are about equal.

    Args:
        cells: in the order of the plan, those of one setting side by side.
        n_workers: packs that run at once.
        size: the most cells of a pack; None chooses it.
        fused: keys of the settings whose packs are trained at once: they gain from being large.
        most: by the key of a setting, how many cells of it a pack has room and time for; `size` goes before it.
    """
    share = len(cells) // (n_workers * PACKS_PER_WORKER)
    packs: list[Pack] = []
    for key, group in itertools.groupby(cells, key=lambda cell: cell.setting.key):
        n = sum(1 for _ in group)
        low, high = (MIN_FUSED_CELLS, MAX_FUSED_CELLS) if key in fused else (1, MAX_PACK_CELLS)
        packs += cut(packs[-1].stop if packs else 0, n, size or min(most.get(key, high), max(low, min(high, share))))
    return packs


def most_of(key: str, *, size: int | None, fused: Container[str], most: Mapping[str, int]) -> int:
    """Return how many cells of a setting a pack takes at most, however many there are; as in `plan_packs`."""
    high = MAX_FUSED_CELLS if key in fused else MAX_PACK_CELLS
    return size or min(most.get(key, high), high)


def cut(start: int, n: int, limit: int) -> list[Pack]:
    """Return as few packs of about equal size as hold `n` cells from `start` on, none with more than `limit`."""
    n_packs = math.ceil(n / limit)
    ends = [start + n * (index + 1) // n_packs for index in range(n_packs)]
    return [Pack(first, stop) for first, stop in itertools.pairwise((start, *ends))]


def in_order(cells: Iterable[Cell], fused: Container[str]) -> list[Cell]:
    """Return cells as packs want them: those of one setting side by side, and of one seed where they are fused.

    Cells of one seed share their batches where they are trained at once.
    """
    cells = list(cells)
    order = {key: place for place, key in enumerate(dict.fromkeys(cell.setting.key for cell in cells))}
    return sorted(cells, key=lambda cell: (order[cell.setting.key], cell.seed if cell.setting.key in fused else 0))


class PackQueue:
    """Hands out packs until every cell is reported or given up.

    A pack that dies is never repeated as it was: what it had not reported is cut in halves, down to single cells, and a
    cell that died three times alone is given up. A pack that stops early by itself leaves its rest to be handed out.
    """

    def __init__(self, packs: Sequence[Pack]) -> None:
        self._waiting = deque(packs)
        self._running: dict[str, Pack] = {}
        self._furthest: dict[int, int] = {}  # step of the cell at a place in the plan
        self._deaths: dict[int, int] = {}
        self._fruitless = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    def add(self, pack: Pack) -> None:
        """Have a further pack wait."""
        self._waiting.append(pack)

    def take(self, holder: str) -> Pack | None:
        """Return the next pack and note who holds it; None when none waits."""
        if not self._waiting:
            return None
        pack = self._waiting.popleft()
        self._running[holder] = pack
        return pack

    def report(self, holder: str, n_cells: int) -> None:
        """Note that the holder's next `n_cells` cells are done."""
        self._fruitless = 0
        pack = self._running[holder]
        start = pack.start + n_cells
        if start > pack.stop:
            raise ValueError(f"at most {pack.size} cells of the pack are left, but {n_cells} were reported.")
        if start == pack.stop:
            del self._running[holder]
        else:
            self._running[holder] = Pack(start, pack.stop)

    def advance(self, holder: str, step: int) -> None:
        """Note that the holder's next cell is at a step; where none was as far before, deaths count from here."""
        start = self._running[holder].start
        if step > self._furthest.get(start, 0):
            self._furthest[start] = step
            self._deaths.pop(start, None)
            self._fruitless = 0

    def end(self, holder: str) -> None:
        """Note that the holder stopped by itself; what it had not reported waits again."""
        rest = self._running.pop(holder, None)
        if rest:
            self._waiting.appendleft(rest)

    def die(self, holder: str) -> int | None:
        """Note that the holder died; return the cell that is given up for it, if any.

        Raises:
            BenchmarkError: when process after process died and none had done anything.
        """
        rest = self._running.pop(holder, None)
        if rest is None:
            return None
        self._fruitless += 1
        if self._fruitless > MAX_FRUITLESS:
            raise BenchmarkError(
                f"{self._fruitless} worker processes died one after another and none trained a cell; the job's log and "
                "Ray's say why: is the package with the task installed where workers run, and is there memory?"
            )
        if rest.size > 1:
            middle = (rest.start + rest.stop) // 2
            self._waiting.extend((Pack(rest.start, middle), Pack(middle, rest.stop)))
            return None
        self._deaths[rest.start] = self._deaths.get(rest.start, 0) + 1
        if self._deaths[rest.start] >= MAX_DEATHS:
            self._fruitless = 0
            return rest.start
        self._waiting.append(rest)
        return None
