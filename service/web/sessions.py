"""Signing in to the dashboard: a key is exchanged for a cookie that no script can read and that ends by itself."""

from http import HTTPStatus
from typing import Annotated, Literal, TypedDict

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, SecretStr

from service.keys import Scope
from service.store import KeyRefusedError
from service.web.access import Caller
from service.web.authentication import CHALLENGE, SESSION_COOKIE
from service.web.pages import TEMPLATES
from service.web.state import State

LIFETIME_S = 12 * 3600
router = APIRouter(include_in_schema=False)


class SignIn(BaseModel, extra="forbid"):
    """A key, as somebody typed it."""

    key: Annotated[SecretStr, Field(max_length=200)]


class SignedIn(BaseModel):
    """Who is signed in; `local` where no key is needed."""

    name: str
    scope: Scope


@router.get("/sign-in", response_class=HTMLResponse)
def sign_in_page(request: Request) -> Response:
    """Return the page that asks for a key."""
    return TEMPLATES.TemplateResponse(request, "sign-in.html")


@router.post("/session")
def sign_in(request: Request, response: Response, state: State, given: SignIn) -> SignedIn:
    """Open a session for whoever has a key; the answer sets its cookie."""
    try:
        key = state.store.authenticate(given.key.get_secret_value().strip())
    except KeyRefusedError as error:
        raise HTTPException(HTTPStatus.UNAUTHORIZED, str(error), {"WWW-Authenticate": CHALLENGE}) from error
    secret = state.store.open_session(key.id, LIFETIME_S)
    response.set_cookie(SESSION_COOKIE, secret, LIFETIME_S, **_cookie(request))
    return SignedIn(name=key.id, scope=key.scope)


@router.get("/session")
def get_session(caller: Caller) -> SignedIn:
    """Say who is signed in."""
    return SignedIn(name=caller.name, scope=caller.scope)


@router.delete("/session", status_code=HTTPStatus.NO_CONTENT)
def sign_out(request: Request, response: Response, state: State, caller: Caller) -> None:
    """End the session, here and in the browser."""
    if caller.session is not None:
        state.store.close_session(caller.session)
    response.delete_cookie(SESSION_COOKIE, **_cookie(request))


class _Cookie(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def _cookie(request: Request) -> _Cookie:
    path = request.scope.get("root_path") or "/"
    return {"path": path, "secure": request.url.scheme == "https", "httponly": True, "samesite": "strict"}
