"""Calls on schedules."""

from typing import Any

import httpx
import pytest

from service.store import NewWebhook, Store
from service.web.schedule_shapes import MAX_WEBHOOKS
from tests.service.filling import landscape_spec, small_spec
from tests.service.store.samples import queue
from tests.service.store.scheduling import add_baseline, end_run

SCHEDULES = "/api/v1/schedules"


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "nightly", "cron": "0 3 * * *", "spec": landscape_spec(), **changes}


def make(web: httpx.Client, **changes: Any) -> dict[str, Any]:
    response = web.post(SCHEDULES, json=body(**changes))
    assert response.status_code == 201, response.text
    document: dict[str, Any] = response.json()
    return document


def test_a_schedule_is_made_with_what_a_nightly_run_needs(web: httpx.Client, store: Store) -> None:
    spec = landscape_spec()
    del spec["seeds"]
    response = web.post(SCHEDULES, json=body(spec=spec))
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"{SCHEDULES}/{made['id']}"
    assert (made["spec"]["reuse"], made["spec"]["priority"], made["spec"]["seeds"]["count"]) == (False, 10, 10)
    assert (made["cells"], made["timezone"], made["paused"], made["last_run"]) == (20, "UTC", False, None)
    assert made["baseline"] == {"policy": "previous", "name": None, "n": None}
    assert (made["thresholds"], made["webhooks"]) == ({"factor": None, "measures": None}, None)
    assert made["next_due_at"].endswith("T03:00:00.000+00:00")
    assert web.get(response.headers["location"]).json() == web.get(f"{SCHEDULES}/nightly").json() == made
    listed = {name: value for name, value in made.items() if name != "spec"}
    assert web.get(SCHEDULES).json() == {"items": [listed], "next_page_token": None}


def test_what_a_spec_says_itself_stands(web: httpx.Client) -> None:
    made = make(web, spec={**landscape_spec(), "reuse": True, "priority": -1, "seeds": {"base": 3}})
    assert (made["spec"]["reuse"], made["spec"]["priority"]) == (True, -1)
    assert made["spec"]["seeds"] == {"count": 10, "base": 3}


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"name": "two words"}, "/body/name", "should match pattern"),
        ({"name": "a/b"}, "/body/name", "should match pattern"),
        ({"name": "x" * 101}, "/body/name", "should match pattern"),
        ({"cron": "0 25 * * *"}, "/body/cron", "the hour of the cron expression"),
        ({"cron": "@reboot"}, "/body/cron", "has five fields"),
        ({"cron": "0 0 30 2 *"}, "/body/cron", "cron expression"),
        ({"cron": "1" * 300}, "/body/cron", "at most 200 characters"),
        ({"timezone": "Berlin"}, "/body/timezone", "IANA name"),
        ({"timezone": "../../etc/passwd"}, "/body/timezone", "IANA name"),
        ({"spec": {}}, "/spec/name", "must be given"),
        ({"spec": small_spec(space={"lr": {"log": [1, 2]}})}, "/spec/space/lr", "n"),
        ({"spec": small_spec(optimizers=[{"name": "smam"}])}, "/spec/optimizers/0/name", "sam"),
        ({"spec": {**small_spec(), "seeds": "many"}}, "/spec/seeds", "a mapping of keys is needed"),
        ({"spec": []}, "/body/spec", "valid dictionary"),
        ({"baseline": {"policy": "named"}}, "/body/baseline", "takes name and nothing else"),
        ({"baseline": {"policy": "previous", "n": 3}}, "/body/baseline", "takes neither name nor n"),
        ({"baseline": {"policy": "best_of", "n": 0}}, "/body/baseline/n", "greater than or equal to 1"),
        ({"baseline": {"policy": "best_of", "n": True}}, "/body/baseline/n", "valid integer"),
        ({"baseline": {"policy": "worst"}}, "/body/baseline/policy", "'named', 'previous' or 'best_of'"),
        ({"thresholds": {"factor": 0}}, "/body/thresholds/factor", "greater than 0"),
        ({"thresholds": {"factor": 1e300}}, "/body/thresholds/factor", "less than or equal to 1000"),
        ({"thresholds": {"measures": []}}, "/body/thresholds/measures", "at least 1 item"),
        ({"thresholds": {"measures": ["grid_meen"]}}, "/body/thresholds/measures/0", "grid_mean"),
        ({"webhooks": ["x"] * (MAX_WEBHOOKS + 1)}, "/body/webhooks", f"at most {MAX_WEBHOOKS} items"),
        ({"webhooks": ["a b"]}, "/body/webhooks/0", "should match pattern"),
        ({"enabled": True}, "/body/enabled", "Extra inputs are not permitted"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_place(
    web: httpx.Client, store: Store, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    response = web.post(SCHEDULES, json=body(**changes))
    assert response.status_code == 422, response.text
    found = {error["pointer"]: error["detail"] for error in response.json()["errors"]}
    assert detail in found.get(pointer, ""), found
    assert store.schedules() == []


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"baseline": {"policy": "named", "name": "main"}}, "there is no baseline 'main'"),
        ({"webhooks": ["nobody"]}, "there is no webhook 'nobody'"),
    ],
)
def test_what_it_names_must_be_there(web: httpx.Client, changes: dict[str, Any], detail: str) -> None:
    response = web.post(SCHEDULES, json=body(**changes))
    assert response.status_code == 422
    assert detail in response.json()["detail"]


