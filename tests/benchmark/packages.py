"""Packages that offer something to us, as an installer would leave them in a folder."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import pytest

import benchmark.plugins
from benchmark.tasks import registry as tasks_registry
from optimizers import registry as optimizers_registry

Source = Literal["editable", "of a repository", "of an index"]
SOURCES: tuple[Source, ...] = get_args(Source)
RULE = """
from optimizers import rule_info

def turned(seen):
    return [{factor} * g for g in seen.gradients]

TURNED = rule_info("{name}", turned, title="Turned", rho=0.1, normalised={normalised})
"""


def write_package(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    *,
    optimizers: Mapping[str, str] | None = None,
    tasks: Mapping[str, str] | None = None,
    version: str = "1.0",
) -> None:
    """Write the modules of a package, and what an installer notes of it.

    Args:
        folder: on the path.
        name: of the package.
        modules: text by path in the folder.
        optimizers: objects by the name of their entry points.
        tasks: likewise.
        version: of it.
    """
    for path, text in modules.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    notes = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    notes.mkdir(parents=True, exist_ok=True)
    (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = {"rhobust.optimizers": optimizers or {}, "rhobust.tasks": tasks or {}}
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (notes / "entry_points.txt").write_text("\n".join(lines))
    files = [*modules, f"{notes.name}/METADATA", f"{notes.name}/entry_points.txt", f"{notes.name}/RECORD"]
    (notes / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def write_rule(
    folder: Path, name: str = "turned-rule", rule: str = "turned", factor: float = 1.0, *, normalised: bool = True
) -> None:
    """Write a package with one rule, in a module of the package's name; a factor counts where it is not normalised."""
    module = name.replace("-", "_")
    text = RULE.format(name=rule, factor=factor, normalised=normalised)
    write_package(folder, name, {f"{module}.py": text}, optimizers={rule: f"{module}:TURNED"})


def write_source(folder: Path, kind: Source, project: Path, commit: str) -> None:
    """Write what an installer notes of where the package of `write_rule` came from.

    Args:
        folder: on the path.
        kind: of the source.
        project: folder of the source, of an editable install.
        commit: that is installed, of a repository.
    """
    noted: dict[Source, dict[str, object]] = {
        "editable": {"url": project.as_uri(), "dir_info": {"editable": True}},
        "of a repository": {"url": "https://example.com/mine.git", "vcs_info": {"vcs": "git", "commit_id": commit}},
        "of an index": {},
    }
    (folder / "turned_rule-1.0.dist-info" / "direct_url.json").write_text(json.dumps(noted[kind]))


@contextmanager
def fresh_process(folder: Path) -> Iterator[None]:
    """Have a folder on the path, and nothing of it known yet, as in a process that begins."""
    with pytest.MonkeyPatch.context() as patch:
        for registry in (tasks_registry, optimizers_registry):
            patch.setattr(registry, "_registered", {})
            patch.setattr(registry, "_sources", {})
        patch.setattr(benchmark.plugins, "_loaded", {})
        patch.syspath_prepend(folder)
        before = set(sys.modules)
        tasks_registry._load.cache_clear()
        yield
        tasks_registry._load.cache_clear()
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
