"""Running jobs: the dispatcher that supervises, and the driver that trains."""

from service.jobs.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
