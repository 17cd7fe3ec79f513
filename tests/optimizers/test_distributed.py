"""Two gloo processes against one with the batch of both."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from optimizers import SAM, TwoPassOptimizer
from tests.optimizers.cases import CASES, Case, Problem, backward, make

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import json, os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tests.optimizers.cases import BASES, CASES, Problem, backward

torch.set_num_threads(1)
port, rank, kinds = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
found = {}
for name, sync in kinds:
    case = next(case for case in CASES if case.name == name)
    problem = Problem(torch.float64, norm=False)
    model = DistributedDataParallel(problem.model)
    problem.model = model
    base, arguments = BASES["sgd"]
    optimizer = case.cls(model.parameters(), base, model=model, ascent_sync=sync, **case.hyperparameters, **arguments)
    for _ in range(4):
        optimizer.step(problem.closure(optimizer, rank))
    found[name] = {"theta": problem.vector().tolist(), "grad_norm": float(optimizer.grad_norm)}
print(json.dumps(found), flush=True)
dist.barrier()
os._exit(0)  # now and then gloo's own threads abort an interpreter that ends in order
"""


KINDS = [("sam", "local"), ("msam", "global"), ("gsam", "global")]


@pytest.fixture(scope="module")
def two_processes() -> list[dict[str, dict[str, Any]]]:
    """What each of two processes found of every kind, one after the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", WORKER, str(port)]
    workers = [
        subprocess.Popen(
            [*command, str(rank), json.dumps(KINDS)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], results
    return [json.loads(out) for out, _ in results]


def one_process(case: Case, sync: str) -> list[float]:
    """Do by hand what two processes do with a batch each."""
    problem = Problem(torch.float64, norm=False)
    optimizer: TwoPassOptimizer = make(case, problem)
    if sync == "global":

        def closure() -> Any:
            optimizer.zero_grad()
            loss = (problem.loss(0) + problem.loss(1)) / 2
            backward(loss)
            return loss

        for _ in range(4):
            optimizer.step(closure)
        return problem.vector().tolist()
    parameters = problem.parameters()
    for _ in range(4):
        gradients = []
        for batch in range(2):
            ascent = make(case, problem)
            problem.closure(ascent, batch)()
            ascent.first_step()
            problem.closure(ascent, batch)()
            gradients.append([p.grad.clone() for p in parameters if p.grad is not None])
            ascent.restore()
        for p, first, second in zip(parameters, *gradients, strict=True):
            p.grad = (first + second) / 2
        optimizer.base_optimizer.step()
    return problem.vector().tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sync"), KINDS)
def test_two_processes_are_one(name: str, sync: str, two_processes: list[dict[str, dict[str, Any]]]) -> None:
    case = next(case for case in CASES if case.name == name)
    first, second = (found[name] for found in two_processes)
    assert first["theta"] == second["theta"]
    assert first["theta"] == pytest.approx(one_process(case, sync), rel=1e-10, abs=1e-12)
    assert (first["grad_norm"] == pytest.approx(second["grad_norm"], rel=1e-12)) == (sync == "global")


class Wrapped(nn.Module):
    """What DistributedDataParallel offers."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.depth += 1
        yield
        self.depth -= 1


@pytest.mark.parametrize(("sync", "depths"), [("local", [1, 0]), ("global", [0, 0])])
def test_local_ascent_leaves_the_reduction_out_of_the_first_pass_alone(sync: Any, depths: list[int]) -> None:
    seen: list[int] = []
    problem, wrapped = Problem(), Wrapped()
    optimizer = SAM(problem.parameters(), torch.optim.SGD, lr=0.1, model=wrapped, ascent_sync=sync)

    def closure() -> Any:
        seen.append(wrapped.depth)
        return problem.closure(optimizer)()

    optimizer.step(closure)
    assert seen == depths
