"""API keys and sessions: hashed, scoped, ended by time and by revocation, on both databases."""

import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from service.keys import KeyState, Scope, new_key
from service.store import (
    InvalidValueError,
    KeyRefusedError,
    NotFoundError,
    QueueFullError,
    SchemaError,
    Store,
    downgrade,
)
from service.store.database import Database
from tests.service.store.clocks import START_S, TurnedClock, turned_clock
from tests.service.store.samples import new_job

DAY_S = 86_400.0
SOME_KEY = f"rhb_0123456789_{'k' * 43}"  # a new one would name the cases of a table otherwise in each process


@pytest.fixture
def turned(own_database_url: str) -> Iterator[tuple[Store, TurnedClock]]:
    """A store whose clock the test turns."""
    database = Database(own_database_url)
    clock = turned_clock(database, own_database_url)
    with Store(database) as store:
        yield store, clock


def everything_stored(store: Store) -> str:
    database = store._database
    with database.read() as connection:
        rows = [
            [bytes(value) if isinstance(value, memoryview) else value for value in row]
            for table in ("api_key", "session")
            for row in connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608  (names of ours)
        ]
    return repr(rows)


def test_a_key_is_known_again_and_stored_nowhere(store: Store) -> None:
    assert not store.has_keys()
    key = new_key()
    added = store.add_key(key, "ann's laptop", Scope.SUBMIT)
    assert (added.label, added.scope, added.state, added.expires_at) == ("ann's laptop", "submit", "usable", None)
    assert store.authenticate(key).id == added.id == key.split("_")[1]
    assert [one.id for one in store.api_keys()] == [added.id]
    assert store.has_keys()
    secret = store.open_session(added.id, DAY_S)
    assert store.session_key(secret).id == added.id
    kept = everything_stored(store)
    assert added.id in kept
    assert key not in kept
    assert key[-43:] not in kept
    assert secret not in kept


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "rhb_",
        "Bearer",
        SOME_KEY,
        SOME_KEY + "x",
        "\x00" * 58,
        "é" * 58,
        "\udcff" * 58,
    ],
)
def test_an_unknown_key_is_refused(store: Store, wrong: str) -> None:
    store.add_key(new_key(), "somebody", Scope.ADMIN)
    with pytest.raises(KeyRefusedError, match="is not known here"):
        store.authenticate(wrong)
    with pytest.raises(KeyRefusedError, match="session has ended"):
        store.session_key(wrong)


def test_every_part_of_a_key_counts(store: Store) -> None:
    key, other = new_key(), new_key()
    store.add_key(key, "one", Scope.READ)
    store.add_key(other, "other", Scope.ADMIN)
    for forged in (key[:-1] + ("A" if key[-1] != "A" else "B"), key[:14] + other[14:], other[:14] + key[14:]):
        with pytest.raises(KeyRefusedError, match="is not known here"):
            store.authenticate(forged)


