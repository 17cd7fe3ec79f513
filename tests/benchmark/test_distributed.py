"""Two processes over gloo against one: together they do what one does, and neither outlives the other."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.cell_costs import cell_bytes, step_s
from benchmark.choice import timing_key
from benchmark.distributed import Crew, crew_of, of_all
from benchmark.errors import SpecError
from benchmark.replay import initial_model
from benchmark.spec import Setting
from benchmark.stepping import Stepping
from benchmark.tasks import load_task
from benchmark.training import train
from tests.benchmark.steps import RULES, batches, cell_of, three_steps
from tests.benchmark.toys import CPU, make_spec
from tests.benchmark.vision import write_cifar, write_clip, write_pairs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import contextlib, copy, json, os, sys, time
import torch, torch.distributed as dist
from benchmark.distributed import joined, lost_another
from benchmark.tasks import load_task
from benchmark.training import Training, follow, train
from tests.benchmark.steps import cell_of, three_steps

def left_and_gone_on_with(*given):
    left = Training(*given, device=cpu, limit_s=60)
    for _ in range(5):
        left.advance(0)
    state = copy.deepcopy(left.state())
    left.close()
    other = Training(*given, device=cpu, limit_s=60)
    other.load(state)
    other.advance()
    return other.outcome()

torch.set_num_threads(1)
rank, silence_s, cases = int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
cpu, found = torch.device("cpu"), []
with contextlib.ExitStack() as stack:
    stack.enter_context(joined(rank, 2, dist.FileStore(sys.argv[4], 2), "127.0.0.1", cpu, silence_s))
    for kind, task, rule, params, budget in cases:
        cell = cell_of(task, rule, params, processes=2, **budget)
        given = load_task(task, cell.setting.task_params), cell.setting, cell.hyperparameters, cell.seed
        if kind == "steps":
            parameters, met, n = three_steps(cell)
            found.append([[p.tolist() for p in parameters], [[float(x) for x in one] for one in met], n])
            continue
        while kind == "silence" and rank == 1:
            time.sleep(0.1)
        if kind == "left" and rank == 1:
            follow(*given, device=cpu)
        try:
            led = left_and_gone_on_with(*given) if kind == "left" and rank == 0 else None
            outcome = led or (follow(*given, device=cpu) if rank else train(*given, device=cpu, limit_s=60))
        except RuntimeError as error:
            found.append([lost_another(error), str(error)])
        else:
            found.append(outcome and [outcome.status, dict(outcome.metrics), dict(outcome.curve), outcome.cost.steps])
    with open(f"{sys.argv[4]}-{rank}", "w", encoding="utf-8") as file:
        json.dump(found, file)
    if silence_s > 10:
        dist.barrier()
os._exit(0)  # now and then gloo's own threads abort an interpreter that ends in order
"""
Case = tuple[str, str, dict[str, Any] | None, dict[str, Any]]

MEAN = {"hidden": 8}
STEPS: list[Case] = [
    *(("digits-mlp", rule, None, {}) for rule in RULES),
    *(("cifar10-resnet18", rule, None, {}) for rule in ("gd", "sam")),
    *(("clip-alignment", rule, None, {}) for rule in ("gd", "sam", "msam", "gsam")),
    ("clip-alignment", "msam", None, {"micro_batch": 3}),
    ("digits-mlp", "sam", None, {"precision": "fp16"}),
    ("digits-mlp", "sam", MEAN, {"ascent_sync": "local"}),
    ("digits-mlp", "msam", MEAN, {"ascent_sync": "local"}),
]
RUNS: list[Case] = [
    ("digits-mlp", "sam", MEAN, {"epochs": 2}),
    ("digits-mlp", "msam", {"hidden": 8, "loss_scale": 1e30}, {"epochs": 2}),  # diverges
]


def processes_with(cases: Sequence[tuple[Any, ...]], folder: Path, silence_s: float = 60) -> list[Any]:
    """Start two processes and return what each found, the leader first; one that does not end is killed."""
    rest = [str(silence_s), json.dumps(cases), str(folder / "found")]
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), *rest], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        words = [worker.communicate(timeout=90)[1] for worker in (workers[:1] if cases[0][0] == "silence" else workers)]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    files = [folder / f"found-{rank}" for rank in range(2)]
    assert files[0].is_file(), words
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


