"""A dispatcher with short leases, as a process: python -m tests.service.jobs.short_leases DRIVER_MODULE"""

import signal
import sys
from types import FrameType

from service.environment import open_store
from service.jobs import Dispatcher
from service.settings import Settings
from service.telemetry import set_up_logging

LEASE_S, HEARTBEAT_S = 5.0, 0.5


def main() -> None:
    """Run jobs until a signal says stop."""
    settings = Settings()
    set_up_logging(settings, level="INFO")
    with open_store(settings) as store:
        dispatcher = Dispatcher(
            store, settings, n_cpus=2, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S, driver_module=sys.argv[1]
        )

        def stop(number: int, frame: FrameType | None) -> None:
            dispatcher.stop()

        signal.signal(signal.SIGTERM, stop)
        dispatcher.run()


if __name__ == "__main__":
    main()
