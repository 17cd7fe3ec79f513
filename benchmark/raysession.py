"""Starting a local Ray or joining a cluster of it, whose nodes must have what the driver has."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.errors import BenchmarkError, RayUnavailableError
from benchmark.fingerprint import own_making
from benchmark.plugins import Added, added, adopt
from benchmark.rayenv import RayOptions, short_folder
from benchmark.replay import replay_number, replaying
from benchmark.scratch import scratch_folder

CONNECT_S = 5.0
NODES_S = 120.0  # a worker that loads torch on a busy machine
SAME_EVERYWHERE = "Start every node of the cluster from the image, or the installation, that the dispatcher has."
OBJECT_STORE_BYTES = 150 * 1024**2
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Session:
    """A Ray that this process uses.

    Attributes:
        n_nodes: machines that train; 0 where Ray is a local one.
    """

    n_nodes: int = 0

    def there(
        self, n_cpus: float, n_gpus: float, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a function where packs are trained: here if Ray is a local one, else on a node.

        Args:
            n_cpus: that a pack takes.
            n_gpus: that a pack takes.
            function: of an importable module.
            args: of the function.
            kwargs: likewise.

        Raises:
            BenchmarkError: what the function raised.
            RayUnavailableError: when the node died, or cannot do it.
        """
        if not self.n_nodes:
            return function(*args, **kwargs)
        task = ray.remote(_there).options(num_cpus=n_cpus, num_gpus=n_gpus)
        try:
            found: _T = ray.get(task.remote(added(), replay_number(), function, args, kwargs))
        except RayTaskError as error:
            if isinstance(error.cause, BenchmarkError):
                raise error.cause from None
            raise
        except RayError as error:
            raise RayUnavailableError(f"a node of the cluster was lost: {_words(error)}") from error
        return found


@contextlib.contextmanager
def ray_session(options: RayOptions) -> Iterator[Session]:
    """Join the cluster at `options.address`, or start a local Ray; leave it, and its folders, at the end.

    Call it in the main thread: a local Ray dies with the thread that started it. A cluster is joined through the Ray
    node that runs on this machine.

    Raises:
        RayUnavailableError: when Ray does not start or answer, or when this process uses Ray already.
    """
    if ray.is_initialized():  # what somebody else started is not ours to use or to shut down
        raise RayUnavailableError("this process is connected to a Ray already; call ray.shutdown() first.")
    with scratch_folder("ray-", short_folder()) as folder:
        try:
            with _translated(options):
                if options.address:
                    _knock(options.address)
                    ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR)
                    session = Session(n_nodes=len(_training_nodes()))
                else:
                    session = Session()
                    ray.init(
                        address="local",
                        num_cpus=options.n_cpus,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        object_store_memory=OBJECT_STORE_BYTES,
                        _node_ip_address="127.0.0.1",
                        _temp_dir=folder,
                    )
            yield session
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at a `host:port`; Ray itself would try it for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


@contextlib.contextmanager
def _translated(options: RayOptions) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        where = f"reach Ray at {options.address}" if options.address else "start a local Ray"
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise RayUnavailableError(f"cannot {where}: {reason}") from error


def check_nodes() -> None:
    """Check that every node of the cluster that may train has the versions, sources and plug-ins of this process.

    Raises:
        RayUnavailableError: when one has others, lacks some, or does not answer; the message names it.
    """
    own = own_making()
    asked = {}
    for node in _training_nodes():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(_making).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"] = task.remote(added())
    for name, answer in asked.items():
        try:
            found = ray.get(answer, timeout=NODES_S)
        except GetTimeoutError:
            raise RayUnavailableError(f"the node {name} did not start a worker within {NODES_S:g} s.") from None
        except RayError as error:
            message = f"the node {name} cannot load what it is to train: {_words(error)}. {SAME_EVERYWHERE}"
            raise RayUnavailableError(message) from error
        if found != own:
            other = ", ".join(
                f"{part} {found.get(part, 'missing')!s:.12} instead of {own.get(part, 'none')!s:.12}"
                for part in sorted(found.keys() | own.keys())
                if found.get(part) != own.get(part)
            )
            raise RayUnavailableError(f"the node {name} has {other}. {SAME_EVERYWHERE}")


def _training_nodes() -> list[dict[str, Any]]:
    nodes = ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    return [node for node in nodes if node["Alive"] and node["Resources"].get("CPU")]


def _making(known: Added) -> dict[str, str]:
    """Return what a node would train with."""
    adopt(known)
    return own_making()


def _there(known: Added, replay: int, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    adopt(known)
    with replaying(replay):
        return function(*args, **kwargs)


def _words(error: Exception) -> str:
    """Return the end of what an error says, where a remote one has its cause."""
    return " ".join(str(error).split())[-300:]