def test_hashes_are_compared_in_constant_time_also_for_unknown_ids(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    plain = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return plain(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    key = new_key()
    store.add_key(key, "somebody", Scope.READ)
    store.authenticate(key)
    for wrong in (new_key(), key[:-1] + "-", "nonsense"):
        with pytest.raises(KeyRefusedError, match="is not known here"):
            store.authenticate(wrong)
    assert compared == [(32, 32)] * 4


def test_a_key_ends_with_its_time_and_so_does_its_session(turned: tuple[Store, TurnedClock]) -> None:
    store, clock = turned
    key = new_key()
    added = store.add_key(key, "for a day", Scope.ADMIN, expires_in_s=DAY_S)
    assert added.expires_at == pytest.approx(START_S + DAY_S)
    secret = store.open_session(added.id, 2 * DAY_S)
    clock.turn(DAY_S - 1)
    assert store.session_key(secret).scope is Scope.ADMIN
    assert store.has_usable_key(Scope.ADMIN)
    clock.turn(1)
    with pytest.raises(KeyRefusedError, match=f"{added.id} has expired"):
        store.authenticate(key)
    with pytest.raises(KeyRefusedError, match=f"{added.id} has expired"):
        store.session_key(secret)
    assert [one.state for one in store.api_keys()] == [KeyState.EXPIRED]
    assert store.has_keys(), "a key that has expired opens nothing"
    assert not store.has_usable_key()


def test_a_session_ends_before_its_key_and_is_forgotten(turned: tuple[Store, TurnedClock]) -> None:
    store, clock = turned
    key = store.add_key(new_key(), "somebody", Scope.READ)
    secret, left = store.open_session(key.id, 60), store.open_session(key.id, 60)
    store.close_session(left)
    store.close_session(left)
    with pytest.raises(KeyRefusedError, match="session has ended"):
        store.session_key(left)
    assert store.session_key(secret).id == key.id
    clock.turn(61)
    with pytest.raises(KeyRefusedError, match="session has ended"):
        store.session_key(secret)
    store.open_session(key.id, 60)
    with store._database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM session")).scalar_one() == 1


def test_a_revoked_key_and_its_sessions_let_nobody_in(turned: tuple[Store, TurnedClock]) -> None:
    store, clock = turned
    key = new_key()
    added = store.add_key(key, "somebody", Scope.ADMIN)
    secret = store.open_session(added.id, DAY_S)
    first = store.revoke_key(added.id)
    clock.turn(5)
    assert store.revoke_key(added.id) == first, "revoking again changes nothing"
    assert first.state is KeyState.REVOKED
    assert first.revoked_at == pytest.approx(START_S)
    with pytest.raises(KeyRefusedError, match=f"{added.id} was revoked"):
        store.authenticate(key)
    with pytest.raises(KeyRefusedError, match="session has ended"):
        store.session_key(secret)
    assert store.has_keys()
    assert not store.has_usable_key()
    with pytest.raises(NotFoundError, match="no API key 'nobody'"):
        store.revoke_key("nobody")
    with pytest.raises(NotFoundError, match="no API key 'nobody'"):
        store.open_session("nobody", 1)


def test_the_last_use_is_noted_once_a_minute(
    turned: tuple[Store, TurnedClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = turned
    key = new_key()
    added = store.add_key(key, "somebody", Scope.READ)
    assert added.last_used_at is None
    seen = []
    for pause in (0, 59, 2, 30):
        clock.turn(pause)
        store.authenticate(key)
        seen.append(store.api_keys()[0].last_used_at)
    assert seen == pytest.approx([START_S, START_S, START_S + 61, START_S + 61], abs=0.1, rel=0)
    clock.turn(60)

    def unavailable() -> None:
        raise KeyRefusedError("stands for any error of the store")

    monkeypatch.setattr(store._database, "write", unavailable)
    assert store.authenticate(key).id == added.id, "who may read is let in though nothing can be written"


@pytest.mark.parametrize(
    ("key", "label", "expires_in_s", "message"),
    [
        ("rhb_short", "x", None, "must be rhb_, an id of 10 characters, _ and a secret of 43"),
        (SOME_KEY, " ", None, "must say whose it is"),
        (SOME_KEY, "x" * 201, None, "at most 200 characters"),
        (SOME_KEY, "\x00", None, "must not hold NUL"),
        (SOME_KEY, "x", 0.0, "within 100 years"),
        (SOME_KEY, "x", float("nan"), "within 100 years"),
        (SOME_KEY, "x", 1e300, "within 100 years"),
    ],
)
def test_what_is_no_key_is_not_kept(
    store: Store, key: str, label: str, expires_in_s: float | None, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        store.add_key(key, label, Scope.READ, expires_in_s=expires_in_s)
    assert not store.has_keys()


def test_an_id_is_used_once(store: Store) -> None:
    key = new_key()
    store.add_key(key, "one", Scope.READ)
    with pytest.raises(InvalidValueError, match=r"an API key \w+ already"):
        store.add_key(key[:14] + new_key()[14:], "other", Scope.ADMIN)
    assert store.authenticate(key).scope is Scope.READ


def test_going_back_to_a_version_without_keys_is_refused_once_there_is_one(own_database_url: str) -> None:
    with Store.open(own_database_url) as store:
        store.add_key(new_key(), "somebody", Scope.READ)
    with pytest.raises(SchemaError, match="would lose every API key; nothing was changed"):
        downgrade(own_database_url, "0003")
    with Store.open(own_database_url) as store:
        assert store.has_keys()


def test_one_submitter_has_so_many_queued_jobs_and_a_repeated_call_is_none(store: Store) -> None:
    mine, other = (new_job(submitted_by=name) for name in ("me", "you"))
    first, _ = store.submit(mine, max_queued=2, idempotency_key="a")
    store.submit(mine, max_queued=2)
    with pytest.raises(QueueFullError, match="me may have at most 2 queued jobs, and has 2"):
        store.submit(mine, max_queued=2, idempotency_key="b")
    assert store.submit(mine, max_queued=2, idempotency_key="a") == (first, False)
    assert store.submit(other, max_queued=2)[1]
    store.cancel(first.id)
    assert store.submit(mine, max_queued=2, idempotency_key="b")[1], "the refused call left its key free"


@pytest.mark.slow
def test_the_limit_holds_when_many_submit_at_once(store: Store) -> None:
    def submit(number: int) -> bool:
        try:
            return store.submit(new_job(submitted_by="me"), max_queued=5, idempotency_key=str(number))[1]
        except QueueFullError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(40))) == 5
    assert len(store.jobs()) == 5
