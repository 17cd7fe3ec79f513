"""Signing in to the dashboard: what the cookie is, when it ends, and that another site's page cannot use it."""

import asyncio
import re

import httpx
import pytest
from fastapi import FastAPI

from service.keys import Scope, new_key
from service.settings import Settings
from service.store import Store
from service.web import sessions
from service.web.app import create_app
from tests.service.filling import small_spec

JOBS = "/api/v1/jobs"
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def key(store: Store) -> str:
    """A key that submits."""
    made = new_key()
    store.add_key(made, "ann", Scope.SUBMIT)
    return made


@pytest.fixture
def own(web: httpx.Client) -> dict[str, str]:
    """The Origin of our own pages."""
    return {"Origin": str(web.base_url).rstrip("/")}


@pytest.fixture
def token(web: httpx.Client, key: str, own: dict[str, str]) -> str:
    """The token that a page has after signing in."""
    assert web.post("/session", json={"key": key}, headers=own).status_code == 200
    found = re.search('data-csrf-token="([0-9a-f]{64})"', web.get("/", headers=HTML).text)
    assert found is not None
    return found[1]


def test_a_key_becomes_a_cookie_that_no_script_reads_and_that_ends(
    web: httpx.Client, store: Store, key: str, own: dict[str, str]
) -> None:
    response = web.post("/session", json={"key": f" {key}\n"}, headers=own)
    assert response.json() == {"name": key.split("_")[1], "scope": "submit"}
    cookie = response.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Max-Age=43200", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie, "on plain http a browser would not send it back"
    assert key not in cookie
    assert web.get(JOBS).status_code == 200
    assert web.get("/session").json()["scope"] == "submit"
    store.revoke_key(key.split("_")[1])
    assert web.get(JOBS).status_code == 401
    assert web.get("/", headers=HTML).status_code == 303


@pytest.mark.parametrize("wrong", ["", "rhb_x", f"rhb_0123456789_{'k' * 43}", "\x00", "x" * 201, None, 5])
def test_a_wrong_key_opens_no_session(web: httpx.Client, key: str, wrong: object) -> None:
    response = web.post("/session", json={"key": wrong})
    assert response.status_code in (401, 422)
    assert "Set-Cookie" not in response.headers
    assert response.json()["detail"]
    if isinstance(wrong, str) and len(wrong) > 20:
        assert wrong[15:] not in response.text


def test_with_the_cookie_a_change_needs_origin_and_token(
    web: httpx.Client, store: Store, own: dict[str, str], token: str
) -> None:
    def submit(headers: dict[str, str]) -> int:
        return web.post(JOBS, json=small_spec(), headers=headers).status_code

    with_token = {"X-CSRF-Token": token}
    for refused in ({}, own, with_token, {**own, "X-CSRF-Token": token[:-1]}, {**own, "X-CSRF-Token": "é"}):
        assert submit({name: value.encode() for name, value in refused.items()}) == 403, refused  # type: ignore[misc]
    assert submit({**with_token, "Origin": "http://evil.example"}) == 403
    assert store.jobs() == []
    assert submit({**own, **with_token}) == 202
    assert web.delete("/session").status_code == 403
    assert store.jobs()[0].submitted_by == store.api_keys()[0].id


def test_a_token_is_of_its_session(web: httpx.Client, key: str, own: dict[str, str], token: str) -> None:
    assert web.post("/session", json={"key": key}, headers=own).status_code == 200
    headers = {**own, "X-CSRF-Token": token}
    assert web.post(JOBS, json=small_spec(), headers=headers).status_code == 403


def test_signing_out_ends_the_session(web: httpx.Client, store: Store, own: dict[str, str], token: str) -> None:
    secret = web.cookies["rhobust_session"]
    response = web.delete("/session", headers={**own, "X-CSRF-Token": token})
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert web.get("/session", headers={"Cookie": f"rhobust_session={secret}"}).status_code == 401


def test_a_session_ends_by_itself(
    web: httpx.Client, key: str, own: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LIFETIME_S", 0)
    secret = web.post("/session", json={"key": key}, headers=own).headers["Set-Cookie"].partition(";")[0]
    refused = web.get(JOBS, headers={"Cookie": secret})
    assert (refused.status_code, "session has ended" in refused.json()["detail"]) == (401, True)


def test_pages_lead_to_signing_in_and_programs_do_not(web: httpx.Client, key: str) -> None:
    for path in ("/", "/jobs/x?a=b", "/nowhere"):
        response = web.get(path, headers=HTML)
        assert response.status_code == 303
        assert httpx.URL(response.headers["Location"]).params["next"] == path
        assert web.get(path).status_code == 401
    assert web.get(JOBS, headers=HTML).status_code == 401
    assert "Sign in" in web.get("/sign-in").text


def answer_of(
    app: FastAPI, server: str, method: str, path: str, json: object = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Return what an app answers that is reached as a server of another name, scheme or path."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=server) as client:
            return await client.request(method, path, json=json, headers=headers)

    return asyncio.run(ask())


def test_under_tls_the_cookie_is_secure_and_the_browser_told_to_stay(store: Store, key: str) -> None:
    app = create_app(store, Settings(), hosts=("bench.example",), is_exposed=True)
    secure = answer_of(app, "https://bench.example", "POST", "/session", {"key": key})
    assert secure.status_code == 200
    assert "Secure" in secure.headers["Set-Cookie"]
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"
    for server in ("http://bench.example", "https://127.0.0.1"):
        plain = answer_of(app, server, "POST", "/session", {"key": key})
        assert "Strict-Transport-Security" not in plain.headers, "not in the clear, and not for all of loopback"


def test_under_a_path_of_a_proxy_every_link_has_it(store: Store, key: str) -> None:
    app, server = create_app(store, Settings()), "http://127.0.0.1"
    app.root_path = "/bench"
    redirect = answer_of(app, server, "GET", "/bench/jobs/x", headers=HTML)
    assert redirect.headers["Location"] == "/bench/sign-in?next=%2Fbench%2Fjobs%2Fx"
    page = answer_of(app, server, "GET", "/bench/sign-in").text
    assert 'data-root="/bench"' in page
    assert not re.search(r'(?:href|src)="/(?!bench/)', page)
    bearer = {"Authorization": f"Bearer {key}"}
    made = answer_of(app, server, "POST", "/bench/api/v1/jobs", small_spec(), bearer)
    assert made.headers["Location"] == f"/bench/api/v1/jobs/{made.json()['id']}"
