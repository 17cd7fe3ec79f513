"""Messages lead to the page that shows what they tell."""

import json
import re
from typing import Any

import pytest
from starlette.routing import Route

from service.web.pages import router
from service.webhooks.linking import linked

URL = "https://rhobust.example.org/team"


@pytest.mark.parametrize(
    ("event", "data", "path"),
    [
        ("job.completed", {"id": "7k2m9x4qfa"}, "/jobs/7k2m9x4qfa"),
        ("job.cancelled", {"id": "7k2m9x4qfa"}, "/jobs/7k2m9x4qfa"),
        ("alert.opened", {"alert": {"id": "a1"}, "schedule": {"id": "s1"}}, "/alerts/a1"),
        ("alert.closed", {"alert": {"id": "a1"}, "schedule": {"id": "s1"}}, "/alerts/a1"),
        ("schedule.run_failed", {"schedule": {"id": "s1"}, "run": {"id": "r1"}}, "/schedules/s1"),
        ("webhook.test", {"webhook_id": "w1"}, "/"),
    ],
)
def test_a_message_links_to_a_page_that_there_is(event: str, data: dict[str, Any], path: str) -> None:
    message = {"type": event, "timestamp": "2026-11-26T23:31:07.412+00:00", "data": data}
    body = json.dumps(message)
    assert json.loads(linked(body, URL)) == {**message, "link": URL + path}
    assert linked(body, None) == body.encode()
    pages = [route.path for route in router.routes if isinstance(route, Route)]
    assert any(re.fullmatch(re.sub(r"{\w+}", r"[^/]+", page), path) for page in pages)
