"""Calls on webhooks."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.settings import Settings
from service.store import DeliveryAttempt, Store
from service.web.state import AppState
from service.web.webhooks import Event
from service.webhooks.targets import AllowList
from tests.service.store.samples import queue

WEBHOOKS = "/api/v1/webhooks"
TARGET = "https://hooks.example.com/rhobust"


@pytest.fixture
def web(web: httpx.Client, shared_app: tuple[FastAPI, str], store: Store) -> httpx.Client:
    """A client of a server whose operator permits webhooks."""
    allowed = AllowList.parse("hooks.example.com, http://127.0.0.1:9000")
    shared_app[0].state.rhobust = AppState(store, Settings(webhook_allow=allowed))
    return web


def make(web: httpx.Client, **body: Any) -> dict[str, Any]:
    response = web.post(WEBHOOKS, json={"url": TARGET, **body})
    assert response.status_code == 201, response.text
    document: dict[str, Any] = response.json()
    return document


def test_a_webhook_is_made_and_its_secret_shown_once(web: httpx.Client, store: Store) -> None:
    response = web.post(WEBHOOKS, json={"url": TARGET, "description": "the channel"})
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"{WEBHOOKS}/{made['id']}"
    assert made.pop("secret") == store.webhook(made["id"]).secret
    assert made["events"] == list(Event)
    assert (made["enabled"], made["created_by"]) == (True, "local")
    assert web.get(response.headers["location"]).json() == made
    assert web.get(WEBHOOKS).json() == {"items": [made], "next_page_token": None}
    assert "whsec_" not in web.get(WEBHOOKS).text + web.get(response.headers["location"]).text


def test_the_events_are_the_ends_that_a_job_can_have(web: httpx.Client, store: Store) -> None:
    webhook = make(web, events=["job.cancelled", "job.cancelled"])
    assert webhook["events"] == ["job.cancelled"]
    ends = {event.value for event in Event if event.value.startswith("job.")}
    assert ends == {f"job.{state}" for state in ("completed", "failed", "cancelled")}
    job = store.cancel(queue(store).id)
    (told,) = web.get(f"{WEBHOOKS}/{webhook['id']}/deliveries").json()["items"]
    assert (told["event"], told["state"], told["attempts"]) == ("job.cancelled", "pending", [])
    data = json.loads(store.deliveries(webhook["id"])[0].body)["data"]
    summary = web.get("/api/v1/jobs").json()["items"][0]
    del summary["execution"]
    assert data == summary
    assert data["id"] == job.id


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"url": "https://evil.example/"}, "/body/url", "no entry of RHOBUST_WEBHOOK_ALLOW permits"),
        ({"url": "http://hooks.example.com/"}, "/body/url", "only https on port 443"),
        ({"url": "http://127.0.0.1:9001/"}, "/body/url", "no entry"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/body/url", "no entry"),
        ({"url": "https://u:p@hooks.example.com/"}, "/body/url", "no user, password or fragment"),
        ({"url": TARGET + "\0"}, "/body/url", "printable ASCII"),
        ({"url": TARGET + "a" * 2_000}, "/body/url", "at most 2000 characters"),
        ({"url": None}, "/body/url", "valid string"),
        ({}, "/body/url", "required"),
        ({"url": TARGET, "events": []}, "/body/events", "at least 1 item"),
        ({"url": TARGET, "events": ["job.paused"]}, "/body/events/0", "'job.completed', 'job.failed'"),
        ({"url": TARGET, "events": ["job.failed"] * 99}, "/body/events", "at most 6 items"),
        ({"url": TARGET, "description": "d" * 201}, "/body/description", "at most 200 characters"),
        ({"url": TARGET, "secret": "whsec_mine"}, "/body/secret", "Extra inputs are not permitted"),
        ({"url": TARGET, "enabled": "perhaps"}, "/body/enabled", "valid boolean"),
        ([], "/body", "valid dictionary"),
    ],
)
def test_what_is_refused_is_refused_with_its_place(
    web: httpx.Client, store: Store, body: Any, pointer: str, detail: str
) -> None:
    response = web.post(WEBHOOKS, json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    (error,) = response.json()["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]
    assert store.webhooks() == []


@pytest.mark.parametrize("description", ["a\0b", "\ud800"])
def test_a_text_that_no_database_keeps_is_refused(web: httpx.Client, store: Store, description: str) -> None:
    content = json.dumps({"url": TARGET, "description": description})
    response = web.post(WEBHOOKS, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert store.webhooks() == []


def test_webhooks_are_off_unless_the_operator_permits_some(
    web: httpx.Client, shared_app: tuple[FastAPI, str], store: Store
) -> None:
    webhook = make(web)
    shared_app[0].state.rhobust = AppState(store, Settings())
    place = f"{WEBHOOKS}/{webhook['id']}"
    for response in (
        web.post(WEBHOOKS, json={"url": TARGET}),
        web.patch(place, json={"url": TARGET}),
        web.post(f"{place}/test"),
    ):
        assert response.status_code == 422
        assert "webhooks are off here" in response.json()["errors"][0]["detail"]
    assert web.get(WEBHOOKS).status_code == 200
    assert web.delete(place).status_code == 204


def test_a_repeated_call_under_a_key_gives_the_webhook_and_its_secret_again(web: httpx.Client, store: Store) -> None:
    key = {"Idempotency-Key": "k"}
    first = web.post(WEBHOOKS, json={"url": TARGET}, headers=key)
    again = web.post(WEBHOOKS, json={"url": TARGET}, headers=key)
    other = web.post(WEBHOOKS, json={"url": TARGET, "enabled": False}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert again.json() == first.json()
    assert len(store.webhooks()) == 1


def test_a_webhook_is_changed_and_deleted(web: httpx.Client, store: Store) -> None:
    made = make(web)
    place = f"{WEBHOOKS}/{made['id']}"
    del made["secret"]
    assert web.patch(place, json={}).json() == made
    assert web.patch(place, json={"description": None}).json() == made
    changed = web.patch(place, json={"url": "http://127.0.0.1:9000/", "events": ["job.failed"], "enabled": False})
    assert changed.json() == {**made, "url": "http://127.0.0.1:9000/", "events": ["job.failed"], "enabled": False}
    refused = web.patch(place, json={"url": "https://evil.example"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/body/url")
    assert web.patch(place, json={"secret": "x"}).status_code == 422
    assert web.delete(place).status_code == 204
    for response in (web.get(place), web.patch(place, json={}), web.delete(place), web.post(f"{place}/test")):
        assert response.status_code == 404
        assert response.json()["detail"] == f"there is no webhook '{made['id']}'."
    assert web.get(f"{place}/deliveries").status_code == 404


def test_a_test_and_what_came_of_it(web: httpx.Client, store: Store) -> None:
    place = f"{WEBHOOKS}/{make(web)['id']}"
    sent = web.post(f"{place}/test")
    assert sent.status_code == 202
    assert (sent.json()["event"], sent.json()["state"]) == ("webhook.test", "pending")
    assert sent.json()["next_attempt_at"]
    (due,) = store.claim_deliveries(1, 60)
    store.settle_delivery(due.delivery, DeliveryAttempt(status=None, error="timeout", elapsed_s=5.0), again_in_s=5)
    (listed,) = web.get(f"{place}/deliveries").json()["items"]
    assert listed["id"] == sent.json()["id"]
    (attempt,) = listed["attempts"]
    assert {name: attempt[name] for name in ("attempt", "status", "error", "elapsed_s")} == {
        "attempt": 1,
        "status": None,
        "error": "timeout",
        "elapsed_s": 5.0,
    }
    assert attempt["at"] > "2026"


def test_lists_come_a_page_at_a_time(web: httpx.Client) -> None:
    made = [make(web, description=str(number))["id"] for number in range(3)]
    place = f"{WEBHOOKS}/{made[0]}"
    sent = [web.post(f"{place}/test").json()["id"] for _ in range(3)]
    for path, expected in ((WEBHOOKS, made), (f"{place}/deliveries", sent[::-1])):
        first = web.get(path, params={"page_size": 2}).json()
        rest = web.get(path, params={"page_size": 2, "page_token": first["next_page_token"]}).json()
        assert [item["id"] for item in first["items"] + rest["items"]] == expected
        assert rest["next_page_token"] is None
        for bad in ({"page_size": 0}, {"page_size": 501}, {"page_token": "x"}, {"page_token": "-1"}):
            assert web.get(path, params=bad).status_code == 422
        assert web.get(path, params={"page_token": "9" * 18}).status_code == 200
