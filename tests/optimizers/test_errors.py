import copy

import pytest

from optimizers import (
    BaseOptimizerError,
    HyperparameterError,
    OptimizersError,
    ParameterError,
    StepOrderError,
    UnknownNameError,
    nearest,
    unknown_name_message,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("smam", "msam"), ("SAM", "sam"), ("asan", "asam"), ("g", "gd"), ("", None), ("momentum", None), ("gb", None)],
)
def test_nearest(name: str, expected: str | None) -> None:
    assert nearest(name, ["asam", "gd", "msam", "sam"]) == expected


def test_nearest_of_nothing_is_none() -> None:
    assert nearest("sam", []) is None


def test_message_names_the_nearest_and_all() -> None:
    message = unknown_name_message("optimizer", "smam", ["sam", "gd", "msam", "asam"])
    assert message == "unknown optimizer 'smam'; did you mean 'msam'? Known: asam, gd, msam, sam."
    assert unknown_name_message("task", "zzz", ["a"]) == "unknown task 'zzz'. Known: a."
    assert unknown_name_message("task", "zzz", []) == "unknown task 'zzz'. Known: none."


def test_unknown_name_carries_its_parts_through_a_copy() -> None:
    error = copy.copy(UnknownNameError("optimizer", "smam", ["sam", "msam"]))
    assert isinstance(error, UnknownNameError)
    assert (error.name, error.choices, error.nearest) == ("smam", ("msam", "sam"), "msam")
    assert str(error) == "unknown optimizer 'smam'; did you mean 'msam'? Known: msam, sam."


def test_hyperparameter_error_carries_its_name_through_a_copy() -> None:
    error = copy.copy(HyperparameterError("rho", "rho is bad"))
    assert (error.name, str(error)) == ("rho", "rho is bad")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (HyperparameterError, ValueError),
        (ParameterError, ValueError),
        (BaseOptimizerError, TypeError),
        (StepOrderError, RuntimeError),
    ],
)
def test_tree(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, OptimizersError)
    assert issubclass(error, builtin)
