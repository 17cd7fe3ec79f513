import inspect

import pytest

from optimizers import UnknownNameError, base_info, base_names


def test_names() -> None:
    assert base_names() == ("adam", "adamw", "sgd")


@pytest.mark.parametrize("name", base_names())
def test_only_lr_must_be_given(name: str) -> None:
    info = base_info(name)
    assert info.name == name
    assert [h.name for h in info.hyperparameters.values() if h.required] == ["lr"]
    assert all(h.description for h in info.hyperparameters.values())


@pytest.mark.parametrize("name", base_names())
def test_defaults_are_torchs(name: str) -> None:
    info = base_info(name)
    ours = info.arguments({h.name: 0.1 if h.default is None else h.default for h in info.hyperparameters.values()})
    theirs = inspect.signature(info.cls).parameters
    for argument, value in ours.items():
        if argument not in ("lr", "weight_decay"):
            assert value == theirs[argument].default


def test_defaults_that_are_ours() -> None:
    assert base_info("sgd").hyperparameters["momentum"].default == 0.0
    assert {base_info(name).hyperparameters["weight_decay"].default for name in base_names()} == {0.0}


def test_unknown() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'adam'"):
        base_info("adm")
