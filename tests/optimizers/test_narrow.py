"""Where a dtype has too little range for what is computed on the way to a result that fits."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import optimizers.foreach
from optimizers import ASAM, SAM, FisherSAM, LookSAM, rules
from optimizers.algebra import Plain
from optimizers.foreach import Foreach
from tests.optimizers.cases import PERTURBING, Case

HALF = torch.float16


def test_a_perturbation_fits_where_its_factor_does_not() -> None:
    # rho / ||g|| is 1.7e5, beyond float16.
    delta = rules.perturbation(rules.sam([torch.tensor([6e-7], dtype=HALF)]), 0.1)[0]
    assert delta.dtype == HALF
    assert delta.item() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("rho", [0.1, torch.tensor(0.1, dtype=torch.float64)])
def test_a_perturbation_in_double_is_double(rho: float | Tensor) -> None:
    g = [torch.tensor([3.0, 4.0], dtype=torch.float64)]
    for ops in (Plain(), Foreach()):
        delta = rules.perturbation(rules.sam(g, ops=ops), rho)[0]
        torch.testing.assert_close(delta, torch.tensor([0.06, 0.08], dtype=torch.float64), rtol=1e-15, atol=0)


@pytest.fixture(params=["host", "device"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "device":
        monkeypatch.setattr(optimizers.foreach, "_scalar", lambda value: value)


def moved(optimizer: SAM | ASAM | FisherSAM, gradients: list[Tensor]) -> Tensor:
    parameters = optimizer.param_groups[0]["params"]
    start = [p.detach().clone() for p in parameters]
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = gradient.clone()
    optimizer.first_step()
    return torch.cat([(p.detach().double() - s.double()).flatten() for p, s in zip(parameters, start, strict=True)])


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("size", [1e-6, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("biases", [0, 2])
def test_asam_in_half_precision_has_its_length(size: float, biases: int) -> None:
    # T^2 g is 4e-8 at a gradient of 1e-4: less than float16 can tell from 0.
    own = [nn.Parameter(torch.full((2, 2), 0.01, dtype=HALF)), nn.Parameter(torch.zeros(biases, dtype=HALF))]
    gradients = [torch.full_like(p, size) for p in own]
    plain = rules.perturbation(rules.asam(gradients, [*own], [True, False], eta=0.01), 0.5)
    delta = moved(ASAM(own, torch.optim.SGD, lr=0.0, rho=0.5, eta=0.01), gradients)
    stretch = torch.tensor([0.02] * 4 + [1.0] * biases, dtype=torch.float64)
    assert float((delta / stretch).norm()) == pytest.approx(0.5, rel=1e-2)
    torch.testing.assert_close(delta, torch.cat([x.detach().double().flatten() for x in plain]), rtol=1e-2, atol=1e-5)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("size", [1e-6, 1e-4, 1.0, 300.0, 1e4])
def test_fisher_in_half_precision_is_that_in_double(size: float) -> None:
    g = torch.tensor([1.0, -0.5, 0.25], dtype=HALF) * size
    delta = moved(FisherSAM([nn.Parameter(torch.zeros(3, dtype=HALF))], torch.optim.SGD, lr=0.0, rho=0.5), [g])
    exact = rules.perturbation(rules.fisher_sam([g.double()]), 0.5)[0]
    torch.testing.assert_close(delta, exact, rtol=2e-2, atol=0)
    assert not rules.perturbation(rules.fisher_sam([g]), 0.5)[0].isnan().any()


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("case", PERTURBING, ids=str)
def test_a_reciprocal_out_of_range_perturbs_nothing(case: Case) -> None:
    p = nn.Parameter(torch.ones(()))
    optimizer = case.cls([p], torch.optim.SGD, lr=0.0, momentum=0.9, **case.hyperparameters)
    for _ in range(4):
        p.grad = torch.tensor(1e-40)
        optimizer.first_step()
        assert p.item() == 1.0
        assert float(optimizer.delta_norm) <= 1e-40
        p.grad = torch.tensor(1e-40)
        optimizer.second_step()


def test_look_sam_survives_a_component_out_of_range() -> None:
    p = nn.Parameter(torch.ones(()))
    optimizer = LookSAM([p], torch.optim.SGD, lr=0.0)
    p.grad = torch.ones(())
    optimizer.first_step()
    p.grad = torch.ones(())
    optimizer.second_step()
    optimizer._remembered[p].fill_(1e-40)
    p.grad = torch.ones(())
    optimizer.second_step()
    assert p.grad is None


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the most elements that an operation inside returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(x.numel() for x in tree_leaves(result) if isinstance(x, Tensor))])
        return result


@pytest.mark.parametrize("dtype", [HALF, torch.bfloat16], ids=str)
def test_dot_is_taken_one_tensor_after_the_other(dtype: torch.dtype) -> None:
    xs = [torch.full((8,), 300.0, dtype=dtype) for _ in range(16)]
    with Largest() as largest:  # type: ignore[no-untyped-call]
        result = Foreach().dot(xs, xs)
    assert float(result) == pytest.approx(16 * 8 * 300.0**2, rel=1e-2)
    assert largest.elements <= 16


def test_the_radius_in_double_is_double_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers.foreach, "_scalar", lambda value: value)
    p = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    delta = moved(SAM([p], torch.optim.SGD, lr=0.0, rho=0.1), [torch.tensor([1.0, 0.0], dtype=torch.float64)])
    assert delta.tolist() == [0.1, 0.0]
