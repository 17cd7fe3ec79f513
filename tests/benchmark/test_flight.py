"""Cells that are cut into slices, left and gone on with are what they would have been."""

import itertools
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark import flight
from benchmark.checkpoints import Checkpoint
from benchmark.flight import Flight
from benchmark.plain import packed, unpacked
from benchmark.records import Outcome, PackPlace, Record, Status
from benchmark.seeding import Stream, torch_generator
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import Batch, Metric, Model, Splits, Task, load_task, register_task
from benchmark.training import Training, train
from optimizers import class_info, register_optimizer
from tests.benchmark.toys import CPU, make_spec, toy_document
from tests.benchmark.vision import write_cifar

PLACE = PackPlace("p", 1, 0)
SGD, ADAM = {"name": "sgd", "momentum": 0.9}, {"name": "adam"}
COSINE = {"epochs": 2, "batch_size": 128, "schedule": "cosine", "warmup": 0.2}


class Dropping(Task):
    """Two layers with batch norm and dropout."""

    name: ClassVar[str] = "dropping"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Dropout and batch norm"
    source: ClassVar[str] = "none"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("loss", "minimize", 0.1, 10.0, "mean squared error"),)
    max_evaluations: ClassVar[int] = 4

    def splits(self, seed: int) -> Splits:
        inputs = torch.randn(40, 6, generator=torch_generator(seed, Stream.SPLIT))
        return Splits(*((part, part.sum(dim=1, keepdim=True)) for part in (inputs[:20], inputs[20:30], inputs[30:])))

    def model(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        return functional.mse_loss(model(batch[0]), batch[1])

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        return {"loss": self.loss(model, split)}


def cell_of(task: dict[str, Any], rule: dict[str, Any], base: dict[str, Any], budget: dict[str, Any]) -> Cell:
    spec = make_spec(
        tasks=[task],
        budget=budget,
        base=base,
        optimizers=[rule],
        gd=False,
        space={"lr": {"values": [0.05]}},
        seeds={"count": 1, "base": 5},
    )
    return next(expand(spec))


def training_of(cell: Cell, **changes: Any) -> Training:
    task = load_task(cell.setting.task, cell.setting.task_params)
    arguments = {"device": CPU, "limit_s": math.inf, **changes}
    return Training(task, cell.setting, cell.trained_with, cell.seed, **arguments)


def whole(cell: Cell) -> Outcome:
    task = load_task(cell.setting.task, cell.setting.task_params)
    return train(task, cell.setting, cell.trained_with, cell.seed, device=CPU, limit_s=math.inf)


def facts(outcome: Outcome) -> tuple[Any, ...]:
    """All but the seconds."""
    cost = outcome.cost
    return (
        outcome.status,
        outcome.metrics,
        outcome.curve,
        outcome.diagnostics,
        outcome.diverged_at_step,
        outcome.collapsed,
        (cost.steps, cost.gradient_evaluations, cost.execution, cost.device, cost.amortised),
    )


DIGITS_TASK = {"name": "digits-mlp", "params": {"hidden": 8}}
RULES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "gd"}, SGD),
    ({"name": "msam", "fixed": {"rho": 0.2}}, ADAM),
    ({"name": "momentum_sam", "fixed": {"rho": 0.5}}, SGD),
    ({"name": "momentum_sam", "fixed": {"rho": 0.5}}, ADAM),
    ({"name": "friendly_sam", "fixed": {"rho": 0.2}}, SGD),
    ({"name": "look_sam", "fixed": {"rho": 0.2, "k": 3}}, ADAM),
    ({"name": "gsam", "fixed": {"rho": 0.2}}, SGD),
    ({"name": "sam", "fixed": {"rho": 0.2, "rho_warmup": 0.5}}, SGD),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_CHECKPOINTS_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def gone_on_with(cell: Cell, cuts: tuple[int, ...], device: torch.device = CPU) -> Outcome:
    """Train a cell that is left after some of its steps, each time through a file, and gone on with anew."""
    clock = itertools.count(0.0, 1.0).__next__  # one step a second, so that a slice is a number of steps
    training = training_of(cell, clock=clock, device=device)
    for cut in cuts:
        assert not training.advance(cut - training.step)
        assert training.step == cut
        checkpoint = Checkpoint("a", {})
        checkpoint.save(training.state)
        torch.rand(7, device=device)  # whatever the process draws meanwhile
        state = checkpoint.load()
        assert state is not None
        training = training_of(cell, clock=clock, device=device)
        training.load(state)
    assert training.advance()
    return training.outcome()


