"""A database that fails at the end of its transactions, when everything has been written."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection

from service.store import UnavailableError
from service.store.database import Database


class TornDatabase(Database):
    """A database that fails at the end of a transaction."""

    torn = False

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            if self.torn:
                raise UnavailableError("torn")
