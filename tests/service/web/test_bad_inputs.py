"""Values that one database or the other cannot keep: each is refused by us, and none of them is a fault."""

import base64
import json
import re
from typing import Any

import httpx
import pytest

from service.store import Store
from service.web.openapi import operations
from tests.service.conftest import BACKENDS
from tests.service.filling import run_made_up, small_spec, submit

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("backend", BACKENDS)]
JOBS = "/api/v1/jobs"
JSON = {"Content-Type": "application/json"}
INT32, INT64 = 2**31, 2**63  # the first integers beyond what columns hold
BIG = 10**400


@pytest.fixture
def job_url(store: Store) -> str:
    """Path of a completed job."""
    return f"{JOBS}/{run_made_up(store, submit(store)).id}"


def refused(response: httpx.Response, status: int = 422) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    assert "the database" not in response.text, "we refuse it, and tell nobody where our database is"


@pytest.mark.parametrize("dry_run", ["false", "true"])
@pytest.mark.parametrize(
    "content",
    [
        '{"name": "x", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [NaN]}}}',
        '{"name": "x", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [1e999]}}}',
        '{"name": "x", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [-Infinity]}}}',
        '{"name": "a\\u0000b", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [0.1]}}}',
        '{"name": "x", "tags": ["\\u0000"], "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [0.1]}}}',
        '{"name": "\\ud800", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [0.1]}}}',
    ],
)
def test_what_no_column_keeps_is_not_in_a_spec(web: httpx.Client, store: Store, content: str, dry_run: str) -> None:
    refused(web.post(JOBS, content=content, headers=JSON, params={"dry_run": dry_run}))
    assert store.jobs() == []


@pytest.mark.parametrize("number", [INT32, INT64, BIG])
@pytest.mark.parametrize(
    "at",
    [
        lambda number: {"priority": number},
        lambda number: {"seeds": {"base": number}},
        lambda number: {"seeds": {"count": number}},
        lambda number: {"budget": {"epochs": number}},
        lambda number: {"resources": {"pack": number}},
        lambda number: {"limits": {"job_s": number}},
        lambda number: {"space": {"lr": {"log": [0.01, 0.1], "n": number}}},
    ],
    ids=["priority", "base", "count", "epochs", "pack", "job_s", "n"],
)
def test_a_huge_number_is_refused_or_kept(web: httpx.Client, store: Store, at: Any, number: int) -> None:
    """Some of these fit; what matters is that the database is not what says so."""
    response = web.post(JOBS, json=small_spec(**at(number)))
    if response.status_code == 202:
        assert web.get(response.headers["Location"]).status_code == 200
    else:
        refused(response)
        assert store.jobs() == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("", {"page_size": "-1"}),
        ("", {"page_size": "0"}),
        ("", {"page_size": "501"}),
        ("", {"page_size": str(INT32)}),
        ("", {"page_size": str(BIG)}),
        ("", {"state": "\x00"}),
        ("", {"sort": "\x00"}),
        ("", {"sort": "id"}),
        ("/records", {"page_size": "-1"}),
        ("/records", {"page_size": str(INT64)}),
        ("/records", {"page_token": "\x00" * 32}),
        ("/records", {"status": "\x00"}),
        ("/logs", {"tail": "-1"}),
        ("/logs", {"tail": str(INT64)}),
        ("/table", {"format": "\x00"}),
    ],
)
def test_a_bad_parameter_is_refused(web: httpx.Client, job_url: str, path: str, params: dict[str, str]) -> None:
    refused(web.get((job_url if path else JOBS) + path, params=params))


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (JOBS, {"page_siz": "3"}, "unknown parameter 'page_siz'; did you mean 'page_size'? Known: page_size, page_tok"),
        (JOBS, {"job_state": "queued"}, "unknown parameter 'job_state'"),
        ("/records", {"formt": "csv"}, "did you mean 'format'?"),
        ("/table", {"forma": "md"}, "did you mean 'format'? Known: format, view."),
        ("", {"x": "1"}, "unknown parameter 'x'. Known: none."),
        ("/events", {"last": "1"}, "unknown parameter 'last'"),
        ("/api/v1/optimizers", {"name": "sam"}, "Known: none."),
        ("/api/v1/keys", {"scope": "read"}, "unknown parameter 'scope'"),
        ("/healthz", {"deep": "1"}, "unknown parameter 'deep'"),
        ("/metrics", {"name": "x"}, "unknown parameter 'name'"),
        (JOBS, {"x" * 5000: "1"}, f"unknown parameter '{'x' * 100}'"),
        (JOBS, {"\x00": ""}, "unknown parameter"),
    ],
)
def test_an_unknown_parameter_is_refused(
    web: httpx.Client, job_url: str, path: str, query: dict[str, str], message: str
) -> None:
    response = web.get(
        path if path.startswith("/api") or path in ("/healthz", "/metrics") else job_url + path, params=query
    )
    refused(response)
    (problem,) = response.json()["errors"]
    assert problem["pointer"].startswith("/query/")
    assert message in problem["detail"]


