"""The OpenAPI document: what FastAPI knows of the routes, completed by what all calls of a kind have in common.

`python -m service.web.openapi` prints it; `make openapi` keeps it as docs/openapi.json.
"""

import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from benchmark import Spec
from service.web.examples import example_of
from service.web.problems import MEDIA_TYPE, ProblemDocument
from service.web.shapes import JobEventShape

REF = "#/components/schemas/"
EVENTS = "text/event-stream"
PREFIX = "/api/v1"
WRITES = frozenset({"post", "put", "patch", "delete"})
# Two records of a job's shape go by names that those of a table have too.
NAMES = {"MissingShape": "JobMissing", "MissingCellShape": "JobMissingCell", "ProblemDocument": "Problem"}
TAGS = {
    "jobs": "submit, list, follow, steer, delete",
    "results": "records, robustness tables, surfaces, figures, what came of reruns",
    "alerts": "what has become worse in the runs of schedules, and who knows of it",
    "baselines": "completed jobs under names, and what changed since",
    "catalogue": "what a spec may name, and what a table tells",
    "schedules": "what is run again and again, and what became of it",
    "webhooks": "who is told of ends of jobs, alerts and runs that failed; for administrators",
    "keys": "who may call; for administrators",
    "server": "health, metrics, version; open to everybody",
}
ERRORS = {
    HTTPStatus.BAD_REQUEST: "the body cannot be read",
    HTTPStatus.UNAUTHORIZED: "no API key, or one that lets nobody in",
    HTTPStatus.FORBIDDEN: "the key's scope does not allow this, or another site's page sent it",
    HTTPStatus.NOT_FOUND: "it is not there",
    HTTPStatus.NOT_ACCEPTABLE: "none of the formats is one that Accept allows",
    HTTPStatus.CONFLICT: "something does not allow this: the state of the job, a baseline that names it, a name that "
    "is taken, a run under way, or that the alert is closed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than 1 MiB",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body is not application/json",
    HTTPStatus.MISDIRECTED_REQUEST: "the server does not answer to this host",
    HTTPStatus.UNPROCESSABLE_ENTITY: "what was sent breaks a rule; `errors` says which, and where",
    HTTPStatus.TOO_MANY_REQUESTS: "too many requests, or too many queued jobs",
    HTTPStatus.SERVICE_UNAVAILABLE: "not now: the database is away, or there is no room for one more reader",
}
HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-ID": ("under which the server's log has this request", "4f2a9c1be07d3385"),
    "ETag": ("names this state; send it back as If-None-Match", 'W/"7"'),
    "Location": ("path of what was made", "/api/v1/jobs/3k9x2m7qfa"),
    "Retry-After": ("seconds to wait before the next try", "2"),
    "WWW-Authenticate": ("how to authenticate", 'Bearer realm="rhobust"'),
    "Content-Disposition": ("a name for the file, where the answer is one", 'attachment; filename="table.csv"'),
}
OF_ERRORS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}
DESCRIPTION = """\
Errors are problem documents (RFC 9457). Lists come in pages: send `next_page_token` back as `page_token`.
A value that is not defined is null beside a reason, never 0; NaN and infinity do not occur.
Send `Authorization: Bearer rhb_...`; a server for which no key was made listens on loopback only and needs none."""


def operation_id(route: APIRoute) -> str:
    """Return the id of a route's operation, which generated clients have as a name: that of its function."""
    return route.name


class DescribedAPI(FastAPI):
    """FastAPI whose document is complete."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


def described_app(**options: Any) -> DescribedAPI:
    """Return an app that tells what the API is; further options are FastAPI's."""
    return DescribedAPI(
        title="Rhobust",
        summary="How robust is an optimizer to its hyperparameters?",
        description=DESCRIPTION,
        version=version("rhobust"),
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "this server"}],
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        openapi_url=f"{PREFIX}/openapi.json",
        # The stock pages load their scripts from another host.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        **options,
    )


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of every operation."""
    for path, item in document["paths"].items():
        yield from ((method, path, operation) for method, operation in item.items())


def document_text(document: Mapping[str, Any]) -> str:
    """Return the document as it is kept in a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model, mode in ((ProblemDocument, "serialization"), (JobEventShape, "serialization"), (Spec, "validation")):
        _add(schemas, model, mode)
    for method, path, operation in operations(document):
        _summarise(operation)
        _add_errors(method, path, operation)
        _add_headers(operation)
    document = _renamed(document)
    schemas = document["components"]["schemas"]
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            _simplify(parameter)
    schemas["JobEvent"]["properties"]["data"]["contentSchema"] = {"$ref": REF + "Job"}
    sent = _reached(schemas, [operation.get("requestBody") for _, _, operation in operations(document)])
    for name, schema in schemas.items():
        _drop_titles(schema)
        _distribute_notes(schema)
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])  # an answer leaves nothing out
            for described in schema["properties"].values():
                described.pop("default", None)
        schema.setdefault("examples", [example_of(name, schemas)])
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["responses"] = {_error_name(status): _problem_response(status) for status in ERRORS}
    document["components"]["headers"] = {
        name: {"description": text, "schema": {"type": "string"}, "example": example}
        for name, (text, example) in HEADERS.items()
    }
    return document


def _add(schemas: dict[str, Any], model: Any, mode: Any) -> None:
    """Add a model and all that it is made of."""
    schema = model.json_schema() if model is Spec else TypeAdapter(model).json_schema(mode=mode)
    text = json.dumps(schema).replace("#/$defs/", REF)
    schema = json.loads(text)
    parts = schema.pop("$defs", {})
    schemas.update({model.__name__: schema, **parts})


