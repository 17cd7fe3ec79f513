"""Writing specs: a document as compact YAML that people read and edit, without what the defaults say anyway."""

from collections.abc import Mapping
from typing import Any

import yaml

from benchmark.parsing import SpecModel
from benchmark.spec import Spec
from benchmark.spec.models import Budget, Limits, MetricChoice, Resources, Search, Seeds

LISTS = ("tasks", "optimizers")  # an entry a line
PARTS: Mapping[str, type[SpecModel]] = {
    "budget": Budget,
    "search": Search,
    "seeds": Seeds,
    "metric": MetricChoice,
    "resources": Resources,
    "limits": Limits,
}
KEPT = {"seeds": ("count",)}  # said although it is the default: a reader looks for it


def spec_text(document: Mapping[str, Any]) -> str:
    """Return a spec as YAML: a line a key, an optimizer, a task and an axis.

    Args:
        document: a spec as plain values, with or without its defaults; names in it need not be known.
    """
    compact = {"schema_version": 1, **_compact(document)}
    lines = []
    for name in dict.fromkeys((*Spec.model_fields, *compact)):
        if name in compact:
            lines += _lines(name, compact[name])
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any) -> list[str]:
    if name in LISTS and isinstance(value, list):
        return [f"{name}:", *(f"  - {_flow(entry)}" for entry in value)]
    if name == "space" and isinstance(value, Mapping) and len(value) > 1:
        return [f"{name}:", *(f"  {_flow(axis)}: {_flow(values)}" for axis, values in value.items())]
    return [f"{_flow(name)}: {_flow(value)}"]


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").removesuffix("\n")  # other white space may be part of a text


def _compact(document: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _part(name, value) for name, value in document.items() if not _is_default(Spec, name, value)}
    found |= {name: [_entry(one) for one in document[name]] for name in LISTS if isinstance(document.get(name), list)}
    return {name: value for name, value in found.items() if value not in ({}, [], None)}


def _entry(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {name: part for name, value in entry.items() if (part := _part(name, value)) not in ({}, [], None)}


def _part(name: str, value: Any) -> Any:
    """Return a part without what is the default of its model."""
    if name not in PARTS or not isinstance(value, Mapping):
        return value
    kept = KEPT.get(name, ())
    return {key: one for key, one in value.items() if key in kept or not _is_default(PARTS[name], key, one)}


def _is_default(model: type[SpecModel], name: str, value: Any) -> bool:
    field = model.model_fields.get(name)
    return field is not None and field.default == value  # what is needed has a default that equals nothing
