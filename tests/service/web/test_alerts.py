"""Calls on alerts, and the client under them."""

from typing import Any

import httpx
import pytest

from benchmark.regression import Change, Verdict
from service.client import Client, ConflictError, NotFoundError
from service.store import Store
from tests.service.filling import completed
from tests.service.schedules.test_judging import judged_each, worse


@pytest.fixture
def backend() -> str:
    """The store's own tests run on both databases."""
    return "sqlite"


@pytest.fixture
def two(store: Store) -> list[str]:
    """Ids of an open alert and of one that is over, newest first."""
    judged_each(store, completed, worse, completed, worse)
    return [alert.id for alert in store.alerts()]


def test_alerts_are_listed_newest_first_filtered_and_page_by_page(web: httpx.Client, two: list[str]) -> None:
    def listed(**params: Any) -> dict[str, Any]:
        found: dict[str, Any] = web.get("/api/v1/alerts", params=params).json()
        return found

    page = listed()
    assert [item["id"] for item in page["items"]] == two
    assert [item["state"] for item in page["items"]] == ["open", "closed"]
    assert page["next_page_token"] is None
    assert page["counts"] == {"open": 1, "acknowledged": 0, "closed": 1}
    assert listed(schedule="weekly")["counts"] == {"open": 0, "acknowledged": 0, "closed": 0}
    assert listed(state="closed", page_size=1)["counts"] == page["counts"], "a state that is not asked for counts too"
    assert [item["id"] for item in listed(state="closed")["items"]] == two[1:]
    assert [item["id"] for item in listed(state=["closed", "open"], schedule="nightly")["items"]] == two
    assert listed(schedule="weekly")["items"] == []
    first = listed(page_size=1)
    assert [item["id"] for item in first["items"]] == two[:1]
    assert [item["id"] for item in listed(page_token=first["next_page_token"])["items"]] == two[1:]
    assert web.get("/api/v1/alerts", params={"state": "shut"}).status_code == 422


def test_the_life_of_an_alert_by_the_client(served: str, store: Store, two: list[str]) -> None:
    with Client(served) as client:
        (alert,) = client.alerts.list(state="open")
        assert (alert.id, alert.schedule_name, alert.task, alert.optimizer) == (two[0], "nightly", "digits-mlp", "sam")
        change = next(one for one in alert.measures if one.name == "grid_mean")
        assert isinstance(change, Change)
        assert change.verdict is Verdict.REGRESSED
        known = client.alerts.acknowledge(alert.id, "a trade for speed")
        assert (known.state, known.note, known.acknowledged_by) == ("acknowledged", "a trade for speed", "local")
        assert client.alerts.get(alert.id) == known
        assert list(client.alerts.list(state=["open", "acknowledged"])) == [known]
        assert list(client.alerts.list().to_pandas()["state"]) == ["acknowledged", "closed"]
        with pytest.raises(ConflictError, match="only an alert that lasts can be acknowledged"):
            client.alerts.acknowledge(two[1])
        with pytest.raises(NotFoundError, match="there is no alert 'none'"):
            client.alerts.get("none")


def test_an_alert_names_the_jobs_behind_it(web: httpx.Client, store: Store, two: list[str]) -> None:
    runs = {run.id: run for run in store.scheduled_runs("nightly")}
    for alert in web.get("/api/v1/alerts").json()["items"]:
        first, last = runs[alert["first_run_id"]], runs[alert["last_run_id"]]
        assert alert["first_job_id"] == first.job_id
        assert (alert["job_id"], alert["baseline_job_id"]) == (last.job_id, last.baseline_job_id)
        assert alert["baseline_name"] is None
    (opened,) = web.get("/api/v1/alerts", params={"state": "open"}).json()["items"]
    assert opened["job_id"] == opened["first_job_id"] != opened["baseline_job_id"]
    store.delete(opened["job_id"])
    assert web.get(f"/api/v1/alerts/{opened['id']}").json()["job_id"] is None, "and the alert stays"


@pytest.mark.parametrize("note", ["\0", "x" * 2_001])
def test_a_note_that_cannot_be_kept_is_refused(web: httpx.Client, two: list[str], note: str) -> None:
    refused = web.post(f"/api/v1/alerts/{two[0]}/acknowledge", json={"note": note})
    assert refused.status_code == 422
    assert web.get(f"/api/v1/alerts/{two[0]}").json()["state"] == "open"
