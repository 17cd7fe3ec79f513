"""Who asks, and what they may do: every call of the API declares the scope that it needs, by one of three marks.

    READ    looks at something
    SUBMIT  changes something
    ADMIN   manages keys and webhooks

They stand in the `dependencies` of a router or a route; where several stand, all must be met. A test walks every call.
They are coroutines, as all dependencies of ours are: a plain function would be run in a thread, which costs more than
it does.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from service.keys import Scope

LOCAL_NAME = "local"
_SCHEME = HTTPBearer(
    bearerFormat="rhb_<id>_<secret>",
    scheme_name="ApiKey",
    description="of `rhobust keys create`; a server for which no key was made listens on loopback only and needs none",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks.

    Attributes:
        name: id of the key; `local` where no key exists.
        scope: what it allows.
        session: secret of the dashboard's session through which the request came; None where it brought the key.
    """

    name: str
    scope: Scope
    session: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether this is anybody on the machine of a server without keys."""
        return self.name == LOCAL_NAME

    @property
    def csrf_token(self) -> str:
        """What a page of ours sends with every call that changes something; another site's page cannot know it."""
        return hmac.digest((self.session or "").encode(), b"csrf", hashlib.sha256).hex()


LOCAL = Principal(LOCAL_NAME, Scope.ADMIN)


async def _caller(request: Request) -> Principal:
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise TypeError("a route that asks who calls must not be open to everybody.")
    return principal


Caller = Annotated[Principal, Depends(_caller)]


async def _allowed(
    caller: Caller,
    needed: SecurityScopes,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_SCHEME)],  # for the OpenAPI document
) -> None:
    for scope in map(Scope, needed.scopes):
        if not caller.scope.includes(scope):
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                f"this call needs the scope {scope}, but the API key {caller.name} has {caller.scope}.",
                {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )


READ = Security(_allowed, scopes=[Scope.READ])
SUBMIT = Security(_allowed, scopes=[Scope.SUBMIT])
ADMIN = Security(_allowed, scopes=[Scope.ADMIN])
