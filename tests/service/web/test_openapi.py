"""The OpenAPI document: whole, true to what is sent, and the same as the file that clients are generated from."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from fastapi import FastAPI

from service.comparing import set_baseline
from service.keys import Scope, new_key
from service.rerunning import new_rerun
from service.store import NewWebhook, Store, Thresholds
from service.web.openapi import operations
from service.webhooks.signing import new_secret
from tests.service.filling import completed, diverged, landscape_spec, mixed, run_made_up, small_spec, submit, trained
from tests.service.store.scheduling import add_alert, schedule, start_run

FILE = Path(__file__).parents[3] / "docs" / "openapi.json"
REF = "#/components/schemas/"
STALE = "docs/openapi.json is not what the code says: run `make openapi` and commit it."


@pytest.fixture(scope="module")
def document(shared_app: tuple[FastAPI, str]) -> dict[str, Any]:
    """What the server tells of itself."""
    return shared_app[0].openapi()


def content(response: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a response by media type."""
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return dict(response.get("content", {}))


def validator(schema: dict[str, Any], document: dict[str, Any], *, strict: bool = False) -> jsonschema_rs.Validator:
    """Return a validator of a part of the document; a strict one lets no property through that is not declared."""
    components = document["components"]
    if strict:
        closed = {
            name: {"additionalProperties": False, **one} if "properties" in one else one
            for name, one in components["schemas"].items()
        }
        components = {**components, "schemas": closed}
    found: jsonschema_rs.Validator = jsonschema_rs.Draft202012Validator({**schema, "components": components})
    return found


@pytest.mark.slow
def test_the_committed_file_is_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "service.web.openapi"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert printed == FILE.read_text(encoding="utf-8"), STALE


def test_it_is_openapi_3_1_and_says_whose_it_is(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert document["servers"] == [{"url": "/", "description": "this server"}]


def test_every_operation_has_a_name_a_tag_and_a_summary_and_describes_its_parameters(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)) > 35
    assert [one for one in ids if not re.fullmatch(r"[a-z]+(_[a-z]+)+", one)] == [], "verb_noun"
    tags = {tag["name"] for tag in document["tags"]}
    for _, _, operation in operations(document):
        name = operation["operationId"]
        assert operation["summary"], name
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= tags, name
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{name}: describe {parameter['name']}"


