"""Where the packs of a spec are trained, as far as it has to be measured before: this machine, or a cluster's nodes."""

import contextlib
from collections.abc import Callable, Iterator
from typing import ParamSpec, Protocol, TypeVar

import torch

from benchmark.choice import device_name
from benchmark.execution import device_for
from benchmark.rayenv import RayOptions, prepare_ray_environment
from benchmark.spec import Spec

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Call(Protocol):
    """Calls a function at a place, and returns or raises what it does."""

    def __call__(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it."""


@contextlib.contextmanager
def training_place(spec: Spec, options: RayOptions) -> Iterator[Call]:
    """Give what calls functions where the packs of a spec are trained.

    A local Ray is not started for it: its packs are trained on this machine, as everything in this process is. Of a
    cluster every node is asked what it would train with.

    Args:
        spec: its resources say what a pack takes.
        options: which Ray.

    Raises:
        RayUnavailableError: when a cluster cannot be joined, has no room for a pack, or a node with other versions,
            sources or plug-ins than this process has.
    """
    if options.address is None:
        yield _here
        return
    prepare_ray_environment(options)
    # Ray reads the environment when it is imported, and few processes need it.
    from benchmark import raysession, raytune

    with raysession.ray_session(options) as session:
        gpus = raytune.gpus_per_pack(spec)
        raytune.n_workers(spec, gpus=gpus)
        raysession.check_nodes()

        def there(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            return session.there(spec.resources.cpus_per_pack, gpus, function, *args, **kwargs)

        yield there


def device_at(call: Call, spec: Spec) -> tuple[torch.device, str]:
    """Return the device on which packs of a spec are trained at a place, and its name."""
    kind, name = call(_device, spec.resources.gpus_per_pack != 0)
    return torch.device(kind), name


def _device(use_gpu: bool) -> tuple[str, str]:
    device = device_for(use_gpu=use_gpu)
    return device.type, device_name(device)


def _here(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    return function(*args, **kwargs)
