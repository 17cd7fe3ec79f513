import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.optim import SGD, Optimizer

from optimizers import (
    NO_BASE,
    Alone,
    Hyperparameter,
    HyperparameterError,
    OptimizerInfo,
    OptimizersError,
    OwnRule,
    RegistrationError,
    Seen,
    TwoPassOptimizer,
    UnknownNameError,
    base_info,
    build,
    class_info,
    optimizer_info,
    optimizer_names,
    optimizer_source,
    register_optimizer,
    registered_optimizers,
    registry,
    rule_info,
)
from optimizers.functional import initial_memory, is_functional, looks_twice, update
from tests.optimizers.cases import Problem, run

POWER = Hyperparameter("power", float, 1.0, low=0, high=4, description="of the magnitude of each entry")
DECAY = Hyperparameter("decay", float, 0.5, low=0, high=1, description="a share")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_sources", {})


def gradient(seen: Seen) -> list[Tensor]:
    return list(seen.gradients)


def powers(seen: Seen) -> list[Tensor]:
    power = seen.hyperparameters["power"]
    pairs = zip(seen.gradients, seen.parameters, seen.is_weight, strict=True)
    return [g.sign() * (g.abs() + 1e-6) ** power * (1 + p.abs() if weight else 1) for g, p, weight in pairs]


class Lookahead(Optimizer):
    """Asks twice for the loss: at theta, and a step ahead, whose gradient it takes."""

    def __init__(self, params: Any, lr: float, rho: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        every = [p for group in self.param_groups for p in group["params"]]
        theta, ahead = [p.clone() for p in every], self.param_groups[0]["rho"]
        for p in every:
            p.sub_(ahead * p.grad)
        with torch.enable_grad():
            closure()
        for p, old in zip(every, theta, strict=True):
            p.copy_(old - self.param_groups[0]["lr"] * p.grad)
        return loss


class Plain(Optimizer):
    def __init__(self, params: Any, lr: float, decay: float = 0.0) -> None:
        if decay == 1:
            raise ValueError("decay 1 forgets nothing")
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad)
        return loss


class Deaf(Plain):
    def step(self, closure: Any = None) -> Any:
        return 0.0


class Hidden(Plain):
    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.param_groups[0]["lr"] = 2 * lr


class Needy(Plain):
    def __init__(self, params: Any, lr: float, secret: float) -> None:
        super().__init__(params, lr)


class Broken(Plain):
    def step(self, closure: Any = None) -> Any:
        raise ArithmeticError("nothing adds up")


def own_rule(**changes: Any) -> OptimizerInfo:
    arguments: dict[str, Any] = {"title": "Powers", "rho": 0.1, "hyperparameters": [POWER]}
    return rule_info("powers", changes.pop("direction", powers), **{**arguments, **changes})


def own_class(make: Any = Plain, **changes: Any) -> OptimizerInfo:
    return class_info(changes.pop("name", "plain"), make, **{"title": "Plain", **changes})


@pytest.mark.parametrize(("normalised", "twin"), [(True, "sam"), (False, "usam")])
@pytest.mark.parametrize("base", ["sgd", "adamw"])
def test_a_rule_of_the_gradient_is_the_one_we_have(normalised: bool, twin: str, base: str) -> None:
    register_optimizer(rule_info("mine", gradient, title="Mine", rho=0.05, normalised=normalised))
    losses = []
    for name in ("mine", twin):
        problem = Problem()
        optimizer = build(name, problem.parameters(), base, {"lr": 0.01, "rho": 0.2}, model=problem.model)
        assert isinstance(optimizer, TwoPassOptimizer)
        losses.append(run(optimizer, problem, 8))
    assert losses[0] == losses[1]


def test_a_rule_is_a_class_as_well() -> None:
    info = own_rule()
    assert info.cls is not None
    assert issubclass(info.cls, OwnRule)
    assert (info.cls.__name__, info.cls.__module__) == ("Powers", __name__)
    assert list(info.hyperparameters) == ["rho", "power", "rho_warmup"]
    assert info.gradient_evaluations() == 2
    p = nn.Parameter(torch.tensor([3.0, -4.0]))
    optimizer = info.cls([p], SGD, rho=0.5, power=2.0, lr=0.1)
    p.grad = torch.tensor([1.0, 2.0])
    optimizer.first_step()
    torch.testing.assert_close((p - torch.tensor([3.0, -4.0])).norm(), torch.tensor(0.5))
    optimizer.restore()
    assert copy.deepcopy(optimizer).param_groups[0]["power"] == 2.0
    with pytest.raises(HyperparameterError, match=r"0 <= power <= 4 must hold"):
        info.cls([p], SGD, power=5.0, lr=0.1)


def test_nothing_is_perturbed_where_the_gradient_is_zero_or_not_finite() -> None:
    info = rule_info("signs", lambda seen: [g.sign() for g in seen.gradients], title="Signs", rho=0.1)
    assert info.cls is not None
    for value in (0.0, torch.inf, torch.nan):
        p = nn.Parameter(torch.ones(2))
        optimizer = info.cls([p], SGD, lr=0.1)
        p.grad = torch.tensor([value, value])
        optimizer.first_step()
        assert torch.equal(p, torch.ones(2))