def _summarise(operation: dict[str, Any]) -> None:
    """Take the first sentence of the description as the summary."""
    text = " ".join(operation["description"].split("\n\n")[0].split())
    operation["summary"] = re.split(r"(?<=[^.])\. |\.$", text)[0]
    if text == f"{operation['summary']}." == operation["description"]:
        del operation["description"]


def _add_errors(method: str, path: str, operation: dict[str, Any]) -> None:
    """Describe every error that the call can answer: those of its route, and those that all calls of its kind have."""
    responses = operation["responses"]
    found = {int(status) for status, response in responses.items() if int(status) >= 400}
    found |= {HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    found.add(HTTPStatus.UNPROCESSABLE_ENTITY)  # of a query that names what the call does not have
    scopes = {scope for one in operation.get("security", ()) for scope in one.get("ApiKey", ())}
    if scopes:
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    if scopes - {"read"}:
        found.add(HTTPStatus.FORBIDDEN)
    if "{" in path:
        found.add(HTTPStatus.NOT_FOUND)
    if method in WRITES:
        found.add(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if "requestBody" in operation and REF + "Spec" not in json.dumps(operation["requestBody"]):
        found.add(HTTPStatus.BAD_REQUEST)  # FastAPI's own answer to what is no text
    for status in sorted(found):
        responses[str(int(status))] = {"$ref": f"#/components/responses/{_error_name(status)}"}
    if "304" in responses:
        responses["304"] = {"description": "the client has it already"}
        operation.setdefault("parameters", []).append(
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "the ETag of an earlier answer: 304 if nothing has changed since",
                "schema": {"type": "string"},
                "example": 'W/"7"',
            }
        )
    operation["responses"] = dict(sorted(responses.items()))


def _add_headers(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if "$ref" in response:
            continue
        if EVENTS in response.get("content", {}):
            response["content"] = {EVENTS: {"schema": {"$ref": REF + JobEventShape.__name__}}}
        names = ["X-Request-ID"]
        if "304" in operation["responses"] and status in ("200", "304"):
            names.append("ETag")
        if operation["operationId"] in ("submit_job", "create_webhook") and status in ("200", "201", "202"):
            names.append("Location")
        if status == "200" and len(response.get("content", ())) > 1:
            names.append("Content-Disposition")
        response["headers"] = _headers(names)


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _problem_response(status: HTTPStatus) -> dict[str, Any]:
    return {
        "description": ERRORS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF + NAMES[ProblemDocument.__name__]}}},
        "headers": _headers(["X-Request-ID", *OF_ERRORS.get(status, ())]),
    }


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """Give the schemas the names that a client is to have."""
    schemas = document["components"]["schemas"]
    names = {name: NAMES.get(name, name.removesuffix("Shape")) for name in schemas}
    twice = sorted(name for name in set(names.values()) if list(names.values()).count(name) > 1)
    if twice:
        raise ValueError(f"each schema must have a name of its own, but there is more than one {', '.join(twice)}.")
    text = re.sub(rf'"{REF}([^"/]+)"', lambda match: f'"{REF}{names.get(match[1], match[1])}"', json.dumps(document))
    renamed: dict[str, Any] = json.loads(text)
    described = {names[name]: schema for name, schema in renamed["components"]["schemas"].items()}
    renamed["components"]["schemas"] = described
    return renamed


def _reached(schemas: Mapping[str, Any], start: Any) -> set[str]:
    """Return the names of all schemas that are referred to, directly or not."""
    found: set[str] = set()
    waiting = _referred(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= _referred(schemas[name])
    return found


def _referred(part: Any) -> set[str]:
    return set(re.findall(rf'"{REF}([^"/]+)"', json.dumps(part)))


def _simplify(parameter: dict[str, Any]) -> None:
    """Say of a parameter what a client must know: null cannot be sent in a path, a query or a header."""
    schema = parameter["schema"]
    schema.pop("description", None)
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
    _drop_titles(schema)


def _drop_titles(schema: dict[str, Any]) -> None:
    """Drop the titles that pydantic makes of names: a generated client would make a type of each."""
    schema.pop("title", None)
    for part in schema.get("properties", {}).values():
        _drop_titles(part)
    for place in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(place), dict):
            _drop_titles(schema[place])
    for part in (*schema.get("anyOf", ()), *schema.get("prefixItems", ())):
        _drop_titles(part)


def _distribute_notes(schema: dict[str, Any]) -> None:
    """Move what the docstring of a record says of its attributes to the properties."""
    lead, _, notes = schema.get("description", "").partition("\n\nAttributes:\n")
    if not notes:
        return
    schema["description"] = lead
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(notes.partition("\n\n")[0])):
        name, _, text = entry.partition(": ")
        text = " ".join(text.split()).replace("None", "null").removesuffix(".")
        if name in schema.get("properties", ()):
            schema["properties"][name].setdefault("description", text)
        elif "enum" in schema:  # whose values have no place of their own
            schema["description"] += f"\n- {name.lower()}: {text}"


def _main() -> None:
    from service.settings import Settings  # a document needs neither store nor settings; an app is made with both
    from service.store import Store
    from service.web.app import create_app

    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/unused.db", create=True) as store:
        sys.stdout.write(document_text(create_app(store, Settings()).openapi()))


if __name__ == "__main__":
    _main()
