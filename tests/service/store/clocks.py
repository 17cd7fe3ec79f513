"""A clock that a test turns: the database's own one, replaced in the database."""

import sqlite3
from collections.abc import Callable

import psycopg
from sqlalchemy import event

from service.store.database import Database

START_S = 1_000_000.0
_JULIAN_DAY_OF_1970 = 2440587.5


class TurnedClock:
    """Seconds that pass only when they are told to.

    Args:
        tell: is told the time whenever it was turned.
    """

    def __init__(self, tell: Callable[[float], object] = lambda _: None) -> None:
        self._tell = tell
        self.now = START_S

    def turn(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
        self._tell(self.now)


def turned_clock(database: Database, url: str) -> TurnedClock:
    """Replace the clock of a database, which the test must own, before its first connection."""
    return _turned_sqlite(database) if database.is_sqlite else _turned_postgresql(url)


def _turned_sqlite(database: Database) -> TurnedClock:
    clock = TurnedClock()

    @event.listens_for(database.engine, "connect")
    def _replace(connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("julianday", 1, lambda _: clock.now / 86400 + _JULIAN_DAY_OF_1970)
        connection.execute("PRAGMA synchronous = OFF")

    return clock


def _turned_postgresql(url: str) -> TurnedClock:
    def tell(now: float) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE public.turned_clock SET now_s = %s", (now,))

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.turned_clock AS SELECT 0.0::double precision AS now_s")
        connection.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE "
            "AS 'SELECT to_timestamp(now_s) FROM public.turned_clock'"
        )
        name = psycopg.sql.Identifier(connection.info.dbname)
        # the system's schema is searched first unless it is named
        connection.execute(psycopg.sql.SQL("ALTER DATABASE {} SET search_path = public, pg_catalog").format(name))
    tell(START_S)
    return TurnedClock(tell)
