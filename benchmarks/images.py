"""How fast images are read for a step, by threads and by worker processes of torch, and what memory it takes.

    python -m benchmarks.images            # a minute on two free cores
    python -m benchmarks.images --smoke    # seconds; shows that it runs, not how fast

JPEGs of 640 x 480 pixels are made on the spot, and read as `clip-alignment` does: decoded, scaled and cut to 224 x 224,
in batches of 128. Threads are what cells are trained with; the same rows are read by a DataLoader beside them. Ways
take turns; rates are medians of the rounds, each from the first batch that is asked for to the last, with what it takes
to start. Memory is what a process holds at its peak beyond its libraries: with all images kept as they once were, and
with those of a few batches.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.tasks.lazy import LazyRows, taken
from benchmark.tasks.pairs import pixels_of
from benchmarks.planning import held_mb

WIDTH, HEIGHT, SIDE, BATCH = 640, 480, 224, 128
N_TIMES = 4  # that each image counts where memory is measured


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few images, one round: does it run at all?")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="how many threads or processes")
    parser.add_argument("--hold", nargs=2, metavar=("WAY", "FOLDER"), help="measure the memory of one way here")
    arguments = parser.parse_args()
    if arguments.hold:
        way, folder = arguments.hold
        print(held(way, N_TIMES * sorted(Path(folder).iterdir())))
        return
    n, n_rounds = (160, 1) if arguments.smoke else (768, 5)
    workers = arguments.workers[:1] if arguments.smoke else arguments.workers
    with tempfile.TemporaryDirectory() as name:
        paths = write_images(Path(name), n)
        size_kb = statistics.mean(path.stat().st_size for path in paths) / 1e3
        print(f"{n:,} JPEGs of {WIDTH} x {HEIGHT} pixels, {size_kb:.0f} kB each; torch {torch.__version__}")
        print_rates(paths, workers, n_rounds)
        print_memory(Path(name), N_TIMES * n)


def write_images(folder: Path, n: int) -> list[Path]:
    """Write JPEGs like photographs: smooth, with edges and some noise."""
    generator = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    paths = []
    for number in range(n):
        waves = generator.uniform(0.002, 0.05, (3, 2))
        shades = np.stack([np.sin(a * across + b * down) for a, b in waves], axis=2)
        shades += 0.8 * (((across // 80 + down // 60 + number) % 3) == 0)[:, :, None]
        noisy = 128 + 60 * shades + 8 * generator.standard_normal((HEIGHT, WIDTH, 3), dtype=np.float32)
        paths.append(folder / f"{number:05}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=85)
    return paths


class Pictures(Dataset[Tensor]):
    """The same rows as torch's loader takes them."""

    def __init__(self, rows: LazyRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Tensor:
        return torch.from_numpy(self._rows.read(place))


def by_threads(rows: LazyRows, n_workers: int) -> Iterator[Tensor]:
    """Yield batches as they are read in training."""
    own = torch.get_num_threads()
    torch.set_num_threads(n_workers)
    try:
        yield from (images for (images,) in taken((rows,), torch.split(torch.arange(len(rows)), BATCH)))
    finally:
        torch.set_num_threads(own)


def by_processes(rows: LazyRows, n_workers: int) -> Iterator[Tensor]:
    """Yield batches of a DataLoader; its workers are forked, the way that starts fastest."""
    yield from DataLoader(Pictures(rows), BATCH, num_workers=n_workers, multiprocessing_context="fork")


WAYS: dict[str, Callable[[LazyRows, int], Iterator[Tensor]]] = {"threads": by_threads, "processes": by_processes}


def print_rates(paths: Sequence[Path], workers: Sequence[int], n_rounds: int) -> None:
    """Print how many images a second each way reads, with a step that takes no time."""
    rows = pixels_of(paths, SIDE)
    ways = [(name, n) for n in workers for name in WAYS]
    rates: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    wanted = checksum(by_threads(rows, 1))
    for _ in range(n_rounds):
        for name, n in ways:
            started = time.perf_counter()
            found = checksum(WAYS[name](rows, n))
            rates[name, n].append(len(rows) / (time.perf_counter() - started))
            if found != wanted:
                raise SystemExit(f"{name} read other pixels.")
    print(f"{'workers':<10}{'threads, images/s':>19}{'processes, images/s':>21}{'threads / processes':>21}")
    for n in workers:
        threads, processes = (statistics.median(rates[name, n]) for name in WAYS)
        print(f"{n:<10}{threads:>19.0f}{processes:>21.0f}{threads / processes:>21.2f}", flush=True)


def checksum(batches: Iterator[Tensor]) -> int:
    """Return the sum of all pixels."""
    return sum(int(images.numpy().sum(dtype=np.int64)) for images in batches)  # torch's takes eight times the memory


def print_memory(folder: Path, n: int) -> None:
    """Print what a process holds at its peak, so many images kept or read batch by batch."""
    print(f"{f'{n:,} images are':<24}{'MB at the peak':>15}{'kB an image':>13}")
    for way, words in (("kept", "all kept in memory"), ("read", "read batch by batch")):
        command = [sys.executable, "-m", "benchmarks.images", "--hold", way, str(folder)]
        mb = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{words:<24}{mb:>15.0f}{1e3 * mb / n:>13.0f}", flush=True)


def held(way: str, paths: Sequence[Path]) -> float:
    """Return the MB that a process holds at its peak when it has gone through all images, beyond those of the first."""
    rows = pixels_of(paths, SIDE)
    rows.read(0)
    before = held_mb("VmRSS")
    if way == "kept":
        images = torch.empty(len(rows), 3, SIDE, SIDE, dtype=torch.uint8)
        for place in range(len(rows)):
            images[place] = torch.from_numpy(rows.read(place))
        checksum(iter(torch.split(images, BATCH)))
    else:
        checksum(by_threads(rows, torch.get_num_threads()))
    return held_mb("VmHWM") - before


if __name__ == "__main__":
    main()
