"""What a container starts, with programs that only say how they were called in the place of ours and of Ray's."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
START = "ray start --disable-usage-stats"
HEAD = "--head --block --port 6379 --num-cpus 0 --num-gpus 0 --include-dashboard false"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ray", "rhobust", "python"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" "${{RAY_AUTH_MODE:+(token mode: $RAY_AUTH_MODE)}}"\n')
        program.chmod(0o755)
    (tmp_path / "token").write_text("0" * 64)
    return folder


def role(programs: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": f"{programs}:{os.defpath}", **variables}
    command = [str(DOCKER / "role"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["serve", "--no-dispatcher"], {}, ["rhobust serve --no-dispatcher"]),
        (["db", "upgrade"], {"RHOBUST_RAY_ADDRESS": "head:6379"}, ["rhobust db upgrade"]),
        (["worker", "--jobs", "2"], {}, ["rhobust worker --jobs 2"]),
        (
            ["worker"],
            {"RHOBUST_RAY_ADDRESS": "head:6379"},
            [f"{START} --address head:6379 --num-cpus 0 --num-gpus 0", "rhobust worker"],
        ),
        (
            ["ray-head", "--object-store-memory", "100000000"],
            {},
            [f"{START} {HEAD} --object-store-memory 100000000"],
        ),
        (["ray-node"], {"RHOBUST_RAY_ADDRESS": "head:6379"}, [f"{START} --block --address head:6379"]),
        (
            ["ray-node", "--num-gpus", "2"],
            {"RHOBUST_RAY_ADDRESS": "head:6379", "RAY_NODE_CPUS": "3"},
            [f"{START} --block --address head:6379 --num-cpus 3 --num-gpus 2"],
        ),
        (["healthy", "ray-head"], {}, ["ray health-check --address 127.0.0.1:6379"]),
        (["healthy", "ray-node"], {"RHOBUST_RAY_ADDRESS": "head:6379"}, ["ray health-check --address head:6379"]),
    ],
)
def test_a_role_starts_what_it_is(
    programs: Path, tmp_path: Path, arguments: list[str], variables: dict[str, str], told: list[str]
) -> None:
    done = role(programs, *arguments, RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"), **variables)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" (token mode")[0].strip() for line in lines] == told
    assert all(line.endswith("(token mode: token)") for line in lines if line.startswith("ray "))


@pytest.mark.parametrize("arguments", [["ray-head"], ["ray-node"], ["worker"]])
@pytest.mark.parametrize("variables", [{}, {"RAY_AUTH_TOKEN_PATH": "/nowhere/token"}])
def test_no_node_starts_without_a_token(programs: Path, arguments: list[str], variables: dict[str, str]) -> None:
    done = role(programs, *arguments, RHOBUST_RAY_ADDRESS="head:6379", **variables)
    assert (done.returncode, done.stdout) == (5, "")
    assert "RAY_AUTH_TOKEN_PATH must name a file with the token of the cluster" in done.stderr


def test_an_unknown_health_is_refused(programs: Path) -> None:
    done = role(programs, "healthy", "database")
    assert (done.returncode, done.stdout) == (2, "")
    assert "takes serve, ray-head or ray-node, but got 'database'" in done.stderr


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = [str(DOCKER / "secrets"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == {"database_url", "postgres_password", "ray_token"}
    assert made["database_url"] == f"postgresql://rhobust:{made['postgres_password']}@postgres:5432/rhobust"
    assert len(made["ray_token"]) == len(made["postgres_password"]) == 64
    assert made["ray_token"] != made["postgres_password"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
