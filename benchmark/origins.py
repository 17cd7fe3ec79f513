"""Where the optimizers and tasks that a spec may name come from."""

from dataclasses import dataclass
from importlib.metadata import version

from benchmark.fingerprint import SOURCE_PACKAGES, source_hash
from benchmark.plugins import OPTIMIZERS, TASKS, plugin_of
from benchmark.tasks import task_source
from optimizers import optimizer_source


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an optimizer or a task comes from.

    Attributes:
        distribution: the package; None of what was registered one by one in this process.
        version: of the package, as it says.
        builtin: whether it is one of ours.
        source: hash of the source, which is part of the fingerprint of its records.
    """

    distribution: str | None
    version: str | None
    builtin: bool
    source: str

    def __str__(self) -> str:
        return "builtin" if self.builtin else f"{self.distribution} {self.version}" if self.distribution else "own"


def optimizer_origin(name: str) -> Origin:
    """Return where an optimizer comes from."""
    return _origin(OPTIMIZERS, name, optimizer_source(name))


def task_origin(name: str) -> Origin:
    """Return where a task comes from."""
    return _origin(TASKS, name, task_source(name))


def _origin(group: str, name: str, source: str) -> Origin:
    plugin = plugin_of(group, name)
    if plugin is not None:
        return Origin(plugin.distribution, plugin.version, False, plugin.source)
    if source:
        return Origin(None, None, False, source)
    return Origin("rhobust", version("rhobust"), True, source_hash(SOURCE_PACKAGES))
