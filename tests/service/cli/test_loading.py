"""A command loads what it needs and no more: one that only calls the server does not wait for torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.store import Store
from tests.service.filling import small_spec, submit
from tests.service.processes import environment

pytestmark = pytest.mark.slow
HEAVY = {"torch", "pandas", "scipy", "sqlalchemy", "alembic", "fastapi", "starlette", "uvicorn", "pyarrow", "sklearn"}
HEAVY |= {"matplotlib", "plotly", "optuna", "ray", "numpy"}
MARK = "heavy: "
PROGRAM = f"""
import atexit, sys
heavy = {sorted(HEAVY)}
atexit.register(lambda: print("{MARK}" + " ".join(sorted(set(heavy) & set(sys.modules))), file=sys.stderr))
from service.cli import main
main()
"""
JOB, SPEC = "<job>", "<spec>"


def loaded(*arguments: str, data_dir: Path, **variables: str) -> tuple[set[str], str]:
    """Return the heavy libraries that a command has loaded when it has ended well, and what it printed."""
    env = environment(data_dir, **variables)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition(MARK)[2].split()), done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("ls", "-o", "json"),
        ("show", JOB),
        ("submit", SPEC),
        ("plan", SPEC),
        ("pause", JOB),
        ("delete", "--help"),
        ("alerts", "ls"),
        ("baseline", "ls"),
        ("schedule", "ls"),
        ("webhooks", "ls"),
    ],
    ids=" ".join,
)
def test_a_command_that_calls_the_server_loads_none_of_what_trains(
    arguments: tuple[str, ...], served: str, store: Store, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(small_spec()))
    filled = {JOB: submit(store).id, SPEC: str(spec)}
    heavy, _ = loaded(
        *(filled.get(argument, argument) for argument in arguments), data_dir=tmp_path / "data", RHOBUST_URL=served
    )
    assert heavy == set()


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"), ("serve", "--help")])
def test_help_loads_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    heavy, out = loaded(*arguments, data_dir=tmp_path)
    assert heavy == set()
    assert out


def test_completion_loads_nothing(served: str, store: Store, tmp_path: Path) -> None:
    job = submit(store)
    asked = {"_RHOBUST_COMPLETE": "complete_bash", "COMP_WORDS": "rhobust show ", "COMP_CWORD": "2"}
    heavy, out = loaded(data_dir=tmp_path, RHOBUST_URL=served, **asked)
    assert heavy == set()
    assert out.split() == [job.id]


def test_keys_load_the_store_alone(tmp_path: Path) -> None:
    heavy, _ = loaded("keys", "create", "somebody", data_dir=tmp_path)
    assert heavy == {"sqlalchemy", "alembic", "numpy"}


def test_the_schema_is_whole_where_nothing_else_of_the_store_is_loaded(tmp_path: Path) -> None:
    for command in ("upgrade", "check"):
        heavy, _ = loaded("db", command, data_dir=tmp_path)
        assert heavy == {"sqlalchemy", "alembic"}


def test_what_is_heavy_is_seen(tmp_path: Path) -> None:
    assert "RHOBUST_URL" not in os.environ
    heavy, _ = loaded("optimizers", data_dir=tmp_path)
    assert "torch" in heavy
