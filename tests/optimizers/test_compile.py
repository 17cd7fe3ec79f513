"""Under torch.compile, with its tracing and without its code generation, which needs a C++ compiler."""

from typing import Any

import pytest
import torch

from tests.optimizers.cases import CASES, Case, Problem, backward, make, run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # from torch itself, on tracing
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_half_steps_are_the_half_steps(case: Case) -> None:
    torch._dynamo.reset()
    eager, traced = Problem(torch.float64), Problem(torch.float64)
    run(make(case, eager), eager, 4)
    optimizer = make(case, traced)
    first = torch.compile(optimizer.first_step, backend="eager")
    second = torch.compile(optimizer.second_step, backend="eager")
    for batch in range(4):
        if optimizer.needs_first_gradient:
            backward(traced.loss(batch))
        first()
        with optimizer.second_pass():
            backward(traced.loss(batch))
        second()
    torch.testing.assert_close(eager.vector(), traced.vector(), rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_a_compiled_model_keeps_its_buffers_in_the_second_pass() -> None:
    torch._dynamo.reset()
    problem = Problem()
    optimizer = make(CASES[1], problem)
    compiled: Any = torch.compile(problem.model, backend="eager")
    problem.model = compiled
    run(optimizer, problem, 3)
    assert dict(compiled.named_buffers())["_orig_mod.1.num_batches_tracked"] == 3
