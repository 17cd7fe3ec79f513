"""Cells of two processes as trials of a real local Ray; some lose one of the two on the way."""

import math
import os
import time
from pathlib import Path
from typing import Annotated, Any, ClassVar

import psutil
import pytest
import torch.distributed as dist
from pydantic import Field
from torch import Tensor

from benchmark import RayOptions, Status, run
from benchmark.parsing import Integer, SpecModel, Text
from benchmark.spec import Setting, expand
from benchmark.tasks import Batch, Model, load_task, register_task
from benchmark.tasks.classification import MLPParameters
from benchmark.tasks.digits import DigitsMLP
from benchmark.training import train
from tests.benchmark.toys import CPU, make_spec
from tests.service.processes import until

pytestmark = pytest.mark.slow


class MortalParameters(MLPParameters):
    """Which process dies, once; -1 for none."""

    dies: Integer = -1
    folder: Annotated[Text, Field(description="where each process leaves its number")] = ""


class Mortal(DigitsMLP):
    """Digits, one of whose processes dies in the third loss of its first life, without a word."""

    name: ClassVar[str] = "mortal"
    Parameters: ClassVar[type[SpecModel]] = MortalParameters
    params: MortalParameters
    _calls = 0

    def loss(self, model: Model, batch: Batch) -> Tensor:
        if dist.is_initialized():
            rank, folder = dist.get_rank(), Path(self.params.folder)
            (folder / f"{rank}-{os.getpid()}").touch()
            self._calls += 1
            if rank == self.params.dies and self._calls == 3 and len(list(folder.glob(f"{rank}-*"))) == 1:
                os._exit(9)
        return super().loss(model, batch)

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        if dist.is_initialized():
            deadline = time.monotonic() + 20
            while len(living(Path(self.params.folder))) > 2:
                assert time.monotonic() < deadline, "the process beside the one that died is still there"
                time.sleep(0.05)
        return super().evaluate(model, split)


def living(folder: Path) -> list[int]:
    """Processes that left their number and are there."""
    numbers = (int(file.name.partition("-")[2]) for file in folder.iterdir())
    return [number for number in numbers if psutil.pid_exists(number)]


@pytest.mark.parametrize("kinds", [{"none": -1}, pytest.param({"leader": 0, "follower": 1}, marks=pytest.mark.long)])
def test_two_processes_train_a_cell_as_one_does_also_where_one_of_them_died_before(
    kinds: dict[str, int], tmp_path: Path
) -> None:
    register_task(Mortal)
    tasks: list[dict[str, Any]] = []
    for label, dies in kinds.items():
        folder = tmp_path / label
        folder.mkdir()
        tasks.append({"name": "mortal", "label": label, "params": {"hidden": 8, "dies": dies, "folder": str(folder)}})
    spec = make_spec(
        tasks=tasks,
        budget={"epochs": 2, "batch_size": 200, "processes": 2},
        gd=False,
        optimizers=[{"name": "msam", "fixed": {"rho": 0.5}}],
        space={"lr": {"values": [0.1]}},
        seeds={"count": 2, "base": 3},
    )
    records = {record.config_key: record for record in run(spec, options=RayOptions(n_cpus=2)).records}
    for cell in expand(spec):
        document = cell.setting.to_dict()
        del document["budget"]["processes"]
        alone = train(
            load_task("mortal", cell.setting.task_params),
            Setting.from_dict(document),
            cell.hyperparameters,
            cell.seed,
            device=CPU,
            limit_s=math.inf,
        )
        outcome = records[cell.key].outcome
        assert outcome.status is Status.COMPLETED, outcome.error
        assert outcome.metrics == pytest.approx(alone.metrics, rel=1e-4)
        assert outcome.cost.gradient_evaluations == alone.cost.gradient_evaluations
    for label, dies in kinds.items():
        n_lives = len(list((tmp_path / label).glob("0-*")))
        assert n_lives >= 2 if dies >= 0 else n_lives == 1
        until(lambda label=label: not living(tmp_path / label), "no process outlives its run", 20)  # type: ignore[misc]
