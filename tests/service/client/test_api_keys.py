"""The API keys of a server, through the client."""

import pytest

from service.client import Client, NotFoundError, ProblemError, UnauthorizedError
from service.keys import KeyState, Scope, new_key
from service.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def backend() -> str:
    """One database is enough here."""
    return "sqlite"


def test_keys_are_made_listed_and_revoked(served: str, store: Store) -> None:
    admin = new_key()
    store.add_key(admin, "admin", Scope.ADMIN)
    with Client(served, api_key=admin) as client:
        made = client.keys.create("nightly", expires_in_s=3600)
        assert (made.label, made.scope, made.state) == ("nightly", Scope.SUBMIT, KeyState.USABLE)
        assert made.expires_at is not None
        assert (made.expires_at - made.created_at).total_seconds() == pytest.approx(3600, abs=1)
        assert made.key is not None
        secret = made.key.get_secret_value()
        assert secret not in repr(made)
        with Client(served, api_key=secret) as other:
            assert list(other.jobs()) == []
            with pytest.raises(ProblemError, match="needs the scope admin"):
                list(other.keys.list())
        assert [(key.label, key.key) for key in client.keys.list()] == [("admin", None), ("nightly", None)]
        assert list(client.keys.list().to_pandas()["scope"]) == ["admin", "submit"]
        assert client.keys.revoke(made.id).state is KeyState.REVOKED
        with Client(served, api_key=secret) as other, pytest.raises(UnauthorizedError, match="revoked"):
            list(other.jobs())
        with pytest.raises(NotFoundError, match="0000000000"):
            client.keys.revoke("0" * 10)


def test_the_first_key_is_not_made_over_the_network(served: str) -> None:
    with Client(served) as client, pytest.raises(ProblemError, match="made on the server's machine"):
        client.keys.create("me", Scope.ADMIN)
