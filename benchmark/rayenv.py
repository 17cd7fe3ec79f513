"""How Ray is to be run: options, and the environment that it reads when it is imported."""

import os
from collections.abc import MutableMapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Which Ray to use.

    Attributes:
        address: of a running cluster; None starts a local Ray that ends with the job.
        n_cpus: CPUs that a local Ray offers; None offers all.
    """

    address: str | None = None
    n_cpus: int | None = None


# Ray reads these once, on import.
_ENVIRONMENT = {
    # Every port of a local Ray on loopback only; documented for other systems, and heeded on Linux.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # An explicit address does not turn token authentication on by itself.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A pack with 0 GPUs must not have the GPUs hidden from it by a warning that Ray prints for each worker.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The records in the store are the truth: Tune writes no logs and no snapshots that we would read.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def prepare_ray_environment(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what Ray reads on import. Call it before `benchmark.raytune` is imported."""
    environment.update(_ENVIRONMENT)
