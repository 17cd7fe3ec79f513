"""The references of REST calls, and of the shapes that they send and answer, from the OpenAPI document."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.generate.markdown import code, page, paragraphs, sentence, table
from docs.generate.schemas import Renderer, description_of
from service.web.openapi import operations

DOCUMENT = Path(__file__).parents[1] / "openapi.json"
SHAPES = "shapes.md"
LEAD = """\
Every call of the server. [Over HTTP](../http.md) shows those that are needed most. The OpenAPI document of which this
page is made is served as `/api/v1/openapi.json`, and kept in the repository as `docs/openapi.json`. What is sent and
answered is described in [Shapes](shapes.md)."""
SHAPES_LEAD = """\
What [REST calls](rest.md) send and answer. An answer leaves no field out: what is not known is null. A newer server may
answer further fields, so take those that you do not know for nothing."""


def load() -> dict[str, Any]:
    """Return the document that is kept."""
    return dict(json.loads(DOCUMENT.read_text(encoding="utf-8")))


def rest_page(document: Mapping[str, Any]) -> str:
    """Return the page of calls."""
    sections = []
    for tag in document["tags"]:
        sections.append(f"## {tag['name'].capitalize()}\n\n{sentence(tag['description'])}")
        sections += [
            _operation(method.upper(), path, operation, document)
            for method, path, operation in operations(document)
            if tag["name"] in operation["tags"]
        ]
    return page("REST reference", LEAD, document["info"]["description"].replace("\n", "\n\n"), *sections)


def shapes_page(document: Mapping[str, Any]) -> str:
    """Return the page of shapes."""
    renderer = Renderer()
    sections = []
    for name, schema in document["components"]["schemas"].items():
        body = renderer.fields(schema) or f"{renderer.type_of(schema)}."
        sections.append(f"## {name}\n\n{_listed(paragraphs(schema['description']))}\n\n{body}")
    return page("Shapes", SHAPES_LEAD, *sections)


def _listed(text: str) -> str:
    """Return a description with its list, if it has one, set apart as Markdown wants it."""
    head, *items = text.split(" - ")
    return "\n".join([head, "", *(f"- {item}" for item in items)]) if items else head


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    renderer = Renderer(SHAPES)
    scopes = [scope for one in operation.get("security", ()) for scope in one.get("ApiKey", ())]
    parts = [
        f"### {method} {path}",
        sentence(operation["summary"]),
        operation.get("description", ""),
        f"Scope: {code(scopes[-1])}." if scopes else "Open to everybody.",
        _body(operation, renderer),
        _parameters(operation, renderer),
        _answers(operation, document, renderer),
    ]
    return "\n\n".join(part for part in parts if part)


def _body(operation: Mapping[str, Any], renderer: Renderer) -> str:
    body = operation.get("requestBody")
    if body is None:
        return ""
    types = " or ".join(renderer.type_of(one["schema"]) for one in body["content"].values())
    return f"Body: {types}{'' if body.get('required') else ', or none'}."


def _parameters(operation: Mapping[str, Any], renderer: Renderer) -> str:
    rows = [
        (code(one["name"]), one["in"], renderer.type_of(one["schema"]), _described(one))
        for one in operation.get("parameters", ())
    ]
    return table(("parameter", "in", "type", "meaning"), rows)


def _described(parameter: Mapping[str, Any]) -> str:
    default = parameter["schema"].get("default")
    shown = f"; {code(json.dumps(default))} by default" if default not in (None, []) else ""
    return description_of(parameter) + shown


def _answers(operation: Mapping[str, Any], document: Mapping[str, Any], renderer: Renderer) -> str:
    rows, errors = [], []
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        if int(status) >= 400:
            errors.append(f"{status} {response['description']}")
            continue
        types = [_content(kind, one, renderer) for kind, one in response.get("content", {}).items()]
        rows.append((status, ", ".join(types), response["description"]))
    shown = table(("answer", "content", "when"), rows)
    return f"{shown}\n\nErrors: {'; '.join(errors)}."


def _content(kind: str, one: Mapping[str, Any], renderer: Renderer) -> str:
    if kind.endswith("json") or kind == "text/event-stream":
        return renderer.type_of(one["schema"])
    return code(kind)
