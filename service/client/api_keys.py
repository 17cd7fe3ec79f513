"""The API keys of a server."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, SecretStr

from service.client.answers import Answer
from service.client.connection import path_of
from service.client.listing import Listing
from service.client.server import Server
from service.keys import KeyState, Scope


class ApiKey(Answer):
    """Who may call a server.

    Attributes:
        id: its id, which is no secret.
        label: whose it is and what for.
        scope: what it allows.
        state: whether it lets anybody in.
        created_at: when it was made.
        expires_at: until when it lets somebody in; None for ever.
        revoked_at: when it was revoked; None when it was not.
        last_used_at: to within a minute; None when it never was.
        key: itself, to be sent by clients; only of the one that `create` returns.
    """

    id: str
    label: str
    scope: Scope
    state: KeyState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    key: SecretStr | None = Field(default=None, repr=False)


class ApiKeys:
    """The API keys of a server; every call needs the scope admin. The first is made on the server's machine."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def create(self, label: str, scope: Scope | str = Scope.SUBMIT, *, expires_in_s: int | None = None) -> ApiKey:
        """Make a key; the answer alone holds it. It is sent once: where no answer comes, look at `list`.

        Args:
            label: whose it is and what for.
            scope: read looks, submit also changes, admin also manages keys and webhooks.
            expires_in_s: for how long it lets somebody in; for ever when None.
        """
        body: Mapping[str, Any] = {"label": label, "scope": scope, "expires_in_s": expires_in_s}
        return ApiKey.of(self._server.json("POST", "/keys", json=body))

    def list(self) -> Listing[ApiKey]:
        """Return the keys, oldest first; those that were revoked or have expired too."""
        columns = ("id", "label", "scope", "state", "expires", "last used")
        return Listing(self._read, columns, _row)

    def revoke(self, key_id: str) -> ApiKey:
        """Let a key, and whoever signed in with it, in no more; raises NotFoundError when there is none of that id."""
        return ApiKey.of(self._server.json("POST", f"{path_of('key', key_id)}/revoke"))

    def _read(self) -> Iterator[ApiKey]:
        return map(ApiKey.of, self._server.items("/keys"))


def _row(key: ApiKey) -> tuple[object, ...]:
    return key.id, key.label, str(key.scope), str(key.state), key.expires_at, key.last_used_at
