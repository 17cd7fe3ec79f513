"""How Ray is to be run: options, and the environment that it reads when it is imported."""

import os
import secrets
import sys
import tempfile
from collections.abc import MutableMapping
from dataclasses import dataclass

from benchmark.errors import RayUnavailableError


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Which Ray to use.

    Attributes:
        address: of a running cluster; None starts a local Ray that ends with the job.
        n_cpus: CPUs that a local Ray offers; None offers all.
    """

    address: str | None = None
    n_cpus: int | None = None


# A socket's path has at most 107 bytes, of which Ray's own names inside a session take up to 75.
MAX_FOLDER_LENGTH = 20

_OWN_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105  (the name of the variable)

# Whether other machines belong to it: documented for other systems, and heeded on Linux. A local Ray has every port on
# loopback only, while a driver of a cluster must find the Ray node of its machine by the address that others know.
_IS_CLUSTER = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

# Ray reads these once, on import.
_ENVIRONMENT = {
    # An explicit address does not turn token authentication on by itself.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Otherwise each worker without GPUs warns that Ray will stop hiding them; ours stay on the CPU by themselves.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The records in the store are the truth: Tune writes no logs and no snapshots that we would read.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def short_folder() -> str | None:
    """Return where Ray's folder may be made: None for the usual place, /tmp where that has too long a name."""
    return "/tmp" if len(tempfile.gettempdir()) > MAX_FOLDER_LENGTH and os.access("/tmp", os.W_OK) else None  # noqa: S108


def prepare_ray_environment(options: RayOptions, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what Ray reads on import. Call it before `benchmark.raytune` is imported.

    A local Ray gets a token of its own, known to this process and its children alone; for a cluster the token is the
    operator's, where Ray looks for it.

    Raises:
        RayUnavailableError: when this process has imported Ray before, under other settings.
    """
    wanted = {**_ENVIRONMENT, _IS_CLUSTER: "0" if options.address is None else "1"}
    if environment is os.environ and "ray" in sys.modules and not wanted.items() <= environment.items():
        raise RayUnavailableError(
            "Ray reads its settings when it is imported, and this process imported it before the first run; "
            "run something first and import ray after it, in a notebook after a restart of its kernel."
        )
    environment.update(wanted)
    if options.address is None and _OWN_TOKEN not in environment:
        environment[_OWN_TOKEN] = secrets.token_hex(32)
