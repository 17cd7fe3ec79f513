"""Training in bf16: the forward pass alone is narrow, and the optimizers cannot tell."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.batches import batches_of
from benchmark.errors import SpecError
from benchmark.execution import Execution, cell_fingerprint, train_cells
from benchmark.precision import in_precision
from benchmark.records import PackPlace, Status
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import load_task
from benchmark.training import train
from optimizers import MSAM, SAM
from tests.benchmark.toys import CPU, document, make_spec

pytestmark = pytest.mark.slow


def cells_in(precision: str, **changes: Any) -> list[Cell]:
    budget = {"epochs": 3, "batch_size": 128, **({} if precision == "default" else {"precision": precision})}
    kept = {"optimizers": [{"name": "msam", "fixed": {"rho": 0.1}}], "space": {"lr": {"values": [0.02, 0.1]}}}
    return list(expand(make_spec(budget=budget, **{**kept, **changes})))


def test_a_model_in_fp32_is_itself() -> None:
    model = nn.Linear(2, 1)
    assert in_precision(model, "fp32", CPU) is model


def test_in_bf16_the_kernels_are_narrow_and_what_comes_out_and_back_is_wide() -> None:
    seen: list[torch.dtype] = []

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(8, 4)

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, int]:
            outputs = self.line(inputs)
            seen.append(outputs.dtype)
            return outputs, outputs.argmax(dim=-1), 3

    model, inputs = Two(), torch.randn(5, 8)
    wide, indices, number = in_precision(model, "bf16", CPU)(inputs)
    assert (seen, wide.dtype, indices.dtype, number) == ([torch.bfloat16], torch.float32, torch.int64, 3)
    wide.sum().backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
    plain = model.line(inputs)
    assert not torch.equal(wide, plain)
    torch.testing.assert_close(wide, plain, rtol=2e-2, atol=2e-2)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        in_precision(model, "bf16", CPU)(inputs.T)
    assert model.line(inputs).dtype is torch.float32  # nothing is left switched on


@pytest.mark.parametrize("execution", ["sequential", "fused"])
def test_a_run_in_bf16_is_near_the_one_in_fp32_and_is_measured_in_fp32(execution: Execution) -> None:
    records = {}
    for precision in ("fp32", "bf16"):
        cells = cells_in(precision)
        places = [PackPlace("pack", len(cells), place) for place in range(len(cells))]
        records[precision] = train_cells(cells, places, device=CPU, limit_s=60, execution=execution)
        assert {record.outcome.status for record in records[precision]} == {Status.COMPLETED}
        assert {record.fingerprint for record in records[precision]} == {cell_fingerprint(cells[0], CPU, execution).key}
        assert cell_fingerprint(cells[0], CPU, execution).precision == precision
    for wide, narrow in zip(records["fp32"], records["bf16"], strict=True):
        assert narrow.outcome.metrics != wide.outcome.metrics
        for name, value in wide.outcome.metrics.items():
            assert narrow.outcome.metrics[name] == pytest.approx(value, rel=0.05, abs=0.05), name
        for name, series in wide.outcome.curve.items():
            assert narrow.outcome.curve[name] == pytest.approx(series, rel=0.05, abs=0.05), name
        # a number of bfloat16 has at most 8 binary digits
        loss = torch.tensor(narrow.outcome.metrics["test_loss"])
        assert loss.to(torch.bfloat16) != loss


def test_the_same_cell_in_bf16_twice_is_the_same_to_the_bit() -> None:
    cell = cells_in("bf16")[0]
    task = load_task(cell.setting.task, cell.setting.task_params)
    first, second = (
        train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=60) for _ in range(2)
    )
    assert (first.metrics, first.curve) == (second.metrics, second.curve)


def test_the_perturbations_of_sam_and_monge_sam_are_parallel_in_bf16_too() -> None:
    task = load_task("digits-mlp", {"hidden": 16})
    batch = next(batches_of(task.data(3, CPU).train, 128, 3))
    deltas: list[Tensor] = []
    norms: list[float] = []
    for kind in (SAM, MSAM):
        with seeded_torch(3, Stream.INIT):
            model = task.model(3)
        before = [p.detach().clone() for p in model.parameters()]
        optimizer = kind(model.parameters(), torch.optim.SGD, rho=0.5, lr=0.1)
        task.loss(in_precision(model, "bf16", CPU), batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.first_step()
        norms.append(float(optimizer.grad_norm))
        moved = zip(model.parameters(), before, strict=True)
        deltas.append(torch.cat([(p.detach() - b).flatten() for p, b in moved]))
    sam, monge = deltas
    assert norms[0] == norms[1]
    assert float(sam @ monge / (sam.norm() * monge.norm())) == pytest.approx(1, abs=1e-6)
    assert float(monge.norm() / sam.norm()) == pytest.approx(1 / math.sqrt(1 + norms[0] ** 2), rel=1e-5)


def test_precision_is_part_of_a_configuration_and_fp32_the_default() -> None:
    default, wide, narrow = ([cell.key for cell in cells_in(precision)] for precision in ("default", "fp32", "bf16"))
    assert default == wide
    assert not set(wide) & set(narrow)


@pytest.mark.parametrize("own", [True, False])
def test_a_task_that_bf16_does_nothing_for_refuses_it(own: bool) -> None:
    narrow = {"epochs": 5, "precision": "bf16"}
    tasks = [{"name": "digits-mlp"}, {"name": "banana", **({"budget": narrow} if own else {})}]
    with pytest.raises(SpecError) as caught:
        Spec.from_mapping(document(tasks=tasks, budget={"epochs": 5} if own else narrow))
    (problem,) = caught.value.problems
    assert problem.pointer == ("/tasks/1/budget/precision" if own else "/budget/precision")
    assert problem.detail == (
        "banana can be trained in fp32, but got precision=bf16; give the task a budget of its own."
    )
    assert make_spec(tasks=[{"name": "banana", "budget": {"epochs": 5}}], budget=narrow).n_cells


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SpecError, match="'fp32', 'bf16' or 'fp16', but got 'fp8'"):
        make_spec(budget={"epochs": 1, "precision": "fp8"})
