"""Micro-batches: whatever the loss and the rule, they are the whole batch in less memory."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.cell_costs import cell_bytes
from benchmark.choice import expected_execution, timing_key
from benchmark.errors import SpecError
from benchmark.memory import peak_bytes
from benchmark.microbatches import in_parts
from benchmark.replay import initial_model
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Setting, expand
from benchmark.stepping import Stepping
from benchmark.tasks import load_task, register_task
from tests.benchmark.steps import RULES, TASKS, cell_of, three_steps
from tests.benchmark.toys import CPU, Toy, document, make_spec
from tests.benchmark.vision import write_cifar, write_clip, write_pairs

PART = 6  # of 20: the last part has 2
CASES = [
    *(("digits-mlp", rule) for rule in RULES),
    *(("cifar10-resnet18", rule) for rule in ("gd", "sam", "msam")),
    *(("clip-alignment", rule) for rule in ("gd", "sam", "msam", "gsam")),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    write_cifar(folder, n=14, n_test=10)
    write_clip(folder)
    write_pairs(folder)
    return folder


@pytest.fixture
def datasets(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(written))


@pytest.mark.usefixtures("datasets")
@pytest.mark.parametrize(("task", "rule"), CASES)
def test_micro_batches_equal_the_big_batch(task: str, rule: str) -> None:
    whole, met_whole, n_whole = three_steps(cell_of(task, rule))
    parts, met_parts, n_parts = three_steps(cell_of(task, rule, micro_batch=PART))
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    for one, other in zip(met_parts, met_whole, strict=True):
        torch.testing.assert_close(list(one), list(other), rtol=1e-9, atol=1e-12)
    assert n_parts == n_whole, "one evaluation is a pass over a batch"


@pytest.mark.usefixtures("datasets")
@pytest.mark.parametrize("task", ["cifar10-resnet18", "clip-alignment"])
def test_micro_batches_take_less_memory(task: str) -> None:
    whole, parts = cell_of(task, "sam"), cell_of(task, "sam", micro_batch=2)
    three_steps(whole)  # data and whatever else is made once
    assert peak_bytes(lambda: three_steps(parts)) < 0.6 * peak_bytes(lambda: three_steps(whole))
    found = load_task(task, TASKS[task])
    n_bytes = [cell_bytes(found, cell.setting, cell.hyperparameters, 3, device=CPU) for cell in (parts, whole)]
    assert n_bytes[0] <= n_bytes[1]  # where measuring takes most, it is as much


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_micro_batches_go_with_16_bits(precision: str) -> None:
    whole, _, _ = three_steps(cell_of("digits-mlp", "sam", precision=precision))
    parts, _, _ = three_steps(cell_of("digits-mlp", "sam", micro_batch=PART, precision=precision))
    torch.testing.assert_close(parts, whole, rtol=2e-2, atol=2e-3)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line, self.drop = nn.Linear(4, 3), nn.Dropout(0.5)
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> dict[str, Any]:
        outputs = self.drop(self.line(inputs))
        self.seen.append(outputs.detach() != 0)
        return {"outputs": outputs, "scale": self.line.bias.sum(), "kind": "noisy"}


def test_each_part_draws_the_same_dropout_in_both_of_its_passes() -> None:
    model = Noisy()
    with seeded_torch(0, Stream.TRAIN):
        outputs = in_parts(model, 4)(torch.ones(8, 4))
        masks = [*model.seen]
        assert not torch.equal(*masks)
        torch.rand(100)  # whatever the loss draws
        (outputs["outputs"].sum() * outputs["scale"]).backward()
    assert outputs["kind"] == "noisy"
    # the backward pass has its masks of the second pass; of the scale, one for all parts, the gradient counts once
    mask = torch.cat(masks)
    outside = outputs["outputs"].sum().detach()
    expected = 2 * mask.sum(dim=0) * outputs["scale"].detach() + outside
    assert model.line.bias.grad is not None
    torch.testing.assert_close(model.line.bias.grad, expected)


def test_a_batch_that_fits_goes_through_as_it_is() -> None:
    model = nn.Linear(4, 3)
    assert in_parts(model, None) is model
    assert torch.equal(in_parts(model, 8)(torch.ones(8, 4)), model(torch.ones(8, 4)))


class Whole(Toy):
    name = "whole"
    can_split = True

    def model(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


PROBLEMS = {
    "toy": ("toy", {}, "toy does not say that its batches can be split, but got micro_batch=6; give the task a budget"),
    "norm": ("digits-cnn", {"norm": "batch"}, "batch norm sees a batch as a whole, but got micro_batch=6 with digits"),
    "scratch": ("cifar10-resnet18", {}, "with cifar10-resnet18; let it have group norm (norm: group), or leave micro"),
    "pretrained": ("cifar10-resnet18", {"start": "pretrained", "norm": "group"}, "or leave micro_batch out."),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_cannot_be_split_is_refused(case: str) -> None:
    task, params, words = PROBLEMS[case]
    with pytest.raises(SpecError) as caught:
        make_spec(tasks=[{"name": task, "params": params}], budget={"epochs": 1, "micro_batch": 6})
    (problem,) = caught.value.problems
    assert problem.pointer == "/budget/micro_batch"
    assert words in problem.detail


def test_a_model_with_batch_norm_is_refused_also_where_its_task_does_not_tell() -> None:
    register_task(Whole)
    spec = make_spec(tasks=[{"name": "whole"}], budget={"epochs": 1, "batch_size": 8, "micro_batch": 6})
    cell = next(expand(spec))
    task = load_task("whole", cell.setting.task_params)
    with pytest.raises(ValueError, match="batch norm sees a batch as a whole, but got micro_batch=6 with whole"):
        Stepping(task, cell.setting, cell.hyperparameters, initial_model(task, 0, CPU), 1, CPU)


@pytest.mark.parametrize("size", [64, 65])
def test_a_part_is_smaller_than_the_batch(size: int) -> None:
    with pytest.raises(SpecError, match=f"micro_batch < batch_size / processes must hold, but got micro_batch={size}"):
        make_spec(budget={"epochs": 1, "micro_batch": size})


def test_micro_batches_are_another_setting_that_is_trained_sequentially() -> None:
    whole, parts = (cell_of("digits-mlp", "sam", micro_batch=size).setting for size in (None, PART))
    assert whole.key != parts.key
    assert timing_key(whole, "cpu") != timing_key(parts, "cpu")
    assert "micro_batch" not in whole.to_dict()["budget"]
    assert Setting.from_dict(parts.to_dict()) == parts
    assert expected_execution("auto", parts, 1_000, None) == "sequential"
    with pytest.raises(SpecError, match="must allow to train fused"):
        make_spec(**document(budget={"epochs": 1, "micro_batch": 6}, resources={"pack": "fused"}))