@pytest.mark.parametrize(("rule", "base"), RULES, ids=lambda value: value["name"])
def test_rules_and_bases_remember_what_they_did(rule: dict[str, Any], base: dict[str, Any]) -> None:
    cell = cell_of(DIGITS_TASK, rule, base, COSINE)
    assert facts(gone_on_with(cell, (1, 5, 9))) == facts(whole(cell))


@pytest.mark.parametrize("rule", [{"name": "gd"}, *({"name": name, "fixed": {"rho": 0.1}} for name in ("sam", "msam"))])
def test_dropout_and_batch_norm_go_on_where_they_were(rule: dict[str, Any]) -> None:
    register_task(Dropping)
    budget = {"epochs": 9, "batch_size": 8}  # two batches an epoch, and four examples left over
    cell = cell_of({"name": "dropping"}, rule, SGD, budget)
    expected = facts(whole(cell))
    for cut in range(1, 18, 4):
        assert facts(gone_on_with(cell, (cut,))) == expected


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="there is no accelerator")
def test_on_an_accelerator_its_own_random_numbers_go_on() -> None:
    register_task(Dropping)
    device = torch.device(torch.accelerator.current_accelerator() or "cpu")
    rule = {"name": "momentum_sam", "fixed": {"rho": 0.1}}
    cell = cell_of({"name": "dropping"}, rule, ADAM, {"epochs": 9, "batch_size": 8})
    task = load_task(cell.setting.task, cell.setting.task_params)
    expected = train(task, cell.setting, cell.trained_with, cell.seed, device=device, limit_s=math.inf)
    assert facts(gone_on_with(cell, (1, 7), device)) == facts(expected)


def test_in_fp16_the_scale_goes_on() -> None:
    task = {"name": "digits-mlp", "params": {"hidden": 8, "loss_scale": 30.0}}  # some steps are skipped
    cell = cell_of(task, {"name": "sam", "fixed": {"rho": 0.2}}, SGD, {**COSINE, "precision": "fp16"})
    assert facts(gone_on_with(cell, (1, 9))) == facts(whole(cell))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "augment"), [("msam", "none"), ("momentum_sam", "none"), ("sam", "flip-crop")])
