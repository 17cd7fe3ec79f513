"""Every status of every call that the OpenAPI document names, provoked once."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from benchmark import Spec
from service.comparing import set_baseline
from service.keys import Scope, new_id, new_key
from service.rerunning import new_rerun
from service.settings import Settings
from service.store import NewWebhook, Store, UnavailableError
from service.store.regression_tables import alert
from service.submission import new_job
from service.web.guard import MAX_BODY_BYTES
from service.web.openapi import operations
from service.web.state import AppState
from service.webhooks.signing import new_secret
from tests.service.filling import mixed, run_made_up, small_spec, submit
from tests.service.store.scheduling import add_alert, schedule, start_run, writing

pytestmark = pytest.mark.slow
JSON = {"Content-Type": "application/json"}
URL = "https://hooks.example.com/rhobust"
PAGED = ("list_alerts", "list_baselines", "list_jobs", "list_schedules", "list_webhooks")
BAD_QUERY: dict[str, dict[str, str]] = {name: {"page_size": "0"} for name in PAGED}
OF_JOBS = ("get_figure_of_jobs", "get_table_of_jobs", "list_scores")  # with ids of jobs in their query
BAD_QUERY |= {name: {} for name in ("get_comparison", *OF_JOBS)}
NAMED = ("get_baseline", "delete_baseline", "calibrate_baseline")  # calls on a baseline that is there


@dataclass
class World:
    """A server with something for every call, and a key of each scope."""

    web: httpx.Client
    app: FastAPI
    store: Store
    keys: dict[Scope, str]

    def use(self, **settings: Any) -> None:
        """Take other settings."""
        kept = self.app.state.rhobust.settings
        self.app.state.rhobust = AppState(self.store, kept.model_copy(update=settings))

    def ids(self, operation_id: str) -> dict[str, str]:
        """Return what the path of a call needs so that it goes well."""
        store = self.store
        if operation_id in ("pause_job", "cancel_job", "resume_job"):
            job = submit(store)
            if operation_id == "resume_job":
                store.pause(job.id)
        elif operation_id == "retry_job":
            job = run_made_up(store, submit(store, small_spec(seeds={"base": 40, "count": 2})), mixed)
        else:
            job = run_made_up(store, submit(store))
            if operation_id == "get_rerun":
                job, _ = store.submit(new_rerun(store, job.id))
        record = store.records(job.id, limit=1)
        return {
            "job_id": job.id,
            "record_id": record[0].record.id if record else "",
            "name": "heatmap",
            "baseline_name": self._baseline(job.id) if operation_id in NAMED else "other",
            "webhook_id": self._webhook(),
            "alert_id": self._alert() if operation_id.endswith("_alert") else "",
            **self._schedule(is_running=operation_id == "get_run"),
            "key_id": store.add_key(new_key(), "another", Scope.READ).id,
        }

    def _webhook(self) -> str:
        new = NewWebhook(url=URL, secret=new_secret(), events=("job.completed",), description="", enabled=True)
        return self.store.create_webhook(new, principal="local", idempotency_key=None)[0].id

    def _alert(self) -> str:
        run = start_run(self.store, schedule(self.store, new_id()).id)
        add_alert(self.store._database, run, run, acknowledged=False)
        return self.store.alerts(1)[0].id

    def _baseline(self, job_id: str) -> str:
        return set_baseline(self.store, "main", job_id)[0].name

    def _schedule(self, *, is_running: bool) -> dict[str, str]:
        made = schedule(self.store, new_id())
        run_id = start_run(self.store, made.id).id if is_running else ""
        return {"schedule_id": made.id, "run_id": run_id}

    def send(self, method: str, path: str, key: Scope | None = Scope.ADMIN, **options: Any) -> httpx.Response:
        """Send a request with a key; of a stream without end only the head is read."""
        headers = {**({"Authorization": f"Bearer {self.keys[key]}"} if key else {}), **options.pop("headers", {})}
        with self.web.stream(method.upper(), path, headers=headers, **options) as response:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                response.read()
        return response


@pytest.fixture
def world(shared_app: tuple[FastAPI, str], served: str, store: Store, web: httpx.Client) -> World:
    """A server that needs keys and lets webhooks lead to one host."""
    app, _ = shared_app
    keys = {scope: new_key() for scope in Scope}
    for scope, key in keys.items():
        store.add_key(key, scope, scope)
    found = World(web, app, store, keys)
    settings = Settings(
        max_requests_per_s=1e6, webhook_allow="hooks.example.com", data_dir=app.state.rhobust.settings.data_dir
    )
    app.state.rhobust = AppState(store, settings)
    return found


Call = tuple[str, str, dict[str, Any]]


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], path)


def unknown(path: str) -> str:
    """Return a path with ids that nothing has."""
    none = dict.fromkeys(("job_id", "alert_id", "baseline_name", "webhook_id", "schedule_id", "run_id"), "none")
    return filled(path, {**none, "key_id": "0" * 10, "record_id": "0" * 32, "name": "heatmap"})


def body_of(operation_id: str) -> dict[str, Any]:
    """Return what a call needs beside its path so that it goes well."""
    bodies: dict[str, Any] = {
        "submit_job": small_spec(name="new"),
        "read_spec": {"text": json.dumps(small_spec())},
        "extend_job": small_spec(seeds={"count": 3}),
        "acknowledge_alert": {"note": "it is known"},
        "create_webhook": {"url": URL},
        "change_webhook": {"enabled": False},
        "create_key": {"label": "made"},
        "put_baseline": {"job_id": "none"},
        "create_schedule": {"name": "made", "cron": "@daily", "spec": small_spec()},
        "change_schedule": {"cron": "@weekly"},
    }
    return {"json": bodies[operation_id]} if operation_id in bodies else {}


def succeed(world: World, call: Call, **options: Any) -> httpx.Response:
    method, path, operation = call
    name = operation["operationId"]
    ids = world.ids(name)
    if name == "get_log":
        log = world.app.state.rhobust.settings.log_path(ids["job_id"])
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("a line\n")
    if name in OF_JOBS:
        options["params"] = {"job": ids["job_id"]}
    if name == "get_comparison":
        options["params"] = {"baseline": ids["job_id"], "candidate": ids["job_id"]}
    if name == "put_baseline":
        options["json"] = {"job_id": ids["job_id"]}
    return world.send(method, filled(path, ids), **{**body_of(name), **options})


def ok(world: World, call: Call) -> httpx.Response:
    method, path, operation = call
    name = operation["operationId"]
    if name == "put_baseline":
        ids = world.ids(name)
        put = method, filled(path, ids)
        assert world.send(*put, json={"job_id": ids["job_id"]}).status_code == 201
        return world.send(*put, json={"job_id": ids["job_id"]})
    if name == "extend_job":
        return succeed(world, call, params={"dry_run": "true"})
    if name not in ("submit_job", "create_webhook", "create_schedule", "run_schedule", "rerun_job"):
        return succeed(world, call)
    target, options = filled(path, world.ids(name)), {**body_of(name), "headers": {"Idempotency-Key": name}}
    assert world.send(method, target, **options).status_code in (201, 202)
    return world.send(method, target, **options)


def unread(world: World, call: Call) -> httpx.Response:
    return world.send(
        call[0], filled(call[1], world.ids(call[2]["operationId"])), content=b'{"label": "\xff"}', headers=JSON
    )


def forbidden(world: World, call: Call) -> httpx.Response:
    needed = {scope for one in call[2]["security"] for scope in one["ApiKey"]}
    lesser = Scope.SUBMIT if Scope.ADMIN in needed else Scope.READ
    return world.send(call[0], unknown(call[1]), lesser, **body_of(call[2]["operationId"]))


def missing(world: World, call: Call) -> httpx.Response:
    name = call[2]["operationId"]
    queries = {**{one: {"job": "none"} for one in OF_JOBS}, "submit_job": {"baseline": "none"}}
    params = {**queries, "get_comparison": {"baseline": "none", "candidate": "none"}}.get(name)
    return world.send(call[0], unknown(call[1]), params=params, **body_of(name))


def in_conflict(world: World, call: Call) -> httpx.Response:
    method, path, operation = call
    name = operation["operationId"]
    if name == "acknowledge_alert":
        ids = world.ids(name)
        with writing(world.store._database) as connection:
            connection.execute(update(alert).values(state="closed", closed_at=1.0))
        return world.send(method, filled(path, ids), **body_of(name))
    if name == "put_baseline":
        return world.send(method, filled(path, world.ids(name)), json={"job_id": submit(world.store).id})
    if name in ("create_schedule", "run_schedule"):
        ids = world.ids("get_run")
        taken = {**body_of(name).get("json", {}), "name": world.store.schedule(ids["schedule_id"]).name}
        return world.send(method, filled(path, ids), json=taken if name == "create_schedule" else None)
    if name.endswith("_job"):
        waiting = name in ("delete_job", "retry_job", "extend_job", "rerun_job")
        job = submit(world.store) if waiting else run_made_up(world.store, submit(world.store))
    else:
        spec = Spec.from_mapping(small_spec())
        forgotten = {**new_job(spec).spec, "tasks": [{"name": "a-task-of-a-plugin"}]}
        repeated: dict[str, Any] | None = {"packs": [], "records": None} if name == "get_rerun" else None
        job, _ = world.store.submit(replace(new_job(spec), spec=forgotten, rerun=repeated))
    queries = {"list_records": {"format": "csv"}, **{one: {"job": job.id} for one in OF_JOBS}}
    params = {**queries, "get_comparison": {"baseline": job.id, "candidate": job.id}}.get(name)
    return world.send(method, filled(path, {"job_id": job.id, "name": "heatmap"}), params=params, **body_of(name))


def invalid(world: World, call: Call) -> httpx.Response:
    method, path, operation = call
    name = operation["operationId"]
    if "{" not in path:
        query = BAD_QUERY.get(name, {"unheard_of": "1"})
        options: dict[str, Any] = {"params": query} if method == "get" else {"json": {}}
        return world.send(method, path, **options)
    return world.send(method, re.sub(r"\{\w+\}", "a%20b", path), **body_of(name))


def too_many(world: World, call: Call) -> httpx.Response:
    world.use(max_requests_per_s=0.01)
    world.send("get", "/api/v1/measures")
    response = world.send(call[0], unknown(call[1]), **body_of(call[2]["operationId"]))
    world.use(max_requests_per_s=1e6)
    return response


def away(world: World, call: Call) -> httpx.Response:
    def fail(*_: Any, **__: Any) -> None:
        raise UnavailableError("the database does not answer.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "authenticate", fail)
        patch.setattr(Store, "require_schema", fail)
        return world.send(call[0], unknown(call[1]), **body_of(call[2]["operationId"]))


PROVOKED: dict[str, Callable[[World, Call], httpx.Response]] = {
    "200": ok,
    "201": succeed,
    "202": succeed,
    "204": succeed,
    "304": lambda world, call: succeed(world, call, headers={"If-None-Match": "*"}),
    "400": unread,
    "401": lambda world, call: world.send(call[0], unknown(call[1]), None, **body_of(call[2]["operationId"])),
    "403": forbidden,
    "404": missing,
    "406": lambda world, call: succeed(world, call, headers={"Accept": "image/png"}),
    "409": in_conflict,
    "413": lambda world, call: world.send(call[0], unknown(call[1]), content=b" " * (MAX_BODY_BYTES + 1), headers=JSON),
    "415": lambda world, call: world.send(
        call[0], unknown(call[1]), content=b"label=x", headers={"Content-Type": "text/plain"}
    ),
    "421": lambda world, call: world.send(call[0], unknown(call[1]), headers={"Host": "evil.example"}),
    "422": invalid,
    "429": too_many,
    "503": away,
}


@pytest.mark.parametrize("status", PROVOKED)
def test_every_call_gives_each_status_that_it_documents(world: World, status: str) -> None:
    document = world.app.openapi()
    calls = [call for call in operations(document) if status in call[2]["responses"]]
    assert calls, "no call documents it any more"
    for call in calls:
        name = call[2]["operationId"]
        response = PROVOKED[status](world, call)
        assert str(response.status_code) == status, f"{name}: {response.status_code} {response.headers}"
        declared = call[2]["responses"][status]
        if "$ref" in declared:
            declared = document["components"]["responses"][declared["$ref"].rpartition("/")[2]]
        if int(status) >= 400:
            assert response.headers["Content-Type"] == "application/problem+json", name
            assert response.json()["status"] == int(status), name
        for header in declared["headers"].keys() - {"Content-Disposition"}:
            assert header in response.headers, f"{name}: {header}"


def test_no_documented_status_is_left_out(shared_app: tuple[FastAPI, str]) -> None:
    document = shared_app[0].openapi()
    documented = {status for call in operations(document) for status in call[2]["responses"]}
    assert documented == PROVOKED.keys()