def test_a_name_is_taken_once_and_an_idempotency_key_makes_one(web: httpx.Client) -> None:
    first = web.post(SCHEDULES, json=body(), headers={"Idempotency-Key": "k"})
    again = web.post(SCHEDULES, json=body(), headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert web.post(SCHEDULES, json=body(cron="@daily"), headers={"Idempotency-Key": "k"}).status_code == 422
    taken = web.post(SCHEDULES, json=body())
    assert taken.status_code == 409
    assert "there is a schedule 'nightly'" in taken.json()["detail"]


def test_a_schedule_is_changed_and_the_rest_stays(web: httpx.Client, store: Store, database_url: str) -> None:
    add_baseline(database_url, "main", queue(store))
    webhook = store.create_webhook(NewWebhook(url="https://a.example", secret="s", events=()))[0]  # noqa: S106  (a test's)
    made = make(web)
    path = f"{SCHEDULES}/nightly"
    assert web.patch(path, json={}).json() == made
    changes: dict[str, Any] = {
        "cron": "30 4 * * 1-5",
        "timezone": "Europe/Berlin",
        "spec": small_spec(),
        "baseline": {"policy": "named", "name": "main"},
        "thresholds": {"factor": 2.5, "measures": ["grid_mean", "grid_mean"]},
        "webhooks": [webhook.id],
    }
    for name, value in changes.items():
        answer = web.patch(path, json={name: value})
        assert answer.status_code == 200, answer.text
    changed = web.get(path).json()
    assert (changed["cron"], changed["timezone"], changed["cells"]) == ("30 4 * * 1-5", "Europe/Berlin", 20)
    assert changed["baseline"] == {"policy": "named", "name": "main", "n": None}
    assert (changed["thresholds"], changed["webhooks"]) == ({"factor": 2.5, "measures": ["grid_mean"]}, [webhook.id])
    assert changed["revision"] == made["revision"] + len(changes)
    assert web.patch(path, json={"webhooks": None}).json()["webhooks"] is None
    for refused in ({"name": "other"}, {"cron": "x"}, {"spec": {"name": "x"}}, {"baseline": {"policy": "named"}}):
        assert web.patch(path, json=refused).status_code == 422, refused


def test_a_schedule_is_paused_resumed_and_deleted(web: httpx.Client) -> None:
    make(web)
    paused = web.post(f"{SCHEDULES}/nightly/pause")
    assert (paused.status_code, paused.json()["paused"], paused.json()["next_due_at"]) == (200, True, None)
    resumed = web.post(f"{SCHEDULES}/nightly/resume").json()
    assert (resumed["paused"], resumed["next_due_at"] is None) == (False, False)
    assert web.delete(f"{SCHEDULES}/nightly").status_code == 204
    for method, part in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/run"), ("GET", "/history")):
        answer = web.request(method, f"{SCHEDULES}/nightly{part}", json={} if method == "PATCH" else None)
        assert answer.status_code == 404, (method, part)


def test_a_run_by_hand_and_its_history(web: httpx.Client, store: Store, database_url: str) -> None:
    make(web)
    started = web.post(f"{SCHEDULES}/nightly/run", headers={"Idempotency-Key": "k"})
    assert started.status_code == 202, started.text
    run = started.json()
    again = web.post(f"{SCHEDULES}/nightly/run", headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (200, run)
    assert (run["manual"], run["state"], run["baseline"]) == (True, "training", {"job_id": None, "name": None})
    assert web.get(started.headers["location"]).json() == run
    job = web.get(f"/api/v1/jobs/{run['job_id']}").json()
    assert (job["tags"], job["priority"]) == (["schedule:nightly"], 10)
    busy = web.post(f"{SCHEDULES}/nightly/run")
    assert busy.status_code == 409
    assert "a schedule has one run at a time" in busy.json()["detail"]
    values = {"banana": {"sam": {"grid_mean": 0.5, "best": None}}}
    end_run(database_url, store.scheduled_run("nightly", run["id"]), verdict="same", measures=values)
    second = web.post(f"{SCHEDULES}/nightly/run").json()
    assert second["baseline"]["job_id"] == run["job_id"]
    history = web.get(f"{SCHEDULES}/nightly/history", params={"page_size": 1}).json()
    assert [one["id"] for one in history["items"]] == [second["id"]]
    rest = web.get(f"{SCHEDULES}/nightly/history", params={"page_token": history["next_page_token"]}).json()
    (first,) = rest["items"]
    assert (first["id"], first["verdict"], first["measures"]) == (run["id"], "same", values)
    assert rest["next_page_token"] is None
    assert web.get(SCHEDULES).json()["items"][0]["last_run"]["id"] == second["id"]
    assert web.get(f"{SCHEDULES}/nightly/history/nothing").status_code == 404


def test_a_spec_that_is_not_known_any_more_is_a_conflict(web: httpx.Client, store: Store) -> None:
    made = make(web)
    store.change_schedule("nightly", {"spec": {**made["spec"], "optimizers": [{"name": "of-a-plug-in"}]}})
    answer = web.post(f"{SCHEDULES}/nightly/run")
    assert answer.status_code == 409
    assert "was valid when it was made, but is not any more" in answer.json()["detail"]
    assert web.get(f"{SCHEDULES}/nightly").status_code == 200


def test_schedules_are_listed_a_page_at_a_time(web: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        make(web, name=name)
    first = web.get(SCHEDULES, params={"page_size": 2}).json()
    second = web.get(SCHEDULES, params={"page_size": 2, "page_token": first["next_page_token"]}).json()
    assert [one["name"] for one in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_page_token"] is None
