"""How the client reads the history of a schedule, from a server of the test."""

from typing import Any

import httpx
import pytest

from service.client import Client

TIME = "2026-03-01T03:00:00.000+00:00"
POINT: dict[str, Any] = {
    "run_id": "r3",
    "due_at": TIME,
    "job_id": None,
    "previous_run_id": "r2",
    "changes": [],
    "made_by": None,
    "differs": {},
}


def run(run_id: str) -> dict[str, Any]:
    values = ("job_id", "verdict", "reason", "measures", "made_by", "judged_at")
    times = {"due_at": TIME, "started_at": TIME, "n_missed": 0, "manual": False, "state": "judged"}
    return {"id": run_id, **times, **dict.fromkeys(values), "baseline": {"job_id": None, "name": None}}


@pytest.mark.parametrize(
    ("n", "ids", "tokens"),
    [
        (1, ["r5"], [None]),
        (2, ["r5", "r4"], [None]),
        (3, ["r5", "r4", "r3"], [None, "t4"]),
        (9, ["r5", "r4", "r3", "r2", "r1"], [None, "t4", "t2"]),
    ],
)
def test_change_points_come_once_with_the_first_page(n: int, ids: list[str], tokens: list[str | None]) -> None:
    asked: list[str | None] = []
    pages: dict[str | None, tuple[list[str], str | None]] = {
        None: (["r5", "r4"], "t4"),
        "t4": (["r3", "r2"], "t2"),
        "t2": (["r1"], None),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        token = request.url.params.get("page_token")
        asked.append(token)
        found, following = pages[token]
        points = None if token else [POINT]
        items = [run(one) for one in found]
        return httpx.Response(200, json={"items": items, "change_points": points, "next_page_token": following})

    with Client("http://a.test", transport=httpx.MockTransport(answer)) as client:
        runs, points = client.schedules.history_with_change_points("nightly", n)
    assert [one.id for one in runs] == ids
    assert [(one.run_id, one.previous_run_id) for one in points] == [("r3", "r2")]
    assert asked == tokens
