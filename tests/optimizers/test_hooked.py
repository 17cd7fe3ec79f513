"""What torch puts around a step, and when it is entered."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from optimizers import SAM
from tests.optimizers.cases import Problem


def test_a_profile_shows_the_step_once_and_not_the_bases() -> None:
    problem = Problem()
    optimizer = SAM(problem.parameters(), torch.optim.SGD, lr=0.1)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        optimizer.step(problem.closure(optimizer))
    steps = [event.key for event in seen.key_averages() if event.key.startswith("Optimizer.step")]
    assert steps == ["Optimizer.step#SAM.step"]


def test_nothing_is_recorded_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    problem = Problem()
    optimizer = SAM(problem.parameters(), torch.optim.SGD, lr=0.1)
    closure = problem.closure(optimizer)
    closure()
    monkeypatch.setattr(torch.autograd.profiler, "record_function", refuse)
    optimizer.first_step(zero_grad=False)
    optimizer.second_step(zero_grad=False)
    optimizer.register_step_post_hook(lambda *_: None)
    with pytest.raises(AssertionError, match=r"Optimizer\.step#SAM\.step"):
        optimizer.step(closure)
