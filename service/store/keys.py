"""API keys and the sessions of browsers that signed in with one: kept by their hashes, judged by the database's clock.

A hash without salt and rounds is enough, for what is hashed has 256 random bits. It is looked up by the key's public id
and compared in constant time, also where there is none of that id: the time of an answer tells nothing.
"""

import contextlib
import hashlib
import hmac
import secrets
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, delete, insert, or_, select, update

from service.keys import SECRET_BYTES, KeyState, Scope, key_id_of
from service.store import checks
from service.store.entities import ApiKey
from service.store.errors import InvalidValueError, KeyRefusedError, NotFoundError, StoreError
from service.store.part import Part, insert_into
from service.store.tables import api_key, db_now, session

LAST_USED_EVERY_S = 60.0
MAX_LIFETIME_S = 100 * 365 * 86_400.0
NO_HASH = bytes(32)


class Keys(Part):
    """API keys and sessions."""

    def add_key(self, key: str, label: str, scope: Scope, *, expires_in_s: float | None = None) -> ApiKey:
        """Let a new key in from now on.

        Args:
            key: of `service.keys.new_key`; only its hash is kept.
            label: whose it is and what for, for people.
            scope: what it allows.
            expires_in_s: for how long; for ever when None.

        Raises:
            InvalidValueError: if a value cannot be kept, or there is a key of that id.
        """
        key_id = key_id_of(key)
        if key_id is None:
            raise InvalidValueError("an API key must be rhb_, an id of 10 characters, _ and a secret of 43.")
        if not label.strip():
            raise InvalidValueError("the label of a key must say whose it is, but got an empty one.")
        if expires_in_s is not None and not 0 < expires_in_s <= MAX_LIFETIME_S:
            raise InvalidValueError(f"a key must expire within 100 years, but got expires_in_s={expires_in_s!r}.")
        with self._database.write() as connection:
            statement = insert_into(connection, api_key).values(
                id=key_id,
                sha256=_sha256(key),
                label=checks.text("label", label, limit=checks.MAX_LABEL),
                scope=str(Scope(scope)),
                created_at=db_now(),
                expires_at=None if expires_in_s is None else db_now() + expires_in_s,
            )
            added = connection.execute(statement.on_conflict_do_nothing().returning(api_key.c.id)).first()
            if added is None:
                raise InvalidValueError(f"there is an API key {key_id} already.")
            return _read(connection, key_id)

    def authenticate(self, key: str) -> ApiKey:
        """Return what is known of a key that lets somebody in.

        Raises:
            KeyRefusedError: if it is unknown, revoked or expired.
        """
        key_id = key_id_of(key) or ""
        with self._database.read() as connection:
            row = connection.execute(_keys().where(api_key.c.id == key_id)).mappings().one_or_none()
        if not hmac.compare_digest(_sha256(key), bytes(row["sha256"]) if row else NO_HASH) or row is None:
            raise KeyRefusedError("the API key is not known here: it is wrong, or of another server.")
        return self._let_in(row)

    def api_keys(self) -> list[ApiKey]:
        """Return all keys, oldest first; those that were revoked or have expired too."""
        with self._database.read() as connection:
            rows = connection.execute(_keys().order_by(api_key.c.created_at, api_key.c.id)).mappings()
            return [_from_row(row) for row in rows]

    def has_keys(self) -> bool:
        """Whether a key was ever made: from then on nobody is let in without one, whatever became of it."""
        with self._database.read() as connection:
            return connection.execute(select(api_key.c.id).limit(1)).first() is not None

    def has_usable_key(self, scope: Scope = Scope.READ) -> bool:
        """Whether there is a key that lets somebody in to do what needs a scope."""
        return any(key.state is KeyState.USABLE and key.scope.includes(scope) for key in self.api_keys())

    def revoke_key(self, key_id: str) -> ApiKey:
        """Let a key, and every browser that signed in with it, in no more; nothing happens if that was so before.

        Raises:
            NotFoundError: if there is no key of that id.
        """
        checks.text("key_id", key_id)
        with self._database.write() as connection:
            living = and_(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
            connection.execute(update(api_key).where(living).values(revoked_at=db_now()))
            connection.execute(delete(session).where(session.c.key_id == key_id))
            return _read(connection, key_id)

    def open_session(self, key_id: str, lifetime_s: float) -> str:
        """Return a new secret by which `session_key` knows a key for a while; sessions that have ended are forgotten.

        Raises:
            NotFoundError: if there is no key of that id.
        """
        secret = f"rhb_session_{secrets.token_urlsafe(SECRET_BYTES)}"  # masked in logs as keys are
        with self._database.write() as connection:
            _read(connection, key_id)
            connection.execute(delete(session).where(session.c.expires_at <= db_now()))
            expires_at = db_now() + checks.seconds("lifetime_s", lifetime_s)
            connection.execute(insert(session).values(sha256=_sha256(secret), key_id=key_id, expires_at=expires_at))
        return secret

    def session_key(self, secret: str) -> ApiKey:
        """Return the key of a session; raises KeyRefusedError if the session or its key lets nobody in."""
        # Nothing is compared here that one could guess byte by byte: the index sees the hash of what was sent.
        living = and_(session.c.sha256 == _sha256(secret), session.c.expires_at > db_now())
        statement = _keys().join(session, session.c.key_id == api_key.c.id).where(living)
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise KeyRefusedError("the session has ended.")
        return self._let_in(row)

    def close_session(self, secret: str) -> None:
        """End a session; nothing happens if it is not there."""
        with self._database.write() as connection:
            connection.execute(delete(session).where(session.c.sha256 == _sha256(secret)))

    def _let_in(self, row: RowMapping) -> ApiKey:
        key = _from_row(row)
        if key.state is not KeyState.USABLE:
            raise KeyRefusedError(f"the API key {key.id} {_REFUSALS[key.state]}.")
        if key.last_used_at is None or row["now"] - key.last_used_at >= LAST_USED_EVERY_S:
            with contextlib.suppress(StoreError):  # a database that cannot be written can still be read
                self._note_use(key.id)
        return key

    def _note_use(self, key_id: str) -> None:
        used = api_key.c.last_used_at
        with self._database.write() as connection:
            stale = or_(used.is_(None), used <= db_now() - LAST_USED_EVERY_S)
            connection.execute(update(api_key).where(api_key.c.id == key_id, stale).values(last_used_at=db_now()))


_REFUSALS = {KeyState.REVOKED: "was revoked", KeyState.EXPIRED: "has expired"}


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _keys() -> Select[Any]:
    return select(api_key, db_now().label("now"))


def _read(connection: Connection, key_id: str) -> ApiKey:
    row = connection.execute(_keys().where(api_key.c.id == key_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no API key {key_id!r}.")
    return _from_row(row)


def _from_row(row: RowMapping) -> ApiKey:
    state = KeyState.USABLE
    if row["revoked_at"] is not None:
        state = KeyState.REVOKED
    elif row["expires_at"] is not None and row["expires_at"] <= row["now"]:
        state = KeyState.EXPIRED
    return ApiKey(
        id=row["id"],
        label=row["label"],
        scope=Scope(row["scope"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        state=state,
    )
