"""The store: jobs, their queue and their records in one database."""

from types import TracebackType
from typing import Self

from service.store import migrate
from service.store.alerts import Alerts
from service.store.baselines import Baselines
from service.store.calibrating import Calibrating
from service.store.census import Counting
from service.store.database import Database
from service.store.deliveries import Deliveries
from service.store.dispatchers import Dispatchers
from service.store.estimating import Estimating
from service.store.exporting import Exporting
from service.store.inspecting import Inspecting
from service.store.jobs import Jobs
from service.store.judging import Judging
from service.store.keys import Keys
from service.store.listing import Listing
from service.store.pruning import Pruning
from service.store.queue import Queue
from service.store.reading import Reading
from service.store.repeating import Repeating
from service.store.scheduled_runs import ScheduledRuns
from service.store.schedules import Schedules
from service.store.submitting import Submitting
from service.store.watching import Watching
from service.store.webhooks import Webhooks
from service.store.writing import Writing


class Store(
    Submitting,
    Jobs,
    Listing,
    Watching,
    Queue,
    Writing,
    Reading,
    Repeating,
    Exporting,
    Dispatchers,
    Estimating,
    Pruning,
    Inspecting,
    Counting,
    Keys,
    Webhooks,
    Deliveries,
    Schedules,
    ScheduledRuns,
    Judging,
    Alerts,
    Baselines,
    Calibrating,
):
    """The one place that knows the database. May be used from several threads; each process opens its own.

    Args:
        database: a database that has the schema; `Store.open` makes sure of that.
    """

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> Self:
        """Open the store of a database.

        Args:
            url: `sqlite:///FILE` or `postgresql://...`.
            create: make a SQLite file that is not there yet, or is empty; any number of processes may do so at once.

        Raises:
            SchemaError: if the database has another schema than this version needs.
            UnavailableError: if it cannot be reached or written.
            InvalidValueError: if the address is of no database that is known here.
        """
        database = Database(url)
        try:
            if create and database.path is not None and (not database.path.exists() or migrate.is_empty(database)):
                migrate.upgrade(url)
            migrate.require_schema(database)
            with database.write():  # a file that cannot be written is told now, not by the first job
                pass
        except BaseException:
            database.close()
            raise
        return cls(database)

    @property
    def address(self) -> str:
        """The address of the database, without its password."""
        return self._database.shown

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