def test_every_answer_has_a_named_schema_or_is_a_file(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            where = f"{operation['operationId']} {status}"
            found = content(response, document)
            assert bool(found) == (status not in ("204", "304")), where
            for media_type, one in found.items():
                if not media_type.endswith(("json", "event-stream", "yaml")):
                    assert one["schema"]["type"] == "string", where
                    continue
                schema = one["schema"].get("items", one["schema"])
                for part in schema.get("anyOf", [schema]):
                    assert part.keys() == {"$ref"}, f"{where}: an answer must be a model, but is {part}."
            if int(status) >= 400:
                assert found.keys() == {"application/problem+json"}, where
        assert "default" not in operation["responses"], "what is not expected must not look as if it were"


def test_every_model_has_a_description_and_an_example_that_is_one(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), f"{name} has no description"
        assert "Attributes:" not in schema["description"], name
        assert schema["examples"], f"{name} has no example"
        for example in schema["examples"]:
            assert [error.message for error in validator(schema, document).iter_errors(example)] == [], name


def test_the_notes_of_a_record_describe_its_properties(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["Rank"]["properties"]
    assert properties["low"]["description"].startswith("the best rank that is not ruled out")
    assert [name for name, one in properties.items() if "description" not in one] == []


def test_what_is_sent_with_an_answer_is_declared(document: dict[str, Any]) -> None:
    by_id = {operation["operationId"]: operation["responses"] for _, _, operation in operations(document)}
    assert "Location" in by_id["submit_job"]["202"]["headers"]
    assert "ETag" in by_id["get_table"]["304"]["headers"]
    answers = document["components"]["responses"]
    assert "Retry-After" in answers["TooManyRequests"]["headers"]
    assert "WWW-Authenticate" in answers["Unauthorized"]["headers"]
    assert all("X-Request-ID" in answer["headers"] for answer in answers.values())


@pytest.fixture
def paths(store: Store) -> list[str]:
    """Paths of answers of every shape that a store can hold."""
    two = [{"name": "digits-mlp", "label": str(hidden), "params": {"hidden": hidden}} for hidden in (8, 16)]
    search = {"space": {"lr": {"log": [0.01, 0.1]}, "rho": {"log": [0.1, 1.0]}}, "optimizers": [{"name": "sam"}]}
    specs = [
        (small_spec(name="whole", tasks=two, seeds={"count": 10}), completed),
        (small_spec(name="border", optimizers=[{"name": "gd"}], space={"lr": {"log": [0.01, 1], "n": 3}}), completed),
        (small_spec(name="mixed", seeds={"base": 30, "count": 2}), mixed),
        (small_spec(name="bad", seeds={"base": 60, "count": 2}), diverged),
        (small_spec(name="random", **search, search={"method": "sobol", "n_configurations": 4}), completed),
        (landscape_spec(), trained),
    ]
    jobs = [run_made_up(store, submit(store, spec), outcome) for spec, outcome in specs]
    again, _ = store.submit(new_rerun(store, jobs[2].id))
    run_made_up(store, again, mixed)
    jobs.append(submit(store, small_spec(name="queued", seeds={"base": 90, "count": 2})))
    store.create_webhook(
        NewWebhook(
            url="https://a.example", secret=new_secret(), events=("job.completed",), description="", enabled=True
        ),
        principal="local",
        idempotency_key=None,
    )
    hook = store.webhooks(1, 0)[0].id
    store.test_webhook(hook)
    store.add_key(new_key(), "a key", Scope.READ)
    one = store.records(jobs[0].id, limit=1)[0].record.id
    nightly = schedule(store, thresholds=Thresholds(factor=2.0, measures=("best",)))
    run = start_run(store)
    set_baseline(store, "main", jobs[0].id)
    add_alert(store._database, run, run, acknowledged=True)
    return [
        "/api/v1/jobs",
        "/api/v1/alerts",
        f"/api/v1/alerts/{store.alerts(1)[0].id}",
        "/api/v1/baselines",
        "/api/v1/baselines/main",
        *(f"/api/v1/comparisons?baseline=main&candidate={job.id}" for job in jobs[:2]),
        f"/api/v1/records/{one}",
        "/api/v1/schedules",
        *(f"/api/v1/schedules/{nightly.id}{part}" for part in ("", "/history", f"/history/{run.id}")),
        "/api/v1/webhooks",
        f"/api/v1/webhooks/{hook}",
        f"/api/v1/webhooks/{hook}/deliveries",
        "/api/v1/keys",
        *(f"/api/v1/{name}" for name in ("optimizers", "bases", "tasks", "measures", "figures", "schemas/spec.json")),
        f"/api/v1/jobs/{again.id}/rerun",
        f"/api/v1/tables?job={jobs[0].id}&job={jobs[2].id}",
        f"/api/v1/figures/heatmap?job={jobs[0].id}&job={jobs[2].id}&format=json",
        f"/api/v1/scores?{'&'.join(f'job={job.id}' for job in jobs)}",
        f"/api/v1/jobs/{jobs[1].id}/extensions?choose=refine:lr",
        *("/healthz", "/readyz", "/version"),
        *(f"/api/v1/jobs/{job.id}{part}" for job in jobs for part in OF_JOBS),
    ]


OF_JOBS = (
    "",
    "/records?curves=true",
    "/table",
    "/table?view=equal_gradient_evaluations",
    "/surface",
    "/surface?split=validation",
    "/slices",
    "/tuning",
    "/figures/heatmap?format=json",
)


def template_of(path: str, document: dict[str, Any]) -> str:
    """Return the path of the document that a path of a request is of."""
    plain = path.partition("?")[0]
    found: list[str] = [one for one in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), plain)]
    return next((one for one in found if "{" not in one), found[0])


@pytest.mark.slow
def test_what_is_sent_is_what_is_declared_and_nothing_beside(
    web: httpx.Client, store: Store, paths: list[str], document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "has_keys", lambda _: False)  # one is shown, but none is needed
    seen: dict[str, set[int]] = {}
    for path in paths:
        answer = web.get(path, headers={"Accept": "application/json"})
        template = template_of(path, document)
        responses = document["paths"][template]["get"]["responses"]
        assert str(answer.status_code) in responses, f"{path}: {answer.status_code} {answer.text[:300]}"
        seen.setdefault(template, set()).add(answer.status_code)
        kind = answer.headers["Content-Type"].partition(";")[0]
        schema = content(responses[str(answer.status_code)], document)[kind]["schema"]
        errors = validator(schema, document, strict=True).iter_errors(answer.json())
        assert [f"{error.message} at {list(error.instance_path)}" for error in errors][:5] == [], path
    assert [template for template, statuses in seen.items() if 200 not in statuses] == []
    sent_as_json = {
        path
        for path, item in document["paths"].items()
        if "application/json" in content(item.get("get", {"responses": {}})["responses"].get("200", {}), document)
    }
    assert sent_as_json - seen.keys() == set(), "show one of these too"
