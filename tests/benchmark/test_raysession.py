"""Joining a Ray: which nodes are taken, and what is said of those that are not."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmark import BenchmarkError, RayOptions, RayUnavailableError
from benchmark.rayenv import prepare_ray_environment
from tests.clusters import ROOT, Cluster, Node, cluster
from tests.service.processes import environment

pytestmark = pytest.mark.slow
JOIN_S = 180.0
JOIN = """
import os, sys
from benchmark import RayOptions, RayUnavailableError, Spec
from benchmark.place import training_place
from benchmark.plugins import Added
from benchmark.rayenv import prepare_ray_environment

SPEC = Spec.from_mapping({
    "name": "one", "tasks": [{"name": "parabola"}], "budget": {"epochs": 1}, "optimizers": [{"name": "gd"}],
    "space": {"lr": {"values": [0.1]}},
})
options = RayOptions(sys.argv[1])
prepare_ray_environment(options)
from benchmark import raysession

if sys.argv[2:]:
    raysession.added = lambda: Added(tuple(sys.argv[2:]), {}, {})
try:
    with training_place(SPEC, options) as call:
        print("joined")
        print(call(os.getsid, 0))
        print(call(divmod, 7, 0))
except RayUnavailableError as error:
    print(error)
except ZeroDivisionError as error:
    print("as it was raised")
"""


@pytest.fixture(scope="module")
def raysession() -> ModuleType:
    prepare_ray_environment(RayOptions())
    from benchmark import raysession

    return raysession


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Cluster, Node]]:
    with cluster() as opened:
        yield opened, opened.add()


def join(opened: Cluster, tmp_path: Path, *plugins: str) -> str:
    """Join a cluster from a folder without our sources, and return what is told of it."""
    command = [sys.executable, "-c", JOIN, opened.address, *plugins]
    env = environment(tmp_path, **opened.environment)
    done = subprocess.run(command, env=env, cwd=tmp_path, timeout=JOIN_S, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
def test_functions_are_called_on_a_node_of_a_cluster(shared: tuple[Cluster, Node], tmp_path: Path) -> None:
    opened, node = shared
    assert join(opened, tmp_path).splitlines() == ["joined", str(node.session), "as it was raised"]


@pytest.mark.long
def test_a_cluster_without_room_for_a_pack_is_refused(tmp_path: Path) -> None:
    with cluster() as opened:
        assert join(opened, tmp_path) == "a pack needs 1 CPUs, but Ray offers 0 in all."


@pytest.mark.long
def test_a_plug_in_that_a_node_lacks_is_named(shared: tuple[Cluster, Node], tmp_path: Path) -> None:
    told = join(shared[0], tmp_path, "rhobust-nowhere")
    assert "the node 127.0.0.3 (" in told
    assert "the plug-in 'rhobust-nowhere' is allowed but not installed here" in told
    assert "Start every node of the cluster from the image" in told


@pytest.mark.long
def test_a_node_with_other_sources_is_refused(tmp_path: Path) -> None:
    for package in ("benchmark", "optimizers"):
        shutil.copytree(ROOT / package, tmp_path / "other" / package)
    with (tmp_path / "other" / "optimizers" / "__init__.py").open("a") as door:
        door.write("# another state of the sources\n")
    with cluster() as opened:
        opened.add(PYTHONPATH=str(tmp_path / "other"))
        told = join(opened, tmp_path)
    assert "the node 127.0.0.3 (" in told
    assert "has source " in told
    assert "Start every node of the cluster from the image" in told


def test_a_second_session_in_one_process_is_refused_and_harms_nothing(
    raysession: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raysession.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(raysession.ray, "shutdown", lambda: pytest.fail("it is not ours to end"))
    with pytest.raises(RayUnavailableError, match="connected to a Ray already"), raysession.ray_session(RayOptions()):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "[::1]:{port}", "localhost:99999"])
def test_an_address_where_nothing_listens_is_one_clear_error(
    raysession: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = address.format(port=free.getsockname()[1])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(raysession.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(raysession.ray, "shutdown", lambda: None)
    with pytest.raises(RayUnavailableError, match="cannot reach Ray at"), raysession.ray_session(RayOptions(place)):
        pass
    assert list(tmp_path.iterdir()) == []
    assert issubclass(RayUnavailableError, BenchmarkError)
