import math
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optimizers import Hyperparameter, HyperparameterError

RHO = Hyperparameter("rho", float, 0.05, low=0, high_open=True)
LR = Hyperparameter("lr", float, low=0, low_open=True, high_open=True)
K = Hyperparameter("k", int, 5, low=1)
FLAG = Hyperparameter("nesterov", bool, False)
SHARE = Hyperparameter("share", float, 0.0, low=0, high=1)


@pytest.mark.parametrize(
    ("hyperparameter", "value", "expected"),
    [(RHO, 0, 0.0), (RHO, 3, 3.0), (RHO, Fraction(1, 2), 0.5), (K, 7, 7), (FLAG, True, True), (SHARE, 1, 1.0)],
)
def test_check_returns_the_typed_value(hyperparameter: Hyperparameter, value: object, expected: object) -> None:
    checked = hyperparameter.check(value)
    assert checked == expected
    assert type(checked) is hyperparameter.kind


@pytest.mark.parametrize(
    ("hyperparameter", "value", "message"),
    [
        (RHO, -0.1, "0 <= rho < inf must hold and rho be a finite number, but got rho=-0.1."),
        (RHO, math.nan, "got rho=nan."),
        (RHO, math.inf, "got rho=inf."),
        (RHO, True, "got rho=True."),
        (RHO, "0.1", "got rho='0.1'."),
        (RHO, None, "got rho=None."),
        (LR, 0.0, "0 < lr < inf must hold"),
        (SHARE, 1.1, "0 <= share <= 1 must hold"),
        (K, 0, "1 <= k < inf must hold and k be an integer, but got k=0."),
        (K, 2.0, "got k=2.0."),
        (K, False, "got k=False."),
        (FLAG, 1, "nesterov is true or false must hold and nesterov be a truth value, but got nesterov=1."),
    ],
)
def test_check_refuses(hyperparameter: Hyperparameter, value: object, message: str) -> None:
    with pytest.raises(HyperparameterError, match=re.escape(message)) as caught:
        hyperparameter.check(value)
    assert caught.value.name == hyperparameter.name


@given(st.floats())
def test_what_passes_is_finite_and_in_range(value: float) -> None:
    try:
        checked = RHO.check(value)
    except HyperparameterError:
        assert not 0 <= value < math.inf
    else:
        assert 0 <= checked < math.inf


def test_tensor_is_no_number() -> None:
    with pytest.raises(HyperparameterError, match="finite number"):
        RHO.check(torch.tensor(0.1))


def test_an_invalid_hyperparameter_cannot_be_built() -> None:
    with pytest.raises(HyperparameterError, match=r"low <= high must hold, but x got low=2, high=1\."):
        Hyperparameter("x", float, low=2, high=1)
    with pytest.raises(HyperparameterError, match="0 <= x < inf must hold"):
        Hyperparameter("x", float, -1.0, low=0)


def test_required_is_without_default() -> None:
    assert LR.required
    assert not RHO.required
