from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimizers import SAM, ParameterError
from optimizers.layout import Layout, check_parameters
from tests.optimizers.cases import PERTURBING, Case, Problem, backward, make, run

REFUSED = [
    (nn.Parameter(torch.ones(2, dtype=torch.complex64)), "parameter 1 is complex .*view_as_real"),
    (torch.ones(2).to_sparse().requires_grad_(), "parameter 1 has layout torch.sparse_coo"),
    (nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False), "parameter 1 has dtype torch.int64"),
    (nn.Parameter(torch.ones(2, device="meta")), "parameter 1 is on meta.* move it to cpu"),
]


@pytest.mark.parametrize(("parameter", "message"), REFUSED)
def test_a_tensor_that_cannot_be_perturbed_is_refused(parameter: Tensor, message: str) -> None:
    good = nn.Parameter(torch.ones(2))
    with pytest.raises(ParameterError, match=message):
        SAM([good, parameter], torch.optim.SGD, lr=0.1)


def test_a_refused_group_is_not_added() -> None:
    optimizer = SAM([nn.Parameter(torch.ones(2))], torch.optim.SGD, lr=0.1)
    with pytest.raises(ParameterError, match="parameter 0 is on meta"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2, device="meta"))]})
    assert len(optimizer.param_groups) == 1
    assert optimizer.param_groups is optimizer.base_optimizer.param_groups


def test_a_sparse_gradient_is_refused() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = SAM(embedding.parameters(), torch.optim.SGD, lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = embedding(torch.tensor([1, 2])).sum()
        backward(loss)
        return loss

    with pytest.raises(ParameterError, match=r"gradients must be dense, but got a sparse one; use nn\.Embedding"):
        optimizer.step(closure)


def test_a_gradient_that_becomes_sparse_is_refused() -> None:
    own = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    layout = Layout([{"params": own}])
    for p in own:
        p.grad = torch.ones(2)
    assert len(layout.with_gradient().gradients) == 2
    own[1].grad = torch.ones(2).to_sparse()
    with pytest.raises(ParameterError, match="gradients must be dense"):
        layout.with_gradient()


class Wrapper(Tensor):
    """What DTensor is: a tensor that computes in its own way."""

    @classmethod
    def __torch_dispatch__(cls, *_: Any) -> Any:
        raise NotImplementedError


def test_a_tensor_of_a_foreign_class_is_refused() -> None:
    foreign = Tensor._make_wrapper_subclass(Wrapper, (2,))
    with pytest.raises(ParameterError, match="parameter 0 is a Wrapper, which computes in its own way"):
        check_parameters([foreign], torch.device("cpu"))


def test_a_subclass_that_computes_as_all_do_is_served() -> None:
    class Named(nn.Parameter):
        pass

    SAM([Named(torch.ones(2)), nn.Parameter(torch.ones(2))], torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", PERTURBING, ids=str)
def test_theta_is_restored_bitwise_after_a_change_of_dtype(case: Case, dtype: torch.dtype) -> None:
    problem = Problem(norm=False)
    optimizer = make(case, problem, lr=0.0, weight_decay=0.0)
    run(optimizer, problem, 3)
    problem.model.to(dtype)
    problem.inputs, problem.targets = problem.inputs.to(dtype), problem.targets.to(dtype)
    with torch.no_grad():
        for p in problem.parameters():
            p.add_(torch.full_like(p, 1 / 3))
    start = problem.vector()
    run(optimizer, problem, 3)
    assert torch.equal(problem.vector(), start)
    assert all(kept.dtype == dtype for kept in optimizer._remembered.values())


def parameters() -> list[nn.Parameter]:
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    return [nn.Parameter(image), nn.Parameter(torch.randn(3, dtype=torch.float64)), nn.Parameter(torch.randn(()))]


def test_memory_is_like_the_parameters_and_kept() -> None:
    own = parameters()
    layout = Layout([{"params": own[:1]}, {"params": own[1:]}])
    memory = layout.memory("theta", range(3))
    assert layout.groups == [0, 1, 1]
    assert [(v.shape, v.dtype, v.stride()) for v in memory.views] == [(p.shape, p.dtype, p.stride()) for p in own]
    assert sum(flat.numel() for flat in memory.flats) == sum(p.numel() for p in own)
    assert [v.data_ptr() for v in layout.memory("theta", range(3)).views] == [v.data_ptr() for v in memory.views]
    part = layout.memory("theta", [0, 2])
    assert part.partial
    assert [v.data_ptr() for v in part.views] == [memory.views[0].data_ptr(), memory.views[2].data_ptr()]


def test_parameters_without_a_gradient_are_left_out() -> None:
    own = parameters()
    own[1].grad = torch.zeros_like(own[1])
    active = Layout([{"params": own}]).with_gradient()
    assert (list(active.indices), [p is own[1] for p in active.parameters]) == ([1], [True])
