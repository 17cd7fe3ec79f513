"""Every call of the API with a key of every kind: who may, who may not, and what they are told."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.keys import Scope, new_key
from service.settings import Settings
from service.store import Store, UnavailableError
from service.web.app import create_app
from service.web.state import AppState
from tests.service.filling import small_spec
from tests.service.processes import until
from tests.service.serving import serving_app

JOBS = "/api/v1/jobs"
PREFIX = "/api/v1"
WRITES = {"post", "put", "patch", "delete"}
OPEN = ("/healthz", "/readyz", "/version", "/sign-in", "/static/style.css", "/assets/plotly.min.js")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keys(shared_app: tuple[FastAPI, str]) -> dict[str, str]:
    """A key of each kind; `unknown` was never made."""
    return {kind: new_key() for kind in (*Scope, "revoked", "expired", "unknown")}


@pytest.fixture
def keyed(web: httpx.Client, store: Store, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """A client without a key of a server that needs one."""
    for scope in Scope:
        store.add_key(keys[scope], f"a {scope} key", scope)
    for kind in ("revoked", "expired"):
        added = store.add_key(keys[kind], kind, Scope.ADMIN, expires_in_s=1e-6 if kind == "expired" else None)
        if kind == "revoked":
            store.revoke_key(added.id)
    return web


def operations(app: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of every call of the API."""
    for path, item in app.openapi()["paths"].items():
        if path.startswith(PREFIX):
            yield from ((method, path, operation) for method, operation in item.items())


def needed_scope(operation: dict[str, Any]) -> Scope | None:
    """Return the largest scope that a call declares."""
    declared = [Scope(scope) for one in operation.get("security", ()) for scope in one.get("ApiKey", ())]
    return max(declared, key=list(Scope).index, default=None)


def test_every_call_declares_a_scope_and_what_changes_something_more_than_read(shared_app: tuple[FastAPI, str]) -> None:
    app, _ = shared_app
    found = {(method, path): needed_scope(operation) for method, path, operation in operations(app)}
    assert len(found) > 25
    assert [call for call, scope in found.items() if scope is None] == [], "give its router READ, SUBMIT or ADMIN"
    assert [call for call, scope in found.items() if call[0] in WRITES and scope is Scope.READ] == []
    for (_, path), scope in found.items():
        assert (scope is Scope.ADMIN) == path.startswith((f"{PREFIX}/keys", f"{PREFIX}/webhooks")), path
    scheme = app.openapi()["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


@pytest.mark.slow
def test_every_call_lets_in_who_has_its_scope_and_nobody_else(
    shared_app: tuple[FastAPI, str], keyed: httpx.Client, store: Store, keys: dict[str, str]
) -> None:
    shared_app[0].state.rhobust = AppState(store, Settings(max_requests_per_s=1e6))
    before = store.api_keys()
    for method, template, operation in operations(shared_app[0]):
        path = template.replace("{", "").replace("}", "")
        needed = needed_scope(operation)
        assert needed is not None

        def ask(headers: dict[str, str], method: str = method, path: str = path) -> httpx.Response:
            with keyed.stream(method, path, headers=headers) as response:
                if response.headers["Content-Type"].partition(";")[0] != "text/event-stream":  # which has no end
                    response.read()
                return response

        for kind, key in keys.items():
            response = ask(bearer(key))
            if kind not in list(Scope):
                assert response.status_code == 401, (kind, method, path)
                assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
            elif not Scope(kind).includes(needed):
                assert response.status_code == 403, (kind, method, path)
                assert f"needs the scope {needed}, but the API key" in response.json()["detail"]
                assert f'scope="{needed}"' in response.headers["WWW-Authenticate"]
            else:
                assert response.status_code not in (401, 403, 500), (kind, method, path, response.text)
        for headers in ({}, {"Authorization": keys["admin"]}, {"Authorization": f"Basic {keys['admin']}"}):
            response = ask(headers)
            assert response.status_code == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer ")
            assert response.headers["Content-Type"] == "application/problem+json"
    assert [key.id for key in store.api_keys()] == [key.id for key in before], "nothing was made on the way"


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_stays_open(keyed: httpx.Client, path: str) -> None:
    assert keyed.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", [f"{PREFIX}/openapi.json", f"{PREFIX}/nowhere", "/nowhere", "/jobs/x", "/", "//healthz"]
)
def test_what_is_not_named_as_open_needs_a_key(keyed: httpx.Client, keys: dict[str, str], path: str) -> None:
    url = str(keyed.base_url).rstrip("/") + path
    refused = keyed.get(url)
    assert refused.status_code == 401
    assert refused.json()["detail"] == (
        "an API key is needed. Send it in the header Authorization as `Bearer rhb_...`, with our clients by "
        "RHOBUST_API_KEY; `rhobust keys create` on the server's machine makes one."
    )
    assert keyed.get(url, headers=bearer(keys["read"])).status_code in (200, 404)


