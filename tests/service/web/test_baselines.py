"""Baselines and comparisons over HTTP."""

from typing import Any

import httpx
import pytest

from benchmark.regression import Comparison, Limits, Verdict
from service.states import JobState
from service.store import Job, Store
from tests.service.filling import run_made_up, small_spec, submit, timed_out
from tests.service.test_comparing import N_SEEDS, finished, worse

API = "/api/v1"


@pytest.fixture
def job(store: Store) -> Job:
    return finished(store)


def put(web: httpx.Client, name: str, job_id: str) -> httpx.Response:
    return web.put(f"{API}/baselines/{name}", json={"job_id": job_id})


def compare(web: httpx.Client, baseline: str, candidate: str, **options: Any) -> httpx.Response:
    return web.get(f"{API}/comparisons", params={"baseline": baseline, "candidate": candidate}, **options)


def test_the_life_of_a_baseline(web: httpx.Client, store: Store, job: Job) -> None:
    made = put(web, "main", job.id)
    assert made.status_code == 201
    document = made.json()
    assert (document["name"], document["job_id"], document["job_name"]) == ("main", job.id, "small")
    assert (document["limits"], document["set_by"], document["revision"]) == (None, "local", 1)
    assert document["y_ref"] == store.baseline("main").y_ref
    assert (put(web, "main", job.id).status_code, put(web, "main", job.id).json()) == (200, document)
    assert web.get(f"{API}/baselines/main").json() == document
    assert web.get(f"{API}/baselines").json() == {"items": [document], "next_page_token": None}

    other = finished(store)
    moved = put(web, "main", other.id)
    assert (moved.status_code, moved.json()["job_id"], moved.json()["revision"]) == (200, other.id, 2)
    assert web.delete(f"{API}/jobs/{job.id}").status_code == 204

    assert web.delete(f"{API}/baselines/main").status_code == 204
    assert web.delete(f"{API}/baselines/main").status_code == 404
    assert web.get(f"{API}/baselines/main").status_code == 404


def test_baselines_come_in_pages(web: httpx.Client, job: Job) -> None:
    for name in ("c", "a", "b"):
        put(web, name, job.id)
    first = web.get(f"{API}/baselines", params={"page_size": 2}).json()
    second = web.get(f"{API}/baselines", params={"page_size": 2, "page_token": first["next_page_token"]}).json()
    assert [one["name"] for one in first["items"] + second["items"]] == ["c", "a", "b"]
    assert second["next_page_token"] is None


def test_a_job_that_is_not_whole_is_a_conflict(web: httpx.Client, store: Store) -> None:
    lacking = run_made_up(store, submit(store), timed_out)
    refused = put(web, "main", lacking.id)
    assert refused.status_code == 409
    assert "20 of 20" in refused.json()["detail"]
    assert "retry it" in refused.json()["detail"]
    running = run_made_up(store, submit(store, small_spec(name="running")), state=None)
    assert put(web, "main", running.id).status_code == 409


def test_the_job_of_a_baseline_is_kept(web: httpx.Client, job: Job) -> None:
    put(web, "main", job.id)
    refused = web.delete(f"{API}/jobs/{job.id}")
    assert (refused.status_code, "a baseline names it: main" in refused.json()["detail"]) == (409, True)
    extended = web.post(f"{API}/jobs/{job.id}/extend", json=small_spec(seeds={"count": N_SEEDS + 1}))
    assert (extended.status_code, "a baseline names it: main" in extended.json()["detail"]) == (409, True)


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "-a", "x" * 101, "%00"])
def test_a_name_that_no_path_can_hold_is_refused(web: httpx.Client, job: Job, name: str) -> None:
    assert put(web, name, job.id).status_code in (404, 422)


@pytest.mark.parametrize("body", [{}, {"job_id": 3}, {"job_id": "a b"}, {"job_id": "a", "more": 1}, []])
def test_a_body_that_names_no_job_is_refused(web: httpx.Client, body: object) -> None:
    assert web.put(f"{API}/baselines/main", json=body).status_code == 422