def test_every_call_refuses_an_unknown_parameter(web: httpx.Client) -> None:
    for method, path, _ in operations(web.get("/api/v1/openapi.json").json()):
        filled = re.sub(r"{(record_id)}", "0" * 32, path)
        filled = re.sub(r"{(key_id|webhook_id)}", "0" * 10, filled)
        response = web.request(method, re.sub(r"{\w+}", "x", filled), params={"nonsense": "1"}, json={})
        assert response.status_code == 422, (method, path, response.text)
        assert "/query/nonsense" in [problem["pointer"] for problem in response.json()["errors"]], (method, path)


@pytest.mark.parametrize("text", ["a\x00b", "%", "'", "\\", "\U0001f600"])
@pytest.mark.parametrize(
    ("path", "name"), [("", "text"), ("", "tag"), ("", "task"), ("", "submitted_by"), ("/records", "optimizer")]
)
def test_whatever_text_one_looks_for_is_answered(
    web: httpx.Client, job_url: str, path: str, name: str, text: str
) -> None:
    """A text that cannot be kept is found nowhere, or is refused."""
    response = web.get((job_url if path else JOBS) + path, params={name: text})
    if "\x00" in text and response.status_code != 200:
        refused(response)
        return
    assert response.status_code == 200, response.text
    assert response.json()["items"] == []


def token(*values: Any) -> str:
    """Return what a token of a list of jobs looks like."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


BAD_TOKENS = [
    "-1",
    "9" * 19,
    "\x00",
    "é",
    "=",
    "x" * 2_001,
    "_" * 2_000,
    token(),
    token("-created_at", None),
    token("-created_at", None, None),
    token("-created_at", None, True),
    token("-created_at", None, -1),
    token("-created_at", None, INT32),
    token("-created_at", None, INT64),
    token("-created_at", None, 10**30),
    token("-created_at", None, 0.5),
    token("-created_at", None, 1, 2),
    token("-created_at", 1, 1),
    token("created_at", None, 1),
    token({}, None, 1),
    base64.urlsafe_b64encode(b"[" * 1_400).decode().rstrip("="),
    base64.urlsafe_b64encode(b"9" * 1_400).decode().rstrip("="),
    base64.urlsafe_b64encode(b'["-created_at", NaN, 1]').decode().rstrip("="),
]


@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_a_token_of_no_page_is_refused(web: httpx.Client, bad: str) -> None:
    refused(web.get(JOBS, params={"page_token": bad}))


BAD_VALUES: dict[str, list[Any]] = {
    "-priority": [None, "1", 0.5, True, INT32, -(2**40), 10**30, [1]],
    "name": [None, 1, "a\0b", "\ud800", "x" * 201],
    "finished_at": [1, "1", 10**30, {}],
}


@pytest.mark.parametrize(("sort", "value"), [(sort, value) for sort, bad in BAD_VALUES.items() for value in bad])
def test_a_token_with_a_value_of_no_job_is_refused(web: httpx.Client, sort: str, value: Any) -> None:
    refused(web.get(JOBS, params={"page_token": token(sort, value, 1), "sort": sort}))


def test_the_largest_token_there_can_be_is_a_page(web: httpx.Client, job_url: str) -> None:
    for sort, value in (("-created_at", None), ("-priority", INT32 - 1), ("-finished_at", 1e308), ("-name", "\uffff")):
        page = web.get(JOBS, params={"page_token": token(sort, value, INT32 - 1), "sort": sort})
        assert page.status_code == 200, page.text
        assert len(page.json()["items"]) == 1


@pytest.mark.parametrize("name", ["a%00b", "%00", "a%2Fb", "%ED%A0%80", "9" * 65])
def test_an_id_that_no_job_can_have_is_refused(web: httpx.Client, job_url: str, name: str) -> None:
    for method, path in (("GET", ""), ("GET", "/records"), ("GET", "/table"), ("POST", "/cancel"), ("DELETE", "")):
        response = web.request(method, f"{JOBS}/{name}{path}")
        refused(response, 404 if "%2F" in name else 422)


@pytest.mark.parametrize("key", ["a b", "x" * 129, "\x7f"])
def test_a_bad_idempotency_key_is_refused(web: httpx.Client, store: Store, key: str) -> None:
    refused(web.post(JOBS, json=small_spec(), headers={"Idempotency-Key": key}))
    assert store.jobs() == []


@pytest.mark.parametrize(
    "content",
    [
        '{"limits": {"job_s": NaN}}',
        '{"limits": {"job_s": 1e999}}',
        '{"limits": "\\u0000"}',
        '{"limit": {"job_s": 1}}',
    ],
)
def test_a_retry_takes_no_limits_that_are_none(web: httpx.Client, job_url: str, content: str) -> None:
    refused(web.post(f"{job_url}/retry", content=content, headers=JSON))
