"""Types and fields of JSON Schemas in words."""

import json
from collections.abc import Mapping
from typing import Any

from docs.generate.markdown import anchor, code, table

Schema = Mapping[str, Any]
COLUMNS = ("key", "type", "default", "meaning")


class Renderer:
    """Words for the schemas of one document.

    Args:
        place: page on which named schemas stand; empty for the same page.
    """

    def __init__(self, place: str = "") -> None:
        self._place = place

    def _link(self, reference: str) -> str:
        """Return a link to a named schema."""
        name = reference.rpartition("/")[2]
        return f"[{name}]({self._place}#{anchor(name)})"

    def type_of(self, schema: Schema) -> str:
        """Return the type of a value, with its range."""
        if "$ref" in schema:
            return self._link(schema["$ref"])
        if "allOf" in schema and len(schema["allOf"]) == 1:
            return self.type_of(schema["allOf"][0])
        if "anyOf" in schema or "oneOf" in schema:
            found = [self.type_of(part) for part in schema.get("anyOf", schema.get("oneOf", ()))]
            return " or ".join(dict.fromkeys(found))
        if "const" in schema:
            return code(json.dumps(schema["const"]))
        if "enum" in schema:
            return ", ".join(code(value) for value in schema["enum"])
        return self._plain(schema)

    def _plain(self, schema: Schema) -> str:
        kind = schema.get("type", "any value")
        if kind == "array":
            return self._array(schema)
        if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
            return f"mapping of names to {self.type_of(schema['additionalProperties'])}"
        words = {"string": "text", "object": "mapping", "boolean": "true or false"}
        return " ".join(part for part in (words.get(kind, kind), _format(schema), _range(schema)) if part)

    def _array(self, schema: Schema) -> str:
        if "prefixItems" in schema:
            return "[" + ", ".join(self.type_of(part) for part in schema["prefixItems"]) + "]"
        low, high = schema.get("minItems"), schema.get("maxItems")
        counts = f" ({low or 0} to {high})" if high is not None else ""
        return f"list of {self.type_of(schema.get('items', {}))}{counts}"

    def fields(self, schema: Schema) -> str:
        """Return the fields of an object as a table."""
        required = schema.get("required", ())
        return table(
            COLUMNS,
            [
                (code(name), self.type_of(part), _default(part, is_needed=name in required), description_of(part))
                for name, part in schema.get("properties", {}).items()
            ],
        )


def description_of(schema: Schema) -> str:
    """Return what a schema says of itself, or what its only described part does."""
    if "description" in schema:
        return str(schema["description"])
    found = [str(part["description"]) for part in schema.get("anyOf", ()) if "description" in part]
    return found[0] if len(found) == 1 else ""


def _format(schema: Schema) -> str:
    if "format" in schema:
        return f"({schema['format']})"
    return f"like {code(schema['pattern'])}" if "pattern" in schema else ""


def _range(schema: Schema) -> str:
    """Return the bounds of a number, or the length of a text."""
    if "maxLength" in schema:
        return f"of {schema.get('minLength', 0)} to {schema['maxLength']:,} characters"
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    return ", ".join(f"{sign} {_number(schema[name])}" for name, sign in bounds if name in schema)


def _number(value: float) -> str:
    return f"{value:,}" if value == int(value) else str(value)


def _default(schema: Schema, *, is_needed: bool) -> str:
    if is_needed:
        return "*needed*"
    value = schema.get("default")
    return "" if value is None else code(json.dumps(value))
