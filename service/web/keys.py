"""Calls on API keys, for administrators. The first key is made on the server's machine, by `rhobust keys create`."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, Field

from benchmark.parsing import Text
from service.keys import KeyState, Scope, new_key
from service.store import ApiKey
from service.summary import time_text
from service.web.access import ADMIN, Caller
from service.web.shapes import Time
from service.web.state import State

MAX_LIFETIME_S = 10 * 365 * 86_400
router = APIRouter(prefix="/keys", tags=["keys"], dependencies=[ADMIN])
KeyId = Annotated[str, Path(pattern=r"^[0-9a-z]{10}$", description="id of the key")]


class NewKey(BaseModel, extra="forbid"):
    """A key to be made."""

    label: Text = Field(description="whose it is and what for")
    scope: Scope = Scope.SUBMIT
    expires_in_s: Annotated[int, Field(ge=1, le=MAX_LIFETIME_S, strict=True)] | None = Field(
        default=None, description="for how long it lets somebody in; for ever when null"
    )


class KeyShape(BaseModel):
    """What is known of a key; the key itself is not."""

    id: str
    label: str
    scope: Scope
    state: KeyState
    created_at: Time
    expires_at: Time
    revoked_at: Time
    last_used_at: Time = Field(description="to within a minute")


class MadeKey(KeyShape):
    """A new key, told this once."""

    key: str = Field(description="to be sent as `Authorization: Bearer`; nobody can look it up later")


@router.post("", status_code=HTTPStatus.CREATED)
def create_key(state: State, caller: Caller, new: NewKey) -> MadeKey:
    """Make a key. Its answer is the only one that holds it, and a repeated call makes another one."""
    if caller.is_local:
        # Whoever can reach loopback need not be whoever runs the server, and would shut everybody else out.
        detail = (
            "the first API key is made on the server's machine: run `rhobust keys create LABEL --scope admin` there."
        )
        raise HTTPException(HTTPStatus.FORBIDDEN, detail)
    key = new_key()
    added = state.store.add_key(key, new.label, new.scope, expires_in_s=new.expires_in_s)
    return MadeKey(**_shape(added).model_dump(), key=key)


@router.get("")
def list_keys(state: State) -> list[KeyShape]:
    """List all keys, oldest first; those that were revoked or have expired too."""
    return [_shape(key) for key in state.store.api_keys()]


@router.post("/{key_id}/revoke")
def revoke_key(state: State, key_id: KeyId) -> KeyShape:
    """Let a key, and whoever signed in with it, in no more."""
    return _shape(state.store.revoke_key(key_id))


def _shape(key: ApiKey) -> KeyShape:
    return KeyShape(
        id=key.id,
        label=key.label,
        scope=key.scope,
        state=key.state,
        created_at=time_text(key.created_at),
        expires_at=time_text(key.expires_at),
        revoked_at=time_text(key.revoked_at),
        last_used_at=time_text(key.last_used_at),
    )