@pytest.fixture(scope="module", autouse=True)
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("datasets")
    write_cifar(folder, n=14, n_test=10)
    write_clip(folder)
    write_pairs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHOBUST_DATASETS_DIR", str(folder))
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, datasets: None) -> list[Any]:
    cases = [*(("steps", *case) for case in STEPS), *(("run", *case) for case in RUNS), ("left", *RUNS[0])]
    return processes_with(cases, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("place", range(len(STEPS)), ids=["-".join(map(str, case)) for case in STEPS])
def test_two_processes_take_the_steps_of_one(place: int, found: list[Any]) -> None:
    task, rule, params, budget = STEPS[place]
    (first, met, n), (second, met_there, n_there) = (of_one[place] for of_one in found)
    assert (first, n) == (second, n_there), "to the bit, for nothing of it is exchanged"
    if budget.get("ascent_sync") == "local":
        assert met[0][0] == met_there[0][0], "the loss is that of the whole batch"
        assert met[0][1] != met_there[0][1], "the gradient is each one's own"
        expected = by_hand(rule, params or {})
        torch.testing.assert_close(
            [torch.tensor(p, dtype=torch.float64) for p in first], expected, rtol=1e-9, atol=1e-12
        )
        return
    assert met == met_there
    alone = {key: value for key, value in budget.items() if key != "micro_batch"}
    parameters, met_alone, n_alone = three_steps(cell_of(task, rule, params, **alone))
    rtol, atol = (1e-2, 1e-3) if budget.get("precision") else (1e-9, 1e-12)
    torch.testing.assert_close([torch.tensor(p, dtype=torch.float64) for p in first], parameters, rtol=rtol, atol=atol)
    torch.testing.assert_close(
        *(torch.tensor(m, dtype=torch.float64) for m in (met, [list(map(float, one)) for one in met_alone])),
        rtol=rtol,
        atol=atol,
    )
    assert n == n_alone


def test_a_run_that_two_processes_left_and_went_on_with_is_the_one_they_did_not_leave(found: list[Any]) -> None:
    whole, left = found[0][len(STEPS)], found[0][-1]
    assert left == whole
    assert left[-1] > 5


def by_hand(rule: str, params: dict[str, Any]) -> list[Tensor]:
    """Three steps of m-sharpness on halves of the batches, written down as plainly as they can be."""
    cell = cell_of("digits-mlp", rule, params)
    task = load_task("digits-mlp", cell.setting.task_params)
    model = initial_model(task, 3, CPU).double()
    parameters, h = list(model.parameters()), cell.hyperparameters
    sgd = torch.optim.SGD(parameters, lr=h["lr"], momentum=float(h["momentum"]))
    for inputs, labels in batches(cell):
        total = [torch.zeros_like(p) for p in parameters]
        for half in (slice(0, 10), slice(10, 20)):

            def gradient(half: slice = half, inputs: Tensor = inputs, labels: Tensor = labels) -> tuple[Tensor, ...]:
                loss = torch.nn.functional.cross_entropy(model(inputs[half]), labels[half])
                return torch.autograd.grad(loss, parameters)

            kept, first = [p.detach().clone() for p in parameters], gradient()
            norm = torch.cat([g.flatten() for g in first]).norm()
            length = h["rho"] / (norm if rule == "sam" else norm * (1 + norm**2).sqrt())
            with torch.no_grad():
                for p, g in zip(parameters, first, strict=True):
                    p.add_(length * g)
            for sums, g in zip(total, gradient(), strict=True):
                sums += g / 2
            with torch.no_grad():
                for p, value in zip(parameters, kept, strict=True):
                    p.copy_(value)
        for p, sums in zip(parameters, total, strict=True):
            p.grad = sums
        sgd.step()
    return [p.detach() for p in parameters]


@pytest.mark.parametrize("place", range(len(RUNS)), ids=["completes", "diverges"])
def test_a_run_of_two_processes_is_that_of_one(place: int, found: list[Any]) -> None:
    task, rule, params, budget = RUNS[place]
    (status, metrics, curve, steps), follower = (of_one[len(STEPS) + place] for of_one in found)
    assert follower is None, "who follows has nothing to tell"
    cell = cell_of(task, rule, params, **budget)
    alone = train(
        load_task(task, cell.setting.task_params), cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=60
    )
    assert (status, steps) == (alone.status, alone.cost.steps)
    assert metrics == pytest.approx(alone.metrics, rel=1e-3)
    for name, series in curve.items():
        assert series == pytest.approx(alone.curve[name], rel=1e-3), name


def test_a_process_that_falls_silent_ends_the_run_of_the_other(tmp_path: Path) -> None:
    (found,) = processes_with([("silence", *RUNS[0])], tmp_path, silence_s=3)
    assert found[0][0] is True, found  # which is no fault of the task, and makes no record


def test_one_process_is_asked_for_nothing() -> None:
    setting = cell_of("digits-mlp", "sam").setting
    assert crew_of(setting) == Crew()
    model = torch.nn.Linear(2, 1)
    assert of_all(model, Crew()) is model


def test_a_cell_for_two_processes_is_not_trained_by_one() -> None:
    cell = cell_of("digits-mlp", "sam", processes=2)
    task = load_task("digits-mlp", cell.setting.task_params)
    with pytest.raises(ValueError, match="2 processes must train this cell together, but 1 of them joined"):
        Stepping(task, cell.setting, cell.hyperparameters, initial_model(task, 3, CPU), 3, CPU)
    # but what its share takes can be measured
    given = task, cell.setting, cell.hyperparameters, 3
    assert step_s(*given, device=CPU, n_steps=1) > 0
    whole = cell_of("digits-mlp", "sam", batch_size=10).setting
    assert cell_bytes(*given, device=CPU) == cell_bytes(task, whole, cell.hyperparameters, 3, device=CPU)


def test_a_batch_that_has_no_equal_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of the processes, but it has 5 examples for 2"):
        of_all(torch.nn.Linear(2, 1), Crew(0, 2))(torch.ones(5, 2))


def test_processes_are_part_of_a_setting_and_one_is_the_default() -> None:
    budgets: list[dict[str, Any]] = [{}, {"processes": 1}, {"processes": 2}, {"processes": 2, "ascent_sync": "local"}]
    one, default, two, local = (cell_of("digits-mlp", "sam", **budget).setting for budget in budgets)
    assert one.key == default.key
    assert len({setting.key for setting in (one, two, local)}) == 3
    assert len({timing_key(setting, "cpu") for setting in (one, two, local)}) == 3
    assert {"processes", "ascent_sync"}.isdisjoint(one.to_dict()["budget"])
    assert Setting.from_dict(local.to_dict()) == local


PROBLEMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "task": (
        {"tasks": [{"name": "toy"}], "budget": {"epochs": 1, "processes": 2}},
        "/budget/processes",
        "toy does not say that its batches can be split, but got processes=2; give the task a budget of its own.",
    ),
    "shares": (
        {"budget": {"epochs": 1, "batch_size": 63, "processes": 2}},
        "/budget",
        "batch_size must be a multiple of processes, but got batch_size=63, processes=2.",
    ),
    "parts": (
        {"budget": {"epochs": 1, "batch_size": 64, "processes": 2, "micro_batch": 32}},
        "/budget",
        "must hold, but got micro_batch=32, batch_size=64, processes=2; leave it out.",
    ),
    "local": (
        {"budget": {"epochs": 1, "ascent_sync": "local"}},
        "/budget",
        "ascent_sync: local goes with processes > 1, but got processes=1; leave it out.",
    ),
    "rule": (
        {"optimizers": [{"name": "gsam"}], "budget": {"epochs": 1, "processes": 2, "ascent_sync": "local"}},
        "/budget/ascent_sync",
        "gsam needs the first gradient of all processes, for more than to follow it, but got ascent_sync=local",
    ),
    "fused": (
        {"budget": {"epochs": 1, "processes": 2}, "resources": {"pack": "fused"}},
        "/resources/pack",
        "every optimizer, task and budget must allow to train fused, but gd on digits-mlp cannot; use auto.",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_several_processes_cannot_do_is_refused(case: str) -> None:
    changes, pointer, detail = PROBLEMS[case]
    with pytest.raises(SpecError) as caught:
        make_spec(**changes)
    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert detail in problem.detail


def test_batch_norm_over_processes_needs_cuda() -> None:
    from benchmark.distributed import spread

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="needs CUDA, but this is a CPU; take one process, or group norm"):
        spread(model, None, CPU)
