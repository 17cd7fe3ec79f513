"""Fingerprints: versions, device, execution and source, which decide whether two records are of the same making."""

import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmark.canonical import content_hash
from benchmark.plugins import loaded_plugins
from benchmark.replay import replay_number
from benchmark.tasks import task_source
from optimizers import optimizer_source

SOURCE_PACKAGES = ("benchmark", "optimizers")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What trained a record; the key is the hash of the rest. `replay` is empty for all but replays."""

    torch: str
    numpy: str
    data: str
    device: str
    precision: str
    execution: str
    source: str
    replay: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the parts as plain values; what is hashed."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "replay" or self.replay}

    @property
    def key(self) -> str:
        """Hash of the parts."""
        return content_hash(self.to_dict())


def fingerprint(
    task: str, rule: str, data_version: str, *, device: torch.device, precision: str, execution: str
) -> Fingerprint:
    """Return the fingerprint under which this process would train cells of a task with an optimizer.

    Args:
        task: its name; the source of one that was added counts beside that of our packages.
        rule: name of the optimizer, of which the same holds.
        data_version: checksum of its data.
        device: only its type counts.
        precision: of the forward pass (`fp32`, `bf16` or `fp16`).
        execution: `sequential` or `fused`.
    """
    return Fingerprint(
        torch=torch.__version__,
        numpy=np.__version__,
        data=data_version,
        device=device.type,
        precision=precision,
        execution=execution,
        source=source_hash(SOURCE_PACKAGES) + task_source(task) + optimizer_source(rule),
        replay=str(replay_number() or ""),
    )


def own_making() -> dict[str, str]:
    """Return what of a fingerprint is the same for all cells that this process would train: versions and source."""
    plugins = {f"plug-in {plugin.distribution}": plugin.source for plugin in loaded_plugins()}
    return {"torch": torch.__version__, "numpy": np.__version__, "source": source_hash(SOURCE_PACKAGES), **plugins}


@functools.cache
def source_hash(packages: tuple[str, ...]) -> str:
    """Return the hash of every Python file of some packages: a working copy changes without its version number."""
    digest = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"the package '{package}' must be importable to be fingerprinted.", name=package)
        root = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]
