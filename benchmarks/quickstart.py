"""How fast the whole path is: a job over HTTP, from its submission to its first record and to its end.

Prints, for a server of its own on an empty data folder: seconds from submit to the first record, cells per second of
the training, the same counted from submit to the end, and that as a ratio to training the cells in one plain loop.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import torch

from benchmark import PackPlace, Spec
from benchmark.execution import device_for, train_cell
from benchmark.spec import expand
from service.background import running_server
from service.client import Client, Job

N_PLAIN = 24
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.yaml"


def main() -> None:
    """Run the measurement and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", type=Path, default=QUICKSTART)
    parser.add_argument("--smoke", action="store_true", help="two seeds and one epoch: does it run at all?")
    arguments = parser.parse_args()
    document = Spec.from_file(arguments.spec).to_dict()
    if arguments.smoke:
        document |= {"seeds": {"count": 1}, "budget": {"epochs": 1}}
    spec = Spec.from_mapping(document)
    plain_s = plain_cell_s(spec)
    with fresh_server() as url, Client(url) as client:
        job = client.submit(spec).wait()
    if job.state != "completed":
        raise SystemExit(f"the job is {job.state}: {job.error}")
    print_report(spec, job, plain_s)


def plain_cell_s(spec: Spec) -> float:
    """Return the seconds a cell takes in one plain loop on one thread, over some cells spread over the grid."""
    torch.set_num_threads(1)
    cells = list(expand(spec))
    chosen = cells[:: max(1, len(cells) // N_PLAIN)]
    device = device_for(use_gpu=False)
    place = PackPlace("plain", 1, 0)
    train_cell(chosen[0], place, device=device, limit_s=3600)  # loads the data
    started = time.perf_counter()
    for cell in chosen:
        train_cell(cell, place, device=device, limit_s=3600)
    return (time.perf_counter() - started) / len(chosen)


@contextmanager
def fresh_server() -> Iterator[str]:
    """Run a server on an empty data folder; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="rhobust-bench-") as folder:
        os.environ["RHOBUST_DATA_DIR"] = folder
        os.environ["RHOBUST_LOG_LEVEL"] = "WARNING"
        with running_server(0) as (url, _):
            yield url


def print_report(spec: Spec, job: Job, plain_s: float) -> None:
    """Print what was measured."""
    times = {name: datetime.fromisoformat(job.values[f"{name}_at"]) for name in ("created", "first_record", "finished")}
    first_s = (times["first_record"] - times["created"]).total_seconds()
    whole_s = (times["finished"] - times["created"]).total_seconds()
    plain = spec.n_cells * plain_s
    print(f"{spec.name}: {spec.n_cells} cells, {os.cpu_count()} CPUs, torch {torch.__version__}")
    print(f"{'submit to first record':<34}{first_s:10.2f} s")
    print(f"{'submit to end':<34}{whole_s:10.2f} s")
    print(f"{'training, first to last record':<34}{job.progress.cells_per_s or 0:10.1f} cells/s")
    print(f"{'submit to end':<34}{spec.n_cells / whole_s:10.1f} cells/s")
    print(f"{'one plain loop, one thread':<34}{1 / plain_s:10.1f} cells/s")
    print(f"{'whole path / one plain loop':<34}{whole_s / plain:10.2f} x the time")


if __name__ == "__main__":
    main()
