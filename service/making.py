"""Making: what a job is made by, in words, so that a change of level can be told from what else changed with it.

And what tables and figures are made by, so that none is shown that this version would make otherwise.
"""

from importlib.metadata import version

from benchmark.canonical import content_hash
from benchmark.fingerprint import own_making, source_hash
from benchmark.plugins import Plugin, loaded_plugins
from service.build import build, revision_at


def making(device: str) -> dict[str, str]:
    """Return what this process makes records by: versions, revisions and sources, those of plug-ins among them.

    Args:
        device: on which it trains, by name.
    """
    built = build()
    ours = {"rhobust": built.version, "revision": built.revision, "python": built.python, "device": device}
    theirs = {
        f"plug-in {plugin.distribution} {what}": value
        for plugin in loaded_plugins()
        for what, value in (("version", plugin.version), ("revision", _revision(plugin)))
    }
    return {name: value for name, value in (ours | own_making() | theirs).items() if value is not None}


def rendering() -> str:
    """Return a hash of what this process computes and draws tables and figures by: sources and versions."""
    libraries = {name: version(name) for name in ("matplotlib", "pandas", "plotly", "scipy")}
    return content_hash({**own_making(), **libraries, "service": source_hash(("service",))})


def _revision(plugin: Plugin) -> str | None:
    return revision_at(plugin.project) if plugin.project is not None else plugin.commit
