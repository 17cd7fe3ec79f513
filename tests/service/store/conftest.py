"""What tests of the store share."""

from collections.abc import Iterator

import pytest

from service.store import Store
from service.store.database import Database
from tests.service.store.clocks import TurnedClock, turned_clock


@pytest.fixture
def clock_and_store(own_database_url: str) -> Iterator[tuple[TurnedClock, Store]]:
    """A clock that the test turns, and an open store that goes by it."""
    database = Database(own_database_url)
    clock = turned_clock(database, own_database_url)
    with Store(database) as store:
        yield clock, store
