"""Doors load what they export when it is asked for, and look as if it were there."""

import importlib
import subprocess
import sys

import pytest

DOORS = (
    "optimizers",
    "benchmark",
    "benchmark.building",
    "benchmark.regression",
    "benchmark.robustness",
    "benchmark.robustness.rendering",
    "service.store",
)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_shows_all_of_its_names(name: str) -> None:
    door = importlib.import_module(name)
    assert set(door.__all__) <= set(dir(door))
    everything: dict[str, object] = {}
    exec(f"from {name} import *", everything)  # noqa: S102  (what a person at a prompt may write)
    assert set(door.__all__) <= set(everything)


@pytest.mark.parametrize("name", DOORS)
def test_what_is_not_there_is_said_as_of_any_module(name: str) -> None:
    door = importlib.import_module(name)
    with pytest.raises(AttributeError, match=rf"module '{name}' has no attribute 'Nothing'"):
        door.Nothing  # noqa: B018  (to ask for it is all that is wanted)
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec(f"from {name} import Nothing")  # noqa: S102


@pytest.mark.slow
def test_a_name_is_loaded_once_and_alone() -> None:
    program = (
        "import sys, optimizers; before = 'torch' in sys.modules; optimizers.nearest('a', ['ab']); "
        "assert 'nearest' in vars(optimizers); between = 'torch' in sys.modules; optimizers.SAM; "
        "print(before, between, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]