def test_a_key_in_a_query_string_is_none(keyed: httpx.Client, keys: dict[str, str]) -> None:
    for name in ("api_key", "key", "access_token", "token"):
        assert keyed.get(JOBS, params={name: keys["admin"]}).status_code == 401


def test_without_any_key_whoever_reaches_the_server_is_local(web: httpx.Client, store: Store) -> None:
    for headers in ({}, bearer(new_key()), {"Authorization": "Basic x"}):
        job = web.post(JOBS, json=small_spec(), headers=headers).json()
        assert job["submitted_by"] == "local"
    refused = web.post(f"{PREFIX}/keys", json={"label": "mine", "scope": "admin"})
    assert refused.status_code == 403
    assert "rhobust keys create" in refused.json()["detail"]
    assert web.get(f"{PREFIX}/keys").json() == []
    store.add_key(new_key(), "first", Scope.READ)
    until(lambda: web.get(JOBS).status_code == 401, "a key is needed")
    assert [web.get(JOBS).status_code for _ in range(3)] == [401] * 3, "from then on for good"


def test_that_there_is_no_key_is_looked_up_now_and_then_alone(
    web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request would pay for it; a key that another process makes is needed when it is looked up again."""
    looked: list[Store] = []
    real = Store.has_keys

    def has_keys(store: Store) -> bool:
        looked.append(store)
        return real(store)

    monkeypatch.setattr(Store, "has_keys", has_keys)
    monkeypatch.setattr("service.web.state.KEYLESS_S", 1e6)
    assert [web.get(JOBS).status_code for _ in range(5)] == [200] * 5
    assert len(looked) == 1


def test_a_server_that_others_reach_trusts_nobody_though_there_is_no_key(store: Store) -> None:
    with serving_app(create_app(store, Settings(), is_exposed=True)) as url:
        assert httpx.get(f"{url}{JOBS}").status_code == 401
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_revoking_takes_effect_at_once(keyed: httpx.Client, store: Store, keys: dict[str, str]) -> None:
    assert keyed.get(JOBS, headers=bearer(keys["submit"])).status_code == 200
    store.revoke_key(keys["submit"].split("_")[1])
    refused = keyed.get(JOBS, headers=bearer(keys["submit"]))
    assert (refused.status_code, "was revoked" in refused.json()["detail"]) == (401, True)
    assert "has expired" in keyed.get(JOBS, headers=bearer(keys["expired"])).json()["detail"]


def test_a_job_is_its_keys_and_so_is_an_idempotency_key(keyed: httpx.Client, keys: dict[str, str]) -> None:
    jobs = [
        keyed.post(JOBS, json=small_spec(), headers={**bearer(keys[kind]), "Idempotency-Key": "one"})
        for kind in ("submit", "admin", "submit")
    ]
    assert [response.status_code for response in jobs] == [202, 202, 200]
    assert [response.json()["submitted_by"] for response in jobs] == [
        keys[kind].split("_")[1] for kind in ("submit", "admin", "submit")
    ]
    assert jobs[0].json()["id"] == jobs[2].json()["id"] != jobs[1].json()["id"]
    read = keyed.get(f"{JOBS}/{jobs[0].json()['id']}", headers=bearer(keys["read"]))
    assert read.status_code == 200, "one installation is one team"


def test_keys_are_made_listed_and_revoked(keyed: httpx.Client, keys: dict[str, str]) -> None:
    admin = bearer(keys["admin"])
    made = keyed.post(f"{PREFIX}/keys", json={"label": "ci", "scope": "read", "expires_in_s": 3600}, headers=admin)
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    key = made.json()["key"]
    assert keyed.get(JOBS, headers=bearer(key)).status_code == 200
    listed = keyed.get(f"{PREFIX}/keys", headers=admin)
    assert [one["label"] for one in listed.json()][-1] == "ci"
    assert all(secret[15:] not in listed.text for secret in (key, *keys.values()))
    assert "sha256" not in listed.text
    revoked = keyed.post(f"{PREFIX}/keys/{made.json()['id']}/revoke", headers=admin)
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert keyed.get(JOBS, headers=bearer(key)).status_code == 401
    assert keyed.post(f"{PREFIX}/keys/{'0' * 10}/revoke", headers=admin).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"label": ""},
        {"label": " "},
        {"label": "x" * 201},
        {"label": "\x00"},
        {"label": "x", "scope": "root"},
        {"label": "x", "expires_in_s": 0},
        {"label": "x", "expires_in_s": 1e30},
        {"label": "x", "key": "mine"},
    ],
)
def test_a_key_that_cannot_be_is_refused(
    keyed: httpx.Client, store: Store, keys: dict[str, str], body: dict[str, Any]
) -> None:
    n_keys = len(store.api_keys())
    assert keyed.post(f"{PREFIX}/keys", json=body, headers=bearer(keys["admin"])).status_code == 422
    assert len(store.api_keys()) == n_keys


def test_no_error_document_holds_a_key(keyed: httpx.Client, keys: dict[str, str]) -> None:
    key, admin = keys["submit"], bearer(keys["admin"])
    texts = [
        keyed.get(f"{JOBS}/{key}", headers=admin).text,
        keyed.get(JOBS, params={"state": key}, headers=admin).text,
        keyed.post(JOBS, json=small_spec(**{key: 1}), headers=admin).text,
        keyed.post(f"{PREFIX}/keys/{key}/revoke", headers=admin).text,
        keyed.get(JOBS, headers={**admin, "Host": f"{key}.example"}).text,
        keyed.post(JOBS, headers={**admin, "Origin": f"http://{key}"}).text,
        keyed.get(JOBS, headers=bearer(keys["unknown"])).text,
    ]
    for text in texts:
        assert '"status":' in text
        assert all(secret[15:] not in text for secret in keys.values()), text


def test_each_key_has_its_own_rate(
    shared_app: tuple[FastAPI, str], keyed: httpx.Client, store: Store, keys: dict[str, str]
) -> None:
    shared_app[0].state.rhobust = AppState(store, Settings(max_requests_per_s=0.5))
    statuses = [keyed.get(JOBS, headers=bearer(keys["read"])).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    refused = keyed.get(JOBS, headers=bearer(keys["read"]))
    assert 1 <= int(refused.headers["Retry-After"]) <= 2
    assert "0.5 requests a second" in refused.json()["detail"]
    assert keyed.get(JOBS, headers=bearer(keys["admin"])).status_code == 200, "others are not held up"
    unknown = [keyed.get(JOBS, headers=bearer(new_key())).status_code for _ in range(3)]
    assert unknown == [401, 401, 429], "who guesses has one bucket, whatever the guess"
    assert keyed.get("/healthz").status_code == 200


def test_each_key_has_so_many_queued_jobs(
    shared_app: tuple[FastAPI, str], keyed: httpx.Client, store: Store, keys: dict[str, str]
) -> None:
    shared_app[0].state.rhobust = AppState(store, Settings(max_queued=2))

    def submit(kind: str, **headers: str) -> httpx.Response:
        return keyed.post(JOBS, json=small_spec(), headers={**bearer(keys[kind]), **headers})

    first = submit("submit", **{"Idempotency-Key": "one"})
    assert submit("submit").status_code == 202
    refused = submit("submit")
    assert (refused.status_code, int(refused.headers["Retry-After"])) == (429, 60)
    assert "at most 2 queued jobs" in refused.json()["detail"]
    assert submit("submit", **{"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]
    assert submit("admin").status_code == 202
    store.cancel(first.json()["id"])
    assert submit("submit").status_code == 202


def test_a_stranger_is_told_what_to_send_and_not_where_the_database_is(
    keyed: httpx.Client, store: Store, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`rhobust keys create` on the server's machine makes one" in keyed.get(JOBS).json()["detail"]

    def away(*_: object) -> None:
        raise UnavailableError("the database postgresql://db.internal/x cannot be used: nobody answers.")

    admin = bearer(keys["admin"])
    monkeypatch.setattr(store, "standing", away)
    monkeypatch.setattr(store, "require_schema", away)
    known = keyed.get(f"{JOBS}/x", headers=admin)
    assert known.status_code == 503
    assert "db.internal" in known.json()["detail"], "one of the team is told"
    monkeypatch.setattr(store, "authenticate", away)
    for answer in (keyed.get("/readyz"), keyed.get(JOBS, headers=admin), keyed.post("/session", json={"key": "x"})):
        assert answer.status_code == 503
        assert "db.internal" not in answer.text
        assert "its log says why" in answer.json()["detail"]