@pytest.mark.parametrize("base", ["sgd", "adam"])
def test_many_runs_at_once_are_each_the_class(base: str) -> None:
    info = register_optimizer(own_rule())
    assert is_functional("powers", base)
    assert looks_twice("powers", {}, 3)
    assert not is_functional("powers", "none")
    assert not is_functional("nobody", base)
    start = [torch.linspace(-1, 1, 6).reshape(2, 3), torch.tensor([0.3, -0.7])]
    inputs = torch.linspace(0, 1, 12).reshape(4, 3)
    settings = [(0.1, 1.0), (0.3, 2.0), (0.5, 0.5)]

    def loss_of(parameters: list[Tensor]) -> Tensor:
        return ((inputs @ parameters[0].T + parameters[1]).tanh() - 0.2).square().mean()

    rest: dict[str, Any] = {"rho_warmup": 0.5}
    rest |= {name: one.default for name, one in base_info(base).hyperparameters.items() if one.default is not None}

    def one(parameters: list[Tensor], memory: Any, rho: Tensor, power: Tensor, step: Tensor) -> Any:
        values = {**rest, "rho": rho, "power": power}
        done = update(
            "powers", base, parameters, memory, values, grad_and_value(loss_of),
            step=step, lr=0.1, total_steps=6, is_weight=[True, False],
        )  # fmt: skip
        return done.parameters, done.memory

    stacked = [torch.stack([p] * 3) for p in start]
    memory = initial_memory("powers", base, stacked)
    for step in range(6):
        together: Any = vmap(one, in_dims=(0, 0, 0, 0, None))
        radii, exponents = (torch.tensor(column) for column in zip(*settings, strict=True))
        stacked, memory = together(stacked, memory, radii, exponents, torch.tensor(step))
    for place, (rho, power) in enumerate(settings):
        parameters = [nn.Parameter(p.clone()) for p in start]
        values = {**rest, "lr": 0.1, "rho": rho, "power": power}
        named = zip(("line.weight", "line.bias"), parameters, strict=True)
        optimizer = build(info.name, named, base, values, total_steps=6)
        for _ in range(6):
            optimizer.step(closure_of(optimizer, lambda: loss_of([*parameters])))  # noqa: B023  (called at once)
        for p, every in zip(parameters, stacked, strict=True):
            torch.testing.assert_close(p.detach(), every[place], rtol=1e-5, atol=1e-6)


def closure_of(optimizer: Any, loss_of: Callable[[], Tensor]) -> Callable[[], Any]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach()

    return closure


def test_a_class_takes_the_step_itself_and_is_counted() -> None:
    rho = Hyperparameter("rho", float, 0.1, low=0, high_open=True)
    register_optimizer(own_class(Lookahead, name="ahead", gradient_evaluations=2, hyperparameters=[rho]))
    info = optimizer_info("ahead")
    assert not info.has_base
    assert (info.gradient_evaluations(), list(info.hyperparameters)) == (2.0, ["lr", "rho"])
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    inputs = torch.linspace(-1, 1, 15).reshape(5, 3)
    optimizer = build("ahead", model.named_parameters(), NO_BASE, {"lr": 0.05, "rho": 0.2}, model=model)
    assert isinstance(optimizer, Alone)
    before = model(inputs).square().mean().item()
    tracked = int(model[1].num_batches_tracked)  # type: ignore[arg-type]  # a buffer
    loss = optimizer.step(closure_of(optimizer, lambda: model(inputs).square().mean()))
    assert loss.item() == pytest.approx(before)
    assert optimizer.gradient_evaluations == 2
    assert int(model[1].num_batches_tracked) == tracked + 1  # type: ignore[arg-type]  # a buffer
    # it looked ahead by rho g
    assert optimizer.delta_norm.item() == pytest.approx(0.2 * optimizer.grad_norm.item(), rel=1e-5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05]


def test_a_class_without_a_radius_moves_by_none() -> None:
    register_optimizer(own_class())
    p = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = build("plain", [p], NO_BASE, {"lr": 0.1})
    optimizer.step(closure_of(optimizer, lambda: p.square().sum() / 2))
    torch.testing.assert_close(p.detach(), torch.tensor([2.7, 3.6]))
    assert (optimizer.grad_norm.item(), optimizer.delta_norm.item()) == (5.0, 0.0)


def test_a_class_and_a_base_do_not_go_together() -> None:
    register_optimizer(own_class())
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(UnknownNameError, match=r"unknown base of plain 'sgd'. Known: none"):
        build("plain", [p], "sgd", {"lr": 0.1})
    with pytest.raises(UnknownNameError, match=r"unknown base of sam 'none'. Known: adam, adamw, sgd"):
        build("sam", [p], NO_BASE, {"lr": 0.1})
    with pytest.raises(HyperparameterError, match=r"unknown hyperparameter 'momentum' of plain. Known: lr"):
        build("plain", [p], NO_BASE, {"lr": 0.1, "momentum": 0.9})


