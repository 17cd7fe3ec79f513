"""API keys: how they are made and read, and what they allow."""

import re
import secrets
from enum import StrEnum

ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # without i, l, o and u: an id is read aloud and typed
ID_LENGTH = 10
SECRET_BYTES = 32
_KEY = re.compile(r"rhb_([0-9a-z]{10})_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """What a key allows; each scope includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        """Whether whoever has this scope may do what needs the other one."""
        order = list(Scope)
        return order.index(other) <= order.index(self)


class KeyState(StrEnum):
    """Whether a key lets somebody in."""

    USABLE = "usable"
    EXPIRED = "expired"
    REVOKED = "revoked"


def new_id() -> str:
    """Return a new id of a job or a key."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


def new_key() -> str:
    """Return a new key, `rhb_<id>_<secret>`: the prefix is for scanners of secrets, the secret has 256 random bits."""
    return f"rhb_{new_id()}_{secrets.token_urlsafe(SECRET_BYTES)}"


def key_id_of(key: str) -> str | None:
    """Return the public id in a key; None for a text that is no key."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None
