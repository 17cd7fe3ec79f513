"""What a constructor takes and what it refuses: bases, and names of arguments."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from optimizers import (
    ASAM,
    GD,
    MSAM,
    SAM,
    BaseOptimizerError,
    HyperparameterError,
    MomentumSAM,
    OptimizersError,
    build,
)
from tests.optimizers.cases import BASES, CASES, Case, Problem, run

TORCH = {
    name: cls
    for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer
}
NEVER = {"LBFGS": "step must need no closure", "SparseAdam": "must take dense gradients, but SparseAdam takes sparse"}
CLASHES = {"rho": {"Adadelta"}, "alpha": {"RMSprop", "ASGD"}}
WITHOUT_MOMENTUM = {"ASGD", "Adadelta", "Adafactor", "Adagrad", "Rprop"}


def refusal(case: Case, base: str) -> str | None:
    """Return what the message of a combination says; None where it is accepted."""
    if base in NEVER:
        return NEVER[base]
    for name in case.cls.hyperparameters:
        if base in CLASHES.get(name, ()):
            return f"must mean one thing in a parameter group, but {case.cls.__name__} and {base} both have {name!r}"
    if case.name == "momentum_sam" and base in WITHOUT_MOMENTUM:
        return "moves along the base's momentum, but the base given has neither"
    return None


class TestBase:
    def test_lbfgs_is_refused_by_name(self) -> None:
        with pytest.raises(BaseOptimizerError, match="step must need no closure, but that of LBFGS does"):
            SAM([nn.Parameter(torch.ones(1))], torch.optim.LBFGS)

    @pytest.mark.parametrize("base", [torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), int, "sgd"])
    def test_only_a_class_of_optimizers(self, base: Any) -> None:
        with pytest.raises(BaseOptimizerError, match=r"must be a class of torch\.optim\.Optimizer"):
            SAM([nn.Parameter(torch.ones(1))], base)

    def test_rules_do_not_nest(self) -> None:
        with pytest.raises(BaseOptimizerError, match="got MSAM; rules do not nest"):
            SAM([nn.Parameter(torch.ones(1))], MSAM)

    def test_unknown_argument(self) -> None:
        with pytest.raises(
            HyperparameterError, match="unknown hyperparameter 'roh' of SAM over SGD; did you mean 'rho'"
        ):
            SAM([nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=0.1, roh=0.1)

    @pytest.mark.parametrize(
        "base", [torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax]
    )
    def test_any_base_without_closure(self, base: type[torch.optim.Optimizer]) -> None:
        problem = Problem()
        optimizer = MSAM(problem.parameters(), base, rho=0.1, lr=1e-3)
        assert run(optimizer, problem, 8)[4] < run(GD(problem.parameters(), base, lr=0.0), problem, 1)[0] * 2
        optimizer.load_state_dict(optimizer.state_dict())

    @pytest.mark.parametrize("fast", ["foreach", "fused"])
    @pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.AdamW])
    def test_foreach_and_fused_bases(self, base: type[torch.optim.Optimizer], fast: str) -> None:
        one, two = Problem(norm=False), Problem(norm=False)
        run(SAM(one.parameters(), base, lr=1e-2), one, 5)
        arguments: dict[str, Any] = {fast: True}
        run(SAM(two.parameters(), base, lr=1e-2, **arguments), two, 5)
        torch.testing.assert_close(one.vector(), two.vector())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("base", BASES)
    def test_a_small_base_steps_all_tensors_at_once_with_the_same_bits(self, base: str, dtype: torch.dtype) -> None:
        cls, arguments = BASES[base]
        asked: list[Any] = []

        class Seen(cls):  # type: ignore[misc, valid-type]  # the case names the base
            def step(self, closure: Any = None) -> Any:
                asked.append(self.param_groups[0]["foreach"])
                return super().step(closure)

        ours, theirs = Problem(dtype, norm=False), Problem(dtype, norm=False)
        for problem, choice in ((ours, None), (theirs, False)):
            optimizer = SAM(problem.parameters(), Seen, rho=0.1, foreach=choice, **arguments)
            run(optimizer, problem, 5)
            assert optimizer.param_groups[0]["foreach"] is choice
        expected = None if base == "nesterov" or dtype == torch.bfloat16 else True
        assert asked == [expected] * 5 + [False] * 5
        assert torch.equal(ours.vector(), theirs.vector())

    @pytest.mark.parametrize("base", BASES)
    def test_a_base_leaves_the_gradients_alone(self, base: str) -> None:
        cls, arguments = BASES[base]
        p = nn.Parameter(torch.ones(3))
        optimizer = SAM([p], cls, **arguments)
        for _ in range(3):
            p.grad = torch.ones(3)
            optimizer.first_step()
            p.grad = torch.ones(()).expand(3)
            optimizer.second_step(zero_grad=False)
            assert p.grad.tolist() == [1.0, 1.0, 1.0]

    def test_a_learning_rate_that_is_a_tensor_takes_no_multi_tensor_step(self) -> None:
        number, tensor = Problem(norm=False), Problem(norm=False)
        run(SAM(number.parameters(), torch.optim.Adam, lr=1e-2), number, 8)
        run(SAM(tensor.parameters(), torch.optim.Adam, lr=torch.tensor(1e-2)), tensor, 8)
        torch.testing.assert_close(tensor.vector(), number.vector())

    @pytest.mark.parametrize("base", TORCH)
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_every_class_of_torch_is_served_or_refused(self, case: Case, base: str) -> None:
        p = nn.Parameter(torch.ones(2, 2))
        arguments: dict[str, Any] = {**case.hyperparameters, "lr": 1e-3}
        if base in ("SGD", "RMSprop"):
            arguments["momentum"] = 0.9
        message = refusal(case, base)
        if message is not None:
            with pytest.raises(BaseOptimizerError, match=re.escape(message)):
                case.cls([p], TORCH[base], **arguments)
            return
        optimizer = case.cls([p], TORCH[base], **arguments)
        assert {name: optimizer.param_groups[0][name] for name in arguments} == arguments
        for _ in range(3):
            p.grad = torch.ones_like(p)
            optimizer.first_step()
            p.grad = torch.ones_like(p)
            optimizer.second_step()
            if case.name == "momentum_sam":
                moved = float(optimizer.delta_norm)
        assert bool((p < 1).all())
        assert case.name != "momentum_sam" or moved > 0

    def test_momentum_may_be_a_groups_own(self) -> None:
        with pytest.raises(HyperparameterError, match="momentum > 0 must hold"):
            MomentumSAM([nn.Parameter(torch.ones(1))], torch.optim.RMSprop, lr=0.1)

    def test_the_base_is_seen_and_not_replaced(self) -> None:
        optimizer = SAM([nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=0.1)
        assert type(optimizer.base_optimizer) is torch.optim.SGD
        with pytest.raises(AttributeError, match="base_optimizer"):
            optimizer.base_optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))])  # type: ignore[misc]


class TestUnknownArguments:
    @pytest.mark.parametrize(
        ("name", "guess"),
        [
            ("roh", "rho"),
            ("momentun", "momentum"),
            ("ascent_synch", "ascent_sync"),
            ("skip_nonfinite", "skip_non_finite"),
        ],
    )
    def test_the_nearest_of_all_three_is_named(self, name: str, guess: str) -> None:
        arguments: dict[str, Any] = {"lr": 0.1, name: 0.1}
        with pytest.raises(HyperparameterError, match=f"{name!r} of MSAM over SGD; did you mean {guess!r}") as caught:
            MSAM([nn.Parameter(torch.ones(1))], torch.optim.SGD, **arguments)
        assert caught.value.name == name

    @pytest.mark.parametrize("rule", [SAM, ASAM])
    def test_adaptive_is_a_rule(self, rule: type[SAM] | type[ASAM]) -> None:
        with pytest.raises(HyperparameterError, match="adaptive SAM is a rule of its own here: use ASAM"):
            rule([nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=0.1, adaptive=True)
        with pytest.raises(HyperparameterError, match="use ASAM"):
            build("sam", [nn.Parameter(torch.ones(1))], "sgd", {"lr": 0.1, "adaptive": True})

    def test_a_base_that_takes_any_name_decides_itself(self) -> None:
        class Lenient(torch.optim.SGD):
            def __init__(self, params: Any, **arguments: Any) -> None:
                super().__init__(params, lr=arguments["learning_rate"])

        optimizer = SAM([nn.Parameter(torch.ones(1))], Lenient, learning_rate=0.3)
        assert optimizer.param_groups[0]["lr"] == 0.3

    def test_it_is_an_error_of_ours(self) -> None:
        with pytest.raises(OptimizersError, match="unknown hyperparameter 'x'"):
            GD([nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=0.1, x=1)
