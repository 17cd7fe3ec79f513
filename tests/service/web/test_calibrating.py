"""Calibrating baselines over HTTP."""

import httpx
import pytest

from service.calibrating import settle_calibrations
from service.states import JobState
from service.store import Store
from tests.service.filling import run_made_up, submit
from tests.service.test_calibrating import SPEC, lowered

API = "/api/v1"


@pytest.fixture
def job_id(web: httpx.Client, store: Store) -> str:
    """The job that the baseline `main` names."""
    job = run_made_up(store, submit(store, SPEC))
    web.put(f"{API}/baselines/main", json={"job_id": job.id})
    return job.id


def calibrate(web: httpx.Client, body: dict[str, object] | None = None, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return web.post(f"{API}/baselines/main/calibrate", json=body or {}, headers=headers)


def test_the_life_of_a_calibration(web: httpx.Client, store: Store, job_id: str) -> None:
    assert web.get(f"{API}/baselines/main").json()["calibration"] is None
    asked = calibrate(web, {"alarm_rate": 0.34})
    assert asked.status_code == 202
    assert asked.json()["calibration"] == {"alarm_rate": 0.34, "n_replays": 2, "n_done": 0, "problems": []}
    assert asked.json()["limits"] is None
    baseline = store.baseline("main")
    first, second = (store.job(str(one.job_id)) for one in store.replays([baseline.id])[baseline.id])
    run_made_up(store, first, lowered(0.02))
    store.cancel(second.id)
    settle_calibrations(store)
    shown = web.get(f"{API}/baselines/main").json()
    problem = {"number": 2, "job_id": second.id, "problem": "its job is cancelled; retry it"}
    assert shown["calibration"] == {"alarm_rate": 0.34, "n_replays": 2, "n_done": 1, "problems": [problem]}
    assert web.get(f"{API}/baselines").json()["items"] == [shown]
    assert web.post(f"{API}/jobs/{second.id}/retry").status_code == 202
    run_made_up(store, store.job(second.id), lowered(0.04))
    settle_calibrations(store)
    limits = web.get(f"{API}/baselines/main").json()["limits"]
    assert limits["factor"] == limits["statistics"][1] > 1
    assert (limits["alarm_rate"], limits["rank"]) == (0.34, 1)
    assert limits["kept_rate"] == pytest.approx(1 / 3)
    assert limits["alarms_a_year"] == pytest.approx(365 / 3)
    assert limits["rate_at_worst"] == pytest.approx(1 - 0.05**0.5)


def test_nineteen_replays_are_the_default(web: httpx.Client, store: Store, job_id: str) -> None:
    """A rate of 5 %."""
    asked = web.post(f"{API}/baselines/main/calibrate", headers={"Idempotency-Key": "k"})
    assert (asked.status_code, asked.json()["calibration"]["n_replays"]) == (202, 19)
    assert asked.json()["calibration"]["alarm_rate"] == 0.05
    assert calibrate(web, key="k").json() == asked.json()
    assert [job.replay for job in store.jobs() if job.state is JobState.QUEUED] == list(range(19, 0, -1))


@pytest.mark.parametrize(
    ("body", "pointer", "says"),
    [
        ({"n_replays": 18}, "/body/n_replays", "a false-alarm rate of 0.05 a run needs at least 19 replays"),
        ({"alarm_rate": 0.0}, "/body/alarm_rate", "greater than or equal to 0.000001"),
        ({"alarm_rate": 5e-324}, "/body/alarm_rate", "greater than or equal to 0.000001"),
        ({"alarm_rate": 1.0}, "/body/alarm_rate", "less than 1"),
        ({"alarm_rate": 1e-6}, "", "1 <= n_replays <= 999 must hold"),
        ({"n_replays": 1000}, "/body/n_replays", "less than or equal to 999"),
        ({"replays": 19}, "/body/replays", "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_held_is_refused(
    web: httpx.Client, store: Store, job_id: str, body: dict[str, object], pointer: str, says: str
) -> None:
    refused = calibrate(web, body)
    assert refused.status_code == 422
    assert says in refused.text
    if pointer:
        assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert store.baseline("main").alarm_rate is None


def test_a_key_is_for_one_calibration(web: httpx.Client, job_id: str) -> None:
    assert calibrate(web, {"alarm_rate": 0.5}, "k").status_code == 202
    assert calibrate(web, {"alarm_rate": 0.4}, "k").status_code == 422


def test_what_is_not_there_is_not_calibrated(web: httpx.Client) -> None:
    assert calibrate(web).status_code == 404
