"""Linking: a message leads to the page that shows what it tells, where the server knows the address of its pages."""

import json
from collections.abc import Mapping
from typing import Any


def linked(body: str, public_url: str | None) -> bytes:
    """Return what is sent of a message: itself, with a `link` for people beside its data.

    Args:
        body: JSON, as it lies in the outbox.
        public_url: of the server as people reach it, without a slash at its end; None where it does not know that.
    """
    if public_url is None:
        return body.encode()
    message = json.loads(body)
    message["link"] = public_url + _path(message["type"], message["data"])
    return json.dumps(message, separators=(",", ":")).encode()


def _path(event: str, data: Mapping[str, Any]) -> str:
    """Return the path of the page for an event."""
    match event.partition(".")[0]:
        case "job":
            return f"/jobs/{data['id']}"
        case "alert":
            return f"/alerts/{data['alert']['id']}"
        case "schedule":
            return f"/schedules/{data['schedule']['id']}"
    return "/"
