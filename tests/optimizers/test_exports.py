"""The door: what it names is there, sorted, and nothing else happens."""

import subprocess
import sys

import pytest

import optimizers


def test_all_is_sorted_and_exists() -> None:
    constants = sorted(name for name in optimizers.__all__ if name.isupper())
    classes = sorted(name for name in optimizers.__all__ if not name.isupper() and name[0].isupper())
    functions = sorted(name for name in optimizers.__all__ if name[0].islower())
    assert optimizers.__all__ == [*constants, *classes, *functions]
    assert all(hasattr(optimizers, name) for name in optimizers.__all__)


def test_every_public_function_and_class_says_what_it_is() -> None:
    assert [name for name in optimizers.__all__ if not getattr(optimizers, name).__doc__] == []


@pytest.mark.slow
def test_import_needs_torch_alone() -> None:
    program = (
        "import sys, torch; before = set(sys.modules); import optimizers; "
        "[getattr(optimizers, name) for name in optimizers.__all__]; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'torch', 'optimizers'}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
