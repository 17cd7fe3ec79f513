import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from optimizers import (
    HyperparameterError,
    TwoPassOptimizer,
    UnknownNameError,
    base_info,
    build,
    optimizer_info,
    optimizer_names,
)
from tests.optimizers.cases import CASES, Case, Problem, run


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2, 2))]


def test_names_are_sorted_and_all_have_a_case() -> None:
    assert optimizer_names() == tuple(sorted(case.name for case in CASES))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_entry_is_complete(case: Case) -> None:
    info = optimizer_info(case.name)
    assert info.name == case.name
    assert info.cls is not None
    assert issubclass(info.cls, TwoPassOptimizer)
    assert dict(info.hyperparameters) == dict(info.cls.hyperparameters)
    assert all(name == h.name and h.description and not h.required for name, h in info.hyperparameters.items())
    assert info.title
    assert info.usual
    document = info.cls.__doc__
    assert document is not None
    assert "evaluation" in document
    for name in info.hyperparameters:
        assert name == "rho_warmup" or f"{name}: " in document
    if case.name == "gd":
        assert info.hyperparameters == {}
        assert info.source is None
    else:
        assert info.source is not None
        assert re.fullmatch(r"\d{4}\.\d{5}", info.source.arxiv)
        assert 2020 <= info.source.year <= 2026
        assert " ".join(document.split()).count(f"arXiv {info.source.arxiv}") == 1
        assert info.source.title in " ".join(document.split())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cost_is_what_is_counted(case: Case) -> None:
    problem = Problem()
    values = {"momentum": 0.9, **case.hyperparameters, "lr": 0.01}
    optimizer = build(case.name, problem.parameters(), "sgd", values)
    assert isinstance(optimizer, TwoPassOptimizer)
    run(optimizer, problem, 6)
    assert optimizer.gradient_evaluations == pytest.approx(6 * optimizer_info(case.name).gradient_evaluations(values))


def test_cost_of_look_sam_follows_k() -> None:
    assert optimizer_info("look_sam").gradient_evaluations() == 1.2
    assert optimizer_info("look_sam").gradient_evaluations({"k": 2}) == 1.5
    with pytest.raises(HyperparameterError, match="got k=0"):
        optimizer_info("look_sam").gradient_evaluations({"k": 0})


@pytest.mark.parametrize("base", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_build_passes_every_value_on(case: Case, base: str) -> None:
    momentum = {"momentum": 0.9, "nesterov": True} if base == "sgd" else {"beta1": 0.8, "beta2": 0.99, "eps": 1e-7}
    values: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1, **momentum, **case.hyperparameters}
    optimizer = build(case.name, parameters(), base, values)
    assert isinstance(optimizer, TwoPassOptimizer)
    assert type(optimizer) is case.cls
    assert type(optimizer.base_optimizer) is base_info(base).cls
    group = {**optimizer.param_groups[0]}
    if base != "sgd":
        group["beta1"], group["beta2"] = group["betas"]
    assert {name: group[name] for name in values} == values


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "smam",
        "sgd",
        {"lr": 0.1},
        "unknown optimizer 'smam'; did you mean 'msam'? Known: asam, fisher_sam, friendly_sam, gd, ",
    ),
    ("msam", "sdg", {"lr": 0.1}, "unknown base optimizer 'sdg'; did you mean 'sgd'? Known: adam, adamw, sgd."),
    (
        "msam",
        "sgd",
        {"lr": 0.1, "roh": 0.1},
        "unknown hyperparameter 'roh' of msam over sgd; did you mean 'rho'? Known: lr, ",
    ),
    ("gd", "sgd", {"lr": 0.1, "rho": 0.1}, "unknown hyperparameter 'rho' of gd over sgd"),
    ("sam", "adam", {"lr": 0.1, "momentum": 0.9}, "unknown hyperparameter 'momentum' of sam over adam"),
    ("sam", "sgd", {"rho": 0.1}, "lr of sgd has no default and must be given, but got rho."),
    ("sam", "sgd", {}, "lr of sgd has no default and must be given, but got nothing."),
    ("sam", "sgd", {"lr": 0.0}, "0 < lr < inf must hold and lr be a finite number, but got lr=0.0."),
    ("sam", "sgd", {"lr": math.nan}, "0 < lr < inf must hold and lr be a finite number, but got lr=nan."),
    ("sam", "sgd", {"lr": 0.1, "rho": -1}, "0 <= rho < inf must hold and rho be a finite number, but got rho=-1."),
    ("sam", "sgd", {"lr": 0.1, "momentum": 1.0}, "0 <= momentum < 1 must hold"),
    ("sam", "sgd", {"lr": 0.1, "nesterov": True}, "nesterov needs momentum > 0, but got momentum=0.0, nesterov=True."),
    ("sam", "sgd", {"lr": 0.1, "rho_warmup": 1.5}, "0 <= rho_warmup <= 1 must hold"),
    ("sam", "sgd", {"lr": 0.1, "rho_warmup": 0.5}, "total_steps must be given with it"),
    ("asam", "sgd", {"lr": 0.1, "eta": -0.1}, "0 <= eta < inf must hold"),
    ("fisher_sam", "sgd", {"lr": 0.1, "eta": math.inf}, "0 <= eta < inf must hold"),
    ("gsam", "sgd", {"lr": 0.1, "alpha": -1}, "0 <= alpha < inf must hold"),
    ("friendly_sam", "sgd", {"lr": 0.1, "decay": 1.0}, "0 <= decay < 1 must hold"),
    ("friendly_sam", "sgd", {"lr": 0.1, "sigma": -1}, "0 <= sigma < inf must hold"),
    ("look_sam", "sgd", {"lr": 0.1, "k": 0}, "1 <= k < inf must hold and k be an integer, but got k=0."),
    ("look_sam", "sgd", {"lr": 0.1, "k": 2.5}, "but got k=2.5."),
    ("momentum_sam", "sgd", {"lr": 0.1}, "momentum > 0 must hold, but got momentum=0."),
    ("gd", "adamw", {"lr": 0.1, "beta2": 1.0}, "0 <= beta2 < 1 must hold"),
]


@pytest.mark.parametrize(("optimizer", "base", "values", "message"), REFUSED)
def test_build_refuses(optimizer: str, base: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises((UnknownNameError, HyperparameterError), match=re.escape(message)):
        build(optimizer, parameters(), base, values)


def test_build_warms_up() -> None:
    optimizer = build("sam", parameters(), "sgd", {"lr": 0.1, "rho_warmup": 0.5}, total_steps=10)
    assert optimizer.param_groups[0]["total_steps"] == 10