def test_values_that_a_class_refuses_are_told_in_words() -> None:
    register_optimizer(own_class(hyperparameters=[DECAY]))
    with pytest.raises(
        HyperparameterError, match=r"plain cannot be made with lr=0.1, decay=1.0: ValueError: decay 1 forgets nothing"
    ):
        build("plain", [nn.Parameter(torch.ones(2))], NO_BASE, {"lr": 0.1, "decay": 1.0})


def test_a_class_that_stops_asking_for_the_loss_is_an_error() -> None:
    info = own_class()
    alone = Alone(info, [nn.Parameter(torch.ones(2))], {"lr": 0.1})
    alone.optimizer = Deaf([nn.Parameter(torch.ones(2))], 0.1)
    with pytest.raises(OptimizersError, match=r"step\(closure\) must call its closure, but that of plain did not"):
        alone.step(lambda: 0.0)


def test_what_is_registered_has_a_name_a_source_and_a_place() -> None:
    assert register_optimizer(own_rule()).name == "powers"
    assert "powers" in optimizer_names()
    assert len(optimizer_source("powers")) == 32
    assert optimizer_source("sam") == ""
    assert [*registered_optimizers()] == ["powers"]
    register_optimizer(own_rule(title="again"))
    assert optimizer_info("powers").title == "again"
    with pytest.raises(RegistrationError, match=r"'powers' of .*gradient is that of .*powers; choose another"):
        register_optimizer(own_rule(direction=gradient))
    with pytest.raises(RegistrationError, match=r"'sam' of .*gradient is one of ours; choose another"):
        register_optimizer(rule_info("sam", gradient, title="Mine", rho=0.05))


def overwriting(seen: Seen) -> list[Tensor]:
    return [g.mul_(2) for g in seen.gradients]


Refusal = tuple[Callable[[], OptimizerInfo], str]
REFUSED: list[Refusal] = [
    (lambda: rule_info("Bad-Name", gradient, title="x", rho=0.1), "small letters, digits and underscores"),
    (lambda: rule_info("os.system", gradient, title="x", rho=0.1), "small letters, digits and underscores"),
    (lambda: rule_info("fine", gradient, title="", rho=0.1), "title and usual of 'fine' must be texts"),
    (lambda: own_rule(source="arXiv"), "the source of 'powers' must be a Source, but got 'arXiv'"),
    (lambda: own_rule(direction="signs"), "the direction of 'powers' must be a function, but got 'signs'"),
    (lambda: own_rule(direction=lambda seen: seen.gradients[:1]), r"here \[\(2, 3\), \(3,\)\], but got \[\(2, 3\)\]"),
    (lambda: own_rule(direction=lambda seen: [1.0, 2.0]), "the direction of 'powers' fails"),
    (lambda: own_rule(direction=lambda seen: seen.nothing), "the direction of 'powers' fails: AttributeError"),
    (lambda: own_rule(hyperparameters=[]), "the direction of 'powers' fails: KeyError: 'power'"),
    (lambda: own_rule(direction=overwriting), "the direction of 'powers' must leave the gradients alone"),
    (lambda: own_rule(hyperparameters=["power"]), "must be a Hyperparameter, but got 'power'"),
    (lambda: own_rule(hyperparameters=[Hyperparameter("power", float)]), "must have a default, but power has none"),
    (lambda: own_rule(hyperparameters=[POWER, POWER]), "must stand once, but got power twice"),
    (lambda: own_rule(hyperparameters=[Hyperparameter("rho", float, 1.0)]), "must stand once, but got rho twice"),
    (lambda: own_class("torch.optim.SGD"), "'plain' must be made by a class or a function, but got 'torch.optim.SGD'"),
    (lambda: own_class(hyperparameters=[POWER]), "must take every hyperparameter by name, but it takes no power"),
    (lambda: own_class(Needy), "must be a declared hyperparameter, but secret is not"),
    (lambda: own_class(lambda params, lr: object()), "must make a torch.optim.Optimizer, but made <object"),
    (lambda: own_class(Deaf), r"step\(closure\) must call its closure"),
    (lambda: own_class(Hidden), "each parameter group of 'plain' must hold its lr"),
    (lambda: own_class(Broken), "a step of 'plain' fails: ArithmeticError: nothing adds up"),
    (lambda: own_class(gradient_evaluations=0), "1 <= gradient_evaluations must hold of 'plain', but got 0"),
    (lambda: own_class(gradient_evaluations=lambda values: 0.0), "1 <= gradient_evaluations must hold of 'plain'"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_used_says_why(make: Callable[[], OptimizerInfo], message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        make()


def values_of(info: OptimizerInfo) -> Mapping[str, Any]:
    return {name: one.default for name, one in info.hyperparameters.items()}


@pytest.mark.parametrize("info", [own_rule(), own_class(hyperparameters=[DECAY])], ids=lambda info: info.name)
def test_hyperparameters_are_declared_as_ours_are(info: OptimizerInfo) -> None:
    assert all(name == one.name for name, one in info.hyperparameters.items())
    assert [name for name, value in values_of(info).items() if value is None] == ([] if info.has_base else ["lr"])
