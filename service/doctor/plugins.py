"""Checks of the plug-ins: each that is allowed is loaded, and those that are installed and not allowed are named."""

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from benchmark import PluginError, load_plugins
from benchmark.plugins import Plugin, installed_plugins
from service.doctor.findings import Finding, ok, problem
from service.settings import Settings


def examine_plugins(settings: Settings) -> Iterator[Finding]:
    """Yield what the checks of the plug-ins find; one that is not allowed is not imported."""
    allowed = sorted({str(canonicalize_name(name)) for name in settings.plugins})
    for name in allowed:
        try:
            (plugin,) = load_plugins([name])
            yield ok("plug-ins", _offer(plugin))
        except PluginError as error:
            yield problem("plug-ins", str(error), "No server or dispatcher starts before that is done.")
    others = [name for name in installed_plugins() if name not in allowed]
    if others:
        yield ok("plug-ins", f"not allowed by RHOBUST_PLUGINS, and so not loaded: {', '.join(others)}")
    elif not allowed:
        yield ok("plug-ins", "none is installed and none allowed")


def _offer(plugin: Plugin) -> str:
    parts = [("optimizers", plugin.optimizers), ("tasks", plugin.tasks)]
    shown = "; ".join(f"{kind} {', '.join(names)}" for kind, names in parts if names)
    return f"{plugin.distribution} {plugin.version}: {shown}"
