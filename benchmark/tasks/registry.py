"""The registry of tasks: every task that a spec may name."""

import functools
import inspect
import json
from collections.abc import Mapping
from types import MappingProxyType

from benchmark.canonical import canonical_json
from benchmark.errors import UnknownTaskError
from benchmark.parsing import SpecModel, unknown_name
from benchmark.tasks.breast_cancer import BreastCancerMLP
from benchmark.tasks.charlm import CharlmTransformer
from benchmark.tasks.cifar import CIFAR10ResNet18
from benchmark.tasks.clip import ClipAlignment
from benchmark.tasks.digits import DigitsCNN, DigitsMLP
from benchmark.tasks.emoji import EmojiAlignment
from benchmark.tasks.landscapes import LANDSCAPES
from benchmark.tasks.mfeat import AlignmentMfeat
from benchmark.tasks.mnist1d import MNIST1DCNN
from benchmark.tasks.protocol import ParamValue, Task
from optimizers import source_file_hash

_CLASSES: tuple[type[Task], ...] = (
    AlignmentMfeat,
    BreastCancerMLP,
    CharlmTransformer,
    CIFAR10ResNet18,
    ClipAlignment,
    DigitsCNN,
    DigitsMLP,
    EmojiAlignment,
    MNIST1DCNN,
    *LANDSCAPES,
)
_OURS: Mapping[str, type[Task]] = MappingProxyType({task.name: task for task in _CLASSES})
_registered: dict[str, type[Task]] = {}
_sources: dict[str, str] = {}


def register_task(task: type[Task]) -> type[Task]:
    """Let specs name a task of your own, in this process and in those that it trains with; a decorator.

    The class may stand in a module or in the script that runs the benchmark: it travels to the workers. The source of
    its file is part of the fingerprint of every record, so that a record of another version is never reused.

    Args:
        task: the class; registering one of the same name and module again replaces it.

    Returns:
        The class.

    Raises:
        ValueError: when the name is taken by another task, or the class is not complete or its source not readable.
        TypeError: when its parameters are no `SpecModel`.
    """
    check_task(task)
    adopt_task(task, source_file_hash(task, f"the task {task.__name__}"))
    return task


def check_task(task: type[Task]) -> None:
    """Refuse, by a ValueError or TypeError, a task that is not complete or whose name is that of another one."""
    missing = [name for name in ("name", "version", "title", "source", "metrics") if not hasattr(task, name)]
    if missing or inspect.isabstract(task):
        missing += sorted(task.__abstractmethods__)
        raise ValueError(
            f"a task must have every attribute and method, but {task.__name__} lacks {', '.join(missing)}."
        )
    if "loss" not in [metric.name for metric in task.metrics]:
        raise ValueError(f"one metric of a task must be 'loss', but {task.__name__} has none of that name.")
    if not issubclass(task.Parameters, SpecModel):
        raise TypeError(
            f"the parameters of a task must be a SpecModel, but {task.__name__} has {task.Parameters.__name__}."
        )
    other = _OURS.get(task.name) or _registered.get(task.name)
    if other is not None and (other.__module__, other.__qualname__) != (task.__module__, task.__qualname__):
        raise ValueError(f"the name '{task.name}' is taken by {other.__module__}.{other.__qualname__}; choose another.")
    try:
        _ = task().can_fuse
    except Exception as error:
        raise ValueError(
            f"a task must be made without parameters, but {task.__name__} fails: {type(error).__name__}: {error}"
        ) from error


def adopt_task(task: type[Task], source: str) -> None:
    """Take over a task that another process registered, with the hash of its source there."""
    _registered[task.name], _sources[task.name] = task, source
    _load.cache_clear()


def registered_tasks() -> dict[str, tuple[type[Task], str]]:
    """Return the tasks that `register_task` added, with the hash of their source; what a worker must adopt."""
    return {name: (task, _sources[name]) for name, task in _registered.items()}


def task_source(name: str) -> str:
    """Return the hash of a registered task's source; empty for our own, whose source is that of this package."""
    return _sources.get(name, "")


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted."""
    return tuple(sorted({*_OURS, *_registered}))


def task_class(name: str) -> type[Task]:
    """Return the class of a task.

    Raises:
        UnknownTaskError: when there is no such task; the message names the nearest.
    """
    task = _registered.get(name) or _OURS.get(name)
    if task is None:
        raise UnknownTaskError(unknown_name("task", name, task_names()))
    return task


def load_task(name: str, params: Mapping[str, ParamValue] | None = None) -> Task:
    """Return the task with these parameters; a process makes each only once, so its cells share the data."""
    return _load(name, canonical_json(dict(params or {})))


@functools.lru_cache(maxsize=64)
def _load(name: str, params: str) -> Task:
    return task_class(name)(json.loads(params))
