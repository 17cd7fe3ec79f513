"""Plug-ins: optimizers and tasks of installed packages that whoever runs us allows by name.

A package offers them as entry points of the groups `rhobust.optimizers` and `rhobust.tasks`. Nothing of a package is
imported, or even looked at, unless its name is given to `load_plugins`.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from benchmark.errors import PluginError
from benchmark.plugin_source import editable_project, noted_commit, plugin_source
from benchmark.tasks import Task, adopt_task, check_task, registered_tasks
from optimizers import (
    OptimizerInfo,
    adopt_optimizer,
    check_optimizer_name,
    registered_optimizers,
)

OPTIMIZERS, TASKS = GROUPS = ("rhobust.optimizers", "rhobust.tasks")
_loaded: dict[str, "Plugin"] = {}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A package whose optimizers and tasks specs may name.

    Attributes:
        distribution: name under which it is installed.
        version: of it, as it says.
        source: hash of its files.
        project: folder of its source, for an editable install; None for any other.
        commit: of the repository that it was installed from, as its installer noted it; None where it noted none.
        optimizers: names of those that it adds.
        tasks: names of those that it adds.
    """

    distribution: str
    version: str
    source: str
    project: Path | None
    commit: str | None
    optimizers: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Added:
    """What specs may name beside what is ours, as a worker must be told it.

    Attributes:
        plugins: names of packages, which the worker loads itself.
        optimizers: those that were registered one by one, with the hash of their source; they travel as they are.
        tasks: likewise.
    """

    plugins: tuple[str, ...]
    optimizers: Mapping[str, tuple[OptimizerInfo, str]]
    tasks: Mapping[str, tuple[type[Task], str]]


NOTHING_ADDED = Added((), {}, {})


def load_plugins(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Let specs name the optimizers and tasks of installed packages, in this process and in those it trains with.

    Importing a package runs its code: name only what you trust. One that is loaded already is not loaded again.

    Args:
        names: of the packages, as `pip list` shows them.

    Returns:
        What each of them offers, in the order of the names.

    Raises:
        PluginError: when some of them cannot be loaded, with the reason of each; all others are loaded.
    """
    plugins, problems = [], []
    for name in dict.fromkeys(canonicalize_name(name) for name in names):
        try:
            if name not in _loaded:
                _loaded[name] = _load(name)
            plugins.append(_loaded[name])
        except PluginError as error:
            problems.append(str(error))
    if problems:
        raise PluginError("\n".join(problems))
    return tuple(plugins)


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the packages that are loaded, by name."""
    return tuple(plugin for _, plugin in sorted(_loaded.items()))


def plugin_of(group: str, name: str) -> Plugin | None:
    """Return the package that an optimizer or a task comes from; None for ours and those registered one by one.

    Args:
        group: `OPTIMIZERS` or `TASKS`.
        name: of the optimizer or task.
    """
    for plugin in _loaded.values():
        if name in (plugin.optimizers if group == OPTIMIZERS else plugin.tasks):
            return plugin
    return None


def installed_plugins() -> tuple[str, ...]:
    """Return the names of the installed packages that offer something, allowed or not; nothing is imported."""
    found = {
        canonicalize_name(one.name) for one in distributions() if any(one.entry_points.select(group=g) for g in GROUPS)
    }
    return tuple(sorted(found))


def added() -> Added:
    """Return what this process knows beside what is ours."""
    own_optimizers = {n: one for n, one in registered_optimizers().items() if plugin_of(OPTIMIZERS, n) is None}
    own_tasks = {n: one for n, one in registered_tasks().items() if plugin_of(TASKS, n) is None}
    return Added(tuple(sorted(_loaded)), own_optimizers, own_tasks)


def adopt(known: Added) -> None:
    """Take over what another process knows.

    Raises:
        PluginError: when a package is not here, or cannot be loaded; all else is taken over.
    """
    for info, source in known.optimizers.values():
        adopt_optimizer(info, source)
    for task, source in known.tasks.values():
        adopt_task(task, source)
    load_plugins(known.plugins)


def _load(name: str) -> Plugin:
    """Import what a package offers, check all of it, and only then make it known."""
    distribution = next(iter(distributions(name=name)), None)
    if distribution is None:
        raise PluginError(f"the plug-in '{name}' is allowed but not installed here; install it, or allow it no more.")
    offered = [point for group in GROUPS for point in distribution.entry_points.select(group=group)]
    if not offered:
        raise PluginError(f"the package '{name}' is no plug-in: it has no entry point of {' or '.join(GROUPS)}.")
    title = f"{distribution.name} {distribution.version}"
    optimizers: dict[str, OptimizerInfo] = {}
    tasks: dict[str, type[Task]] = {}
    for point in offered:
        where = f"the entry point '{point.name}' ({point.value}) of the plug-in {title}"
        found = _imported(point, where)
        try:
            _check_free(point, {*optimizers} if point.group == OPTIMIZERS else {*tasks})
            if point.group == OPTIMIZERS:
                optimizers[point.name] = _optimizer(found, point.name)
            else:
                tasks[point.name] = _task(found, point.name)
        except Exception as error:
            kind = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
            raise PluginError(f"{where} cannot be used: {kind}{error}") from error
    source = _source(distribution, offered, title)
    for info in optimizers.values():
        adopt_optimizer(info, source)
    for task in tasks.values():
        adopt_task(task, source)
    return Plugin(
        distribution.name,
        distribution.version,
        source,
        editable_project(distribution),
        noted_commit(distribution),
        tuple(sorted(optimizers)),
        tuple(sorted(tasks)),
    )


def _imported(point: EntryPoint, where: str) -> object:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        words = " ".join(str(error).split())[:300]
        raise PluginError(f"{where} cannot be imported: {type(error).__name__}: {words}") from error


def _check_free(point: EntryPoint, own: Container[str]) -> None:
    other = plugin_of(point.group, point.name)
    if other is not None or point.name in own:
        title = "itself" if other is None else f"the plug-in {other.distribution} {other.version}"
        raise ValueError(f"its name is taken by {title}; one of the two must have another, or not be allowed.")


def _optimizer(found: object, name: str) -> OptimizerInfo:
    if not isinstance(found, OptimizerInfo):
        raise TypeError(f"it must be what optimizers.rule_info or class_info returned, but is {_kind(found)}.")
    _check_called(found.name, name)
    check_optimizer_name(found)
    return found


def _task(found: object, name: str) -> type[Task]:
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TypeError(f"it must be a class derived from benchmark.tasks.Task, but is {_kind(found)}.")
    check_task(found)
    _check_called(found.name, name)
    return found


def _check_called(name: str, entry: str) -> None:
    if name != entry:
        raise ValueError(f"it must have the name of what it offers, which is '{name}'.")


def _kind(found: object) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"


def _source(distribution: Distribution, offered: Iterable[EntryPoint], title: str) -> str:
    try:
        return plugin_source(distribution, [point.module for point in offered])
    except OSError as error:
        raise PluginError(f"the files of the plug-in {title} must be readable, but they are not: {error}.") from error
