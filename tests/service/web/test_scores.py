"""Scores of many jobs at once, as their tables have them."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from benchmark import Outcome
from benchmark.spec import Cell
from service.results import JobFrame, job_frame
from service.states import JobState
from service.store import Store
from service.web import scores, state
from tests.service.filling import completed, failed, run_made_up, small_spec, submit

SCORES = "/api/v1/scores"


def clearly_ordered(cell: Cell) -> Outcome:
    """Return an outcome by which gd is better than the others in every seed, by some more in the later ones."""
    outcome = completed(cell)
    less = 0.0 if cell.optimizer == "gd" else 0.2 + 0.01 * cell.seed
    return replace(outcome, metrics={name: value - less for name, value in outcome.metrics.items()})


def get_scores(web: httpx.Client, *job_ids: str) -> list[dict[str, Any]]:
    answer = web.get(SCORES, params={"job": list(job_ids)})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def test_scores_are_those_of_the_table(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store, small_spec(seeds={"count": 5})), clearly_ordered)
    (found,) = get_scores(web, job.id)
    table = web.get(f"/api/v1/jobs/{job.id}/table").json()
    assert (found["job_id"], found["revision"]) == (job.id, job.revision)
    assert (found["complete"], found["reason"]) == (True, None)
    assert (found["gradient_evaluations"], found["elapsed_s"]) == (50 * 32, 50 * 0.25)
    assert [(row["task"], row["optimizer"]) for row in found["rows"]] == [
        (row["task"], row["optimizer"]) for row in table["rows"]
    ]
    for row, full in zip(found["rows"], table["rows"], strict=True):
        assert (row["metric"], row["ranked"]) == ("accuracy", full["ranked"])
        for name in ("best", "grid_mean"):
            measure = full["measures"][name]
            expected = {key: measure[key] for key in ("value", "raw", "low", "high", "reason")}
            assert row[name] == {**expected, "leads": "leads" in measure["flags"]}
    assert [row["optimizer"] for row in found["rows"] if row["grid_mean"]["leads"]] == ["gd"]


def test_jobs_come_in_the_order_asked_for_once_and_without_those_that_are_gone(web: httpx.Client, store: Store) -> None:
    first = run_made_up(store, submit(store), completed)
    running = run_made_up(store, submit(store, small_spec(name="running")), completed, n=3, state=None)
    found = get_scores(web, running.id, "nothing", "NO-ID", first.id, running.id)
    assert [one["job_id"] for one in found] == [running.id, first.id]
    assert (found[0]["rows"], found[0]["reason"]) == ([], scores.NOT_ENDED)


def test_a_job_without_results_says_what_is_missing(web: httpx.Client, store: Store) -> None:
    bad = run_made_up(store, submit(store), failed, state=JobState.FAILED)
    cancelled = submit(store, small_spec(name="cancelled", seeds={"base": 50, "count": 2}))
    store.cancel(cancelled.id)
    found = get_scores(web, bad.id, cancelled.id)
    costs = [(one["gradient_evaluations"], one["elapsed_s"]) for one in found]
    assert costs == [(20 * 32, 20 * 0.25), (None, None)], "what was not counted is not nought"
    for one in found:
        assert one["complete"] is False
        assert {row["best"]["value"] for row in one["rows"]} == {None}
        assert all("no configuration has a result" in row["best"]["reason"] for row in one["rows"])


def test_a_table_is_computed_once_a_revision(web: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = run_made_up(store, submit(store), completed, n=10, state=JobState.FAILED)
    calls = []

    def counted(*given: Any) -> JobFrame:
        calls.append(given)
        return job_frame(*given)

    monkeypatch.setattr(state, "job_frame", counted)
    before = get_scores(web, job.id)
    assert get_scores(web, job.id) == before
    assert len(calls) == 1
    store.retry(job.id, None)
    run_made_up(store, store.job(job.id), completed)
    (after,) = get_scores(web, job.id)
    assert after["complete"]
    assert not before[0]["complete"]
    assert len(calls) == 2


@pytest.mark.parametrize("query", ["", "?job=a%20b", f"?{'job=x&' * 101}"])
def test_other_questions_are_refused(web: httpx.Client, query: str) -> None:
    assert web.get(f"{SCORES}{query}").status_code == 422
