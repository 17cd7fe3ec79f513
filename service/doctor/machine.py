"""Checks of the machine: Python, packages, torch, Ray, the data folder and its disk."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from service.doctor.findings import Finding, ok, problem, warning
from service.environment import EnvironmentProblemError, check_ray
from service.jobs.child import child_environment
from service.settings import Settings

IMPORT_S = 120.0
LITTLE_BYTES, TOO_LITTLE_BYTES = 2 * 1024**3, 200 * 1024**2


def examine_machine(settings: Settings) -> Iterator[Finding]:
    """Yield what the checks of the machine find."""
    yield python()
    yield packages(settings)
    yield torch_device()
    yield ray(settings)
    yield data_folder(settings)
    yield disk(settings)


def python() -> Finding:
    """Check the version of Python against what the package needs."""
    found, needed = platform.python_version(), metadata("rhobust")["Requires-Python"]
    if SpecifierSet(needed).contains(found, prereleases=True):
        return ok("python", f"{found} at {sys.executable}")
    return problem("python", f"{needed} is needed, but this is {found}.", "Make the environment with a newer Python.")


def packages(settings: Settings) -> Finding:
    """Check the versions of the packages against what ours declares."""
    extra = "postgres" if settings.store_url.startswith("postgres") else ""
    needed = [Requirement(line) for line in requires("rhobust") or ()]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]
    wrong = [said for one in needed if (said := _shortcoming(one)) is not None]
    if wrong:
        named = f"'rhobust[{extra}]'" if extra else "rhobust"
        return problem("packages", f"{'; '.join(wrong)}.", f"Bring them to what is needed: pip install -U {named}")
    return ok("packages", f"rhobust {version('rhobust')}; all {len(needed)} packages that it needs")


def _shortcoming(needed: Requirement) -> str | None:
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is missing"
    is_fine = needed.specifier.contains(found, prereleases=True)
    return None if is_fine else f"{needed.name}{needed.specifier} is needed, but {found} is here"


def torch_device() -> Finding:
    """Check that torch computes on the device that a job would get."""
    try:
        import torch  # whose loading is what is checked

        from benchmark.choice import device_name
        from benchmark.execution import device_for

        device = device_for(use_gpu=True)
        torch.ones(8, device=device).sum().item()
        return ok("torch", f"{version('torch')} on {device.type}: {device_name(device)}")
    except (ImportError, OSError, RuntimeError) as error:
        return problem(
            "torch", f"it does not compute: {_first_line(error)}.", "Install a torch that fits this machine."
        )


def ray(settings: Settings) -> Finding:
    """Check that Ray can be imported and that the cluster of the settings, if any, answers and can be entered."""
    try:
        check_ray(settings)
    except EnvironmentProblemError as error:
        return problem("ray", str(error), "Jobs are not run before that is done.")
    command = [sys.executable, "-c", "from ray import tune"]  # a process of its own: Ray stays out of this one
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter)
            command, env=child_environment(os.environ), capture_output=True, text=True, timeout=IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return problem("ray", f"it is not imported within {IMPORT_S:g} s.", "Look whether the machine is overloaded.")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return problem("ray", f"it cannot be imported: {last}.", "Install it anew: pip install 'ray[tune]'")
    if not settings.ray_address:
        return ok("ray", f"{version('ray')}; a local one for each job")
    if not _has_token(Path.home()):
        remedy = "Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or put the cluster's token into ~/.ray/auth_token."
        return problem("ray", f"there is no token for the cluster at {settings.ray_address}.", remedy)
    return ok("ray", f"{version('ray')}; the cluster at {settings.ray_address} answers")


def _has_token(home: Path) -> bool:
    """Whether there is a token where Ray looks for one."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(named) if named else home / ".ray" / "auth_token").is_file()


def data_folder(settings: Settings) -> Finding:
    """Check that the data folder can be written, or made."""
    folder = settings.data_dir.expanduser().absolute()
    existing = _nearest(folder)
    remedy = "Set RHOBUST_DATA_DIR to a folder that can be written."
    try:
        with tempfile.TemporaryFile(dir=existing):  # it has no name, and is gone with this block
            pass
    except OSError as error:
        return problem("data folder", f"{existing} cannot be written: {error.strerror}.", remedy)
    return ok(
        "data folder", str(folder) if existing == folder else f"{folder} is made by the first command that uses it"
    )


def disk(settings: Settings) -> Finding:
    """Check the free space where data and scratch folders are."""
    places = {_nearest(settings.data_dir.expanduser().absolute()), Path(tempfile.gettempdir())}
    free, place = min((shutil.disk_usage(place).free, str(place)) for place in places)
    message = f"{free / 1024**3:,.1f} GiB are free at {place}"
    remedy = "Free some; `rhobust prune` deletes old jobs."
    if free < TOO_LITTLE_BYTES:
        return problem("disk", f"{message}.", remedy)
    return warning("disk", f"{message}.", remedy) if free < LITTLE_BYTES else ok("disk", message)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next((place for place in (folder, *folder.parents) if os.path.exists(place)), folder)  # noqa: PTH110  (Path.exists raises where it may not look)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