def test_a_comparison_says_what_changed_and_of_what(web: httpx.Client, store: Store, job: Job) -> None:
    put(web, "main", job.id)
    candidate = finished(store, worse)
    document = compare(web, "main", candidate.id).json()
    assert document["baseline_name"] == "main"
    assert document["baseline"] == {
        "id": job.id,
        "name": "small",
        "state": "completed",
        "n_missing": 0,
        "made_by": None,
    }
    assert document["candidate"]["id"] == candidate.id
    assert document["verdict"] == "regressed"
    assert {one["optimizer"] for one in document["measures"] if one["verdict"] == "regressed"} == {"msam"}
    own = {name: document[name] for name in document.keys() - {"baseline_name", "baseline", "candidate"}}
    assert Comparison.from_dict(own).verdict is Verdict.REGRESSED
    by_id = compare(web, job.id, candidate.id).json()
    assert (by_id["baseline_name"], by_id["measures"]) == (None, document["measures"])


def test_a_comparison_comes_as_a_report(web: httpx.Client, store: Store, job: Job) -> None:
    put(web, "main", job.id)
    candidate = finished(store, worse)
    as_format = compare(web, "main", candidate.id, headers={"Accept": "text/markdown"})
    assert as_format.headers["Content-Type"].startswith("text/markdown")
    assert as_format.text.startswith("### Rhobust: regressed")
    assert f"main (job {job.id})" in as_format.text
    params = {"baseline": "main", "candidate": candidate.id, "format": "md"}
    assert web.get(f"{API}/comparisons", params=params).text == as_format.text
    assert compare(web, "main", candidate.id, headers={"Accept": "image/png"}).status_code == 406


def test_a_comparison_is_told_anew_only_where_it_changed(web: httpx.Client, store: Store, job: Job) -> None:
    put(web, "main", job.id)
    candidate = submit(store, small_spec(seeds={"count": N_SEEDS}))
    first = compare(web, "main", candidate.id)
    assert first.json()["verdict"] == "not_tested"
    assert first.json()["candidate"] == {
        "id": candidate.id,
        "name": "small",
        "state": "queued",
        "n_missing": 100,
        "made_by": None,
    }
    same = compare(web, "main", candidate.id, headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    run_made_up(store, candidate)
    ended = compare(web, "main", candidate.id, headers={"If-None-Match": first.headers["ETag"]})
    assert (ended.status_code, ended.json()["verdict"]) == (200, "same")


def test_what_is_not_there_is_not_found(web: httpx.Client, job: Job) -> None:
    missing = compare(web, "nope", job.id)
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is neither a baseline nor a job 'nope'.")
    assert compare(web, job.id, "nope").status_code == 404
    assert compare(web, "a b", job.id).status_code == 422


def test_jobs_that_share_no_task_are_refused(web: httpx.Client, store: Store, job: Job) -> None:
    other = finished(store, tasks=[{"name": "digits-mlp", "label": "other", "params": {"hidden": 8}}])
    refused = compare(web, job.id, other.id)
    assert (refused.status_code, "must share a task" in refused.json()["detail"]) == (422, True)


def test_limits_of_a_baseline_are_shown_with_the_rate_that_they_keep(
    web: httpx.Client, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(web, "main", job.id)
    limits = Limits(2.0, 0.3, 1, (0.5, 1.0, 2.0))
    monkeypatch.setattr("service.web.baselines.limits_of_baseline", lambda _: limits)
    shown = web.get(f"{API}/baselines/main").json()["limits"]
    told = {name: shown[name] for name in ("factor", "alarm_rate", "rank", "statistics", "kept_rate")}
    assert told == {"factor": 2.0, "alarm_rate": 0.3, "rank": 1, "statistics": [0.5, 1.0, 2.0], "kept_rate": 0.25}


def test_a_job_that_will_be_compared_is_trained_as_the_baseline_was(web: httpx.Client, store: Store) -> None:
    before = submit(store, small_spec(seeds={"count": N_SEEDS}))
    claimed = store.claim("a-dispatcher", 60.0, only=before.id)
    assert claimed is not None
    execution = {"digits-mlp": {"gd": "sequential", "sam": "fused"}}
    store.set_execution(before.id, claimed.attempt, execution)
    for baseline in ("main", before.id):
        if baseline == "main":
            store.finish(before.id, claimed.attempt, JobState.CANCELLED)
            store.retry(before.id)
            put(web, "main", run_made_up(store, store.job(before.id)).id)
        sent = web.post(f"{API}/jobs", params={"baseline": baseline}, json=small_spec())
        assert (sent.status_code, sent.json()["execution"]) == (202, execution)
    n_jobs = len(web.get(f"{API}/jobs").json()["items"])
    assert web.post(f"{API}/jobs", params={"baseline": "nope"}, json=small_spec()).status_code == 404
    assert len(web.get(f"{API}/jobs").json()["items"]) == n_jobs