def test_a_resnet_goes_on_where_it_was(
    rule: str, augment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    write_cifar(tmp_path, n=20, n_test=20)
    task = {"name": "cifar10-resnet18", "params": {"width": 2, "augment": augment}}
    cell = cell_of(task, {"name": rule, "fixed": {"rho": 0.05}}, SGD, {**COSINE, "batch_size": 16})
    assert facts(gone_on_with(cell, (4, 9))) == facts(whole(cell))


def test_an_optimizer_of_ones_own_goes_on_where_it_was() -> None:
    info = class_info("own_adam", torch.optim.AdamW, title="Own", gradient_evaluations=1)
    register_optimizer(info)
    spec = make_spec(
        optimizers=[{"name": "own_adam"}], gd=False, base={"name": "sgd"}, space={"lr": {"values": [0.01]}}
    )
    cell = next(expand(spec))
    assert facts(gone_on_with(cell, (2,))) == facts(whole(cell))


class Narrow(torch.optim.SGD):
    """An optimizer whose state is of a type that loading changes."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["count"] = torch.ones(1, dtype=torch.uint8)
        return loss


def test_a_state_that_loading_would_change_is_not_gone_on_with(caplog: pytest.LogCaptureFixture) -> None:
    register_optimizer(class_info("narrow", Narrow, title="Narrow", gradient_evaluations=1))
    spec = make_spec(optimizers=[{"name": "narrow"}], gd=False, space={"lr": {"values": [0.01]}})
    cell = next(expand(spec))
    with pytest.raises(ValueError, match="must take its state as it gave it"):
        gone_on_with(cell, (2,))
    first = flight_of(cell)
    assert first.advance(0.0) is None
    first.keep()
    record = landed(flight_of(cell))
    assert facts(record.outcome) == facts(whole(cell))
    assert "begins anew, not from its checkpoint" in caplog.text


@pytest.mark.parametrize("n_steps", [1, 7])
def test_slices_change_nothing(n_steps: int) -> None:
    cell = cell_of(DIGITS_TASK, {"name": "sam", "fixed": {"rho": 0.2}}, SGD, COSINE)
    training = training_of(cell, clock=itertools.count(0.0, 1.0).__next__, sharpness=("sam",))
    n_slices = 1
    while not training.advance(n_steps):
        n_slices += 1
        torch.rand(3)
    assert n_slices == math.ceil(training.total / n_steps)
    task = load_task(cell.setting.task, cell.setting.task_params)
    expected = train(task, cell.setting, cell.trained_with, cell.seed, device=CPU, limit_s=math.inf, sharpness=("sam",))
    assert facts(training.outcome()) == facts(expected)


def test_seconds_are_the_sum_of_the_slices_and_nothing_between_them() -> None:
    now = [100.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    cell = next(expand(Spec.from_mapping(toy_document({"toy": {}}, budget={"epochs": 10, "batch_size": 5}))))
    training = training_of(cell, clock=clock)  # 20 steps
    assert not training.advance(8)
    now[0] += 1_000
    assert not training.advance(8)
    now[0] += 1_000
    assert training.advance()
    assert training.outcome().cost.elapsed_s == 9 + 9 + 4  # each slice, and the outcome, ask once after their steps


def test_the_limit_holds_for_all_parts_together() -> None:
    cell = next(expand(Spec.from_mapping(toy_document({"toy": {}}, budget={"epochs": 10, "batch_size": 5}))))
    clock = itertools.count(0.0, 1.0).__next__
    first = training_of(cell, clock=clock, limit_s=10)
    assert not first.advance(8)
    second = training_of(cell, clock=clock, limit_s=10)
    second.load(unpacked(*packed(first.state())))
    assert second.advance()
    outcome = second.outcome()
    assert (outcome.status, outcome.cost.steps, outcome.cost.elapsed_s) == (Status.TIMED_OUT, 10, 12)


def test_an_outcome_is_of_a_run_that_is_over() -> None:
    training = training_of(cell_of(DIGITS_TASK, {"name": "gd"}, SGD, COSINE))
    with pytest.raises(ValueError, match="0 of 16 steps are taken"):
        training.outcome()


@pytest.mark.parametrize("fault", ["nan_loss", "nan_gradient"])
def test_a_run_diverges_where_it_would_have(fault: str) -> None:
    """What is pending when it is left is read no earlier for it."""
    document = toy_document({"toy": {"fault": fault, "call": 63}}, budget={"epochs": 100, "batch_size": 5})
    cell = next(expand(Spec.from_mapping(document)))  # 200 steps, an evaluation every 10
    expected = whole(cell)
    assert expected.status is Status.DIVERGED
    assert facts(gone_on_with(cell, (64,))) == facts(expected)


def flight_of(cell: Cell, **changes: Any) -> Flight:
    arguments: dict[str, Any] = {"device": CPU, "limit_s": 600.0, **changes}
    return Flight(cell, PLACE, **arguments)


def landed(one: Flight) -> Record:
    while (record := one.advance(60.0)) is None:
        pass
    return record


def test_a_flight_goes_on_from_its_checkpoint_which_is_then_forgotten(folder: Path) -> None:
    cell = cell_of(DIGITS_TASK, {"name": "sam", "fixed": {"rho": 0.2}}, SGD, COSINE)
    first = flight_of(cell)
    assert first.progress == (0, 1)
    assert first.advance(0.0) is None
    assert first.progress == (1, 16)
    first.keep()
    second = flight_of(cell)
    assert second.advance(0.0) is None
    assert second.progress == (2, 16)
    record = landed(second)
    assert facts(record.outcome) == facts(whole(cell))
    assert len(list(folder.iterdir())) == 1
    second.forget()
    assert list(folder.iterdir()) == []


def test_checkpoints_are_written_as_time_goes_by_and_short_cells_write_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(DIGITS_TASK, {"name": "gd"}, SGD, COSINE)
    short = flight_of(cell)
    assert short.advance(0.0) is None
    landed(short)
    short.forget()
    assert not folder.exists()
    monkeypatch.setattr(flight, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(flight, "WRITING_SHARE", math.inf)
    steps = []
    save = Checkpoint.save

    def noting(self: Checkpoint, state: Callable[[], Mapping[str, Any]]) -> None:
        steps.append(state()["step"])
        save(self, state)

    monkeypatch.setattr(Checkpoint, "save", noting)
    long = flight_of(cell)
    for _ in range(3):
        assert long.advance(0.0) is None
    assert steps == [1, 2, 3]
    assert len(list(folder.iterdir())) == 1


def test_others_of_an_owner_go_on_with_what_is_theirs_alone(folder: Path) -> None:
    cell = cell_of(DIGITS_TASK, {"name": "gd"}, SGD, COSINE)
    mine = flight_of(cell, owner="mine")
    assert mine.advance(0.0) is None
    mine.keep()
    for owner, step in (("", 1), ("other", 1), ("mine", 2)):
        one = flight_of(cell, owner=owner)
        assert one.advance(0.0) is None
        assert one.progress[0] == step


def test_a_cell_that_timed_out_may_go_on_with_more_time(folder: Path) -> None:
    cell = cell_of(DIGITS_TASK, {"name": "gd"}, SGD, COSINE)
    first = flight_of(cell)
    assert first.advance(0.0) is None
    first.keep()
    late = flight_of(cell, limit_s=0.0)
    record = landed(late)
    assert record.outcome.status is Status.TIMED_OUT
    late.forget()
    assert len(list(folder.iterdir())) == 1
    more = flight_of(cell)
    assert more.advance(0.0) is None
    assert more.progress == (3, 16), "one step before it was left, and one after which it was late"
    assert facts(landed(more).outcome) == facts(whole(cell))


def test_a_cell_that_timed_out_begins_anew_with_no_more_time(folder: Path) -> None:
    """Another device may be faster; what is left of the time here would be none."""
    cell = cell_of(DIGITS_TASK, {"name": "gd"}, SGD, COSINE)
    first = flight_of(cell)
    assert first.advance(0.0) is None
    first.keep()
    assert landed(flight_of(cell, limit_s=0.0)).outcome.status is Status.TIMED_OUT
    again = flight_of(cell, limit_s=0.0)
    assert landed(again).outcome.cost.steps == 1
    again.forget()
    assert len(list(folder.iterdir())) == 1


def test_a_failed_cell_keeps_its_checkpoint_and_a_landed_one_no_model(folder: Path) -> None:
    document = toy_document({"toy": {"fault": "raise", "call": 5}}, budget={"epochs": 10, "batch_size": 5})
    cell = next(expand(Spec.from_mapping(document)))
    one = flight_of(cell)
    assert one.advance(0.0) is None
    one.keep()
    assert landed(one).outcome.status is Status.FAILED
    one.forget()
    assert len(list(folder.iterdir())) == 1
    assert one.progress == (0, 1), "what it took is let go"


def test_a_checkpoint_that_several_processes_cannot_take_is_removed_and_ends_their_pack(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(DIGITS_TASK, {"name": "gd"}, SGD, {**COSINE, "processes": 2})
    monkeypatch.setattr(Training, "__init__", lambda self, *_, **__: None)
    monkeypatch.setattr(Training, "load", lambda self, state: state["nothing"])
    one = flight_of(cell)
    one._checkpoint.save(lambda: {"step": 3})
    with pytest.raises(flight.LostCheckpointError, match="is of another cell: 'nothing'"):
        one.advance(0.0)
    assert list(folder.iterdir()) == []


def test_running_out_of_memory_while_it_is_loaded_costs_no_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: Training, state: Mapping[str, Any]) -> None:
        raise MemoryError("for a moment")

    cell = cell_of(DIGITS_TASK, {"name": "gd"}, SGD, COSINE)
    first = flight_of(cell)
    assert first.advance(0.0) is None
    first.keep()
    with monkeypatch.context() as patch:
        patch.setattr(Training, "load", load)
        with pytest.raises(MemoryError):
            flight_of(cell).advance(0.0)
    second = flight_of(cell)
    assert second.advance(0.0) is None
    assert second.progress == (2, 16)


def test_a_task_that_raises_makes_a_failed_record() -> None:
    cell = next(expand(Spec.from_mapping(toy_document({"toy": {"fault": "raise", "call": 2}}))))
    record = landed(flight_of(cell))
    assert record.outcome.status is Status.FAILED
    assert record.outcome.error == r"ArithmeticError: the toy broke,\0 as asked"
    cell = next(expand(Spec.from_mapping(toy_document({"toy": {"fault": "memory", "call": 2}}))))
    with pytest.raises(MemoryError):
        landed(flight_of(cell))


KILLED = """
import os, signal
import torch
from benchmark import flight
from tests.benchmark import test_flight
torch.set_num_threads(1)
flight.CHECKPOINT_S = 0.0
flight.WRITING_SHARE = float("inf")
one = test_flight.flight_of(test_flight.killed_cell())
while one.progress[0] < 13:
    assert one.advance(0.0) is None
one._training.advance(1e-9)  # a step that nobody will have seen
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_cell() -> Cell:
    register_task(Dropping)
    budget = {"epochs": 20, "batch_size": 8, "schedule": "cosine"}
    return cell_of({"name": "dropping"}, {"name": "momentum_sam", "fixed": {"rho": 0.1}}, SGD, budget)


@pytest.mark.slow
def test_a_process_that_is_killed_in_the_middle_of_a_cell_costs_no_result(folder: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED], cwd=Path(__file__).parents[2], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    (kept,) = folder.iterdir()
    cell = killed_cell()
    one = flight_of(cell)
    assert one.advance(0.0) is None
    assert one.progress[0] == 14, "it goes on after the thirteenth step"
    record = landed(one)
    assert facts(record.outcome) == facts(whole(cell))
    one.forget()
    assert not kept.exists()
