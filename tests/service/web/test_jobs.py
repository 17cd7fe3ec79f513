from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from benchmark import Spec, TaskDataError
from service.settings import Settings
from service.states import JobState
from service.store import Job, Store
from service.web.state import AppState
from tests.service.filling import completed, diverged, failed, mixed, run_made_up, small_spec, submit

JOBS = "/api/v1/jobs"
NAN = float("nan")


def with_rho(axis: Any) -> dict[str, Any]:
    return small_spec(optimizers=[{"name": "sam", "space": {"rho": axis}}])


def test_submit_stores_a_job_and_says_where(web: httpx.Client, store: Store) -> None:
    response = web.post(JOBS, json=small_spec(tags=["nightly"], priority=3))
    assert response.status_code == 202
    job = response.json()
    assert response.headers["Location"] == f"{JOBS}/{job['id']}"
    assert (job["name"], job["state"], job["tags"], job["priority"]) == ("small", "queued", ["nightly"], 3)
    assert job["progress"] == {
        "total": 20, "reused": 0, "completed": 0, "diverged": 0, "timed_out": 0, "failed": 0, "collapsed": 0,
        "cells_per_s": None, "eta_s": None, "in_flight": None,
    }  # fmt: skip
    assert job["spec"]["budget"]["batch_size"] == 64, "defaults are filled in"
    assert web.get(response.headers["Location"]).json() == job
    assert store.job(job["id"]).n_cells == 20


def test_data_that_the_server_lacks_is_503_with_what_to_run(web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_data(spec: Spec) -> None:
        raise TaskDataError("the images are missing; run: make images")

    monkeypatch.setattr("service.estimates.price", no_data)
    response = web.post(JOBS, json=small_spec(), params={"dry_run": "true"})
    assert response.status_code == 503
    assert response.json()["detail"] == "the images are missing; run: make images"


@pytest.mark.parametrize(
    ("document", "pointer", "detail"),
    [
        (small_spec(optimizer=[]), "/optimizer", "did you mean 'optimizers'?"),
        (small_spec(seeds={"cuont": 2}), "/seeds/cuont", "did you mean 'count'?"),
        (small_spec(tasks=[{"name": "digit-mlp"}]), "/tasks/0/name", "did you mean 'digits-mlp'?"),
        (small_spec(optimizers=[{"name": "smam"}]), "/optimizers/0/name", "did you mean 'msam'?"),
        (with_rho({"log": [1.0, 0.1], "n": 3}), "/optimizers/0/space/rho", "low <= high must hold"),
        (with_rho({"values": [-0.1]}), "/optimizers/0/space/rho/values/0", "0 <= rho"),
        (with_rho({"values": []}), "/optimizers/0/space/rho", "at least one value"),
        (small_spec(optimizers=[], gd=False), "/optimizers", "at least one optimizer"),
        (small_spec(seeds={"count": 101}), "", "n_cells <= 1,000 must hold"),
    ],
)
def test_a_bad_spec_is_refused_with_a_pointer_and_not_stored(
    web: httpx.Client, store: Store, document: dict[str, Any], pointer: str, detail: str
) -> None:
    for params in ({}, {"dry_run": "true"}):
        response = web.post(JOBS, json=document, params=params)
        assert response.status_code == 422
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert problem["request_id"] == response.headers["X-Request-ID"]
        assert pointer in [error["pointer"] for error in problem["errors"]]
        assert any(detail in error["detail"] for error in problem["errors"])
    assert store.jobs() == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"name": NaN}', {}, 422),
        (b'{"name": "x", "seeds": {"base": 1' + b"0" * 400 + b"}}", {}, 422),
        (b'{"name": "a\\u0000b", "tasks": [{"name": "digits-mlp"}]}', {}, 422),
        (b'{"name": "\\ud800", "tasks": [{"name": "digits-mlp"}]}', {}, 422),
        (b"[1, 2]", {}, 422),
        (b"{not json", {}, 422),
        (b"[" * 100_000, {}, 422),
        (b'{"name": "a", "name": "b", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [1]}}}', {}, 422),
        (b'{"name": "\xc2\x9b", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [1]}}}', {}, 422),
        (b"\xff", {}, 422),
        (b'{"name": "' + b"x" * 2**20 + b'"}', {}, 413),
        (b"name: x", {"Content-Type": "application/yaml"}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Origin": "https://elsewhere.example"}, 403),
        (b"{}", {"Origin": "http://[x"}, 403),
        (b"{}", {"Host": "elsewhere.example"}, 421),
    ],
)
def test_a_bad_request_is_refused_and_not_stored(
    web: httpx.Client, store: Store, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = web.post(JOBS, content=content, headers={"Content-Type": "application/json"} | headers)
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert store.jobs() == []


def test_a_body_in_pieces_is_limited_too(web: httpx.Client, store: Store) -> None:
    pieces = (b'{"name": "', *[b"x" * 2**16] * 17, b'"}')
    response = web.post(JOBS, content=iter(pieces), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"
    assert store.jobs() == []


def test_a_non_finite_number_is_refused(web: httpx.Client, store: Store) -> None:
    document = '{"name": "x", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [NaN, 1e999]}}}'
    response = web.post(JOBS, content=document, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    pointers = [error["pointer"] for error in response.json()["errors"]]
    assert pointers == ["/space/lr/values/0", "/space/lr/values/1"]
    assert store.jobs() == []


def test_a_huge_grid_is_refused_before_it_is_expanded(web: httpx.Client) -> None:
    names = ["lr", "momentum", "weight_decay"]
    space = {name: {"linear": [0.0, 0.9] if name != "lr" else [0.1, 0.9], "n": 1000} for name in names}
    response = web.post(JOBS, json=small_spec(optimizers=[], space=space))
    assert response.status_code == 422
    assert "2,000,000,000 cells" in response.json()["detail"]


def test_dry_run_prices_a_spec_and_stores_nothing(web: httpx.Client, store: Store) -> None:
    response = web.post(JOBS, json=small_spec(), params={"dry_run": "true"})
    assert response.status_code == 200
    plan = response.json()
    steps = 1078 // 64
    assert plan["cells"] == 20
    assert plan["gradient_evaluations"] == 4 * steps + 16 * 2 * steps
    assert [(one["optimizer"], one["cells"]) for one in plan["grids"]] == [("gd", 4), ("sam", 8), ("msam", 8)]
    assert plan["reused"] is None
    assert plan["reason"]
    assert {one["wave"] for one in plan["grids"]} == {1}
    assert store.jobs() == []


def test_dry_run_says_what_waits_for_a_second_wave(web: httpx.Client) -> None:
    plan = web.post(JOBS, json=small_spec(controls=["radius_matched"]), params={"dry_run": "true"}).json()
    assert plan["cells"] == 28
    waves = {one["optimizer"]: (one["wave"], one["cells"], one["gradient_evaluations"]) for one in plan["grids"]}
    assert waves["msam-radius-matched"] == (2, *waves["msam"][1:])
    assert waves["msam"] == (1, 8, 8 * 2 * (1078 // 64))


def test_idempotency_key_gives_the_same_job_or_refuses(web: httpx.Client, store: Store) -> None:
    headers = {"Idempotency-Key": "once"}
    first = web.post(JOBS, json=small_spec(), headers=headers)
    again = web.post(JOBS, json=small_spec(), headers=headers)
    other = web.post(JOBS, json=small_spec(name="other"), headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 422)
    assert again.json()["id"] == first.json()["id"]
    assert len(store.jobs()) == 1


def test_list_pages_filters_and_stays_stable(web: httpx.Client, store: Store) -> None:
    ids = [
        submit(store, small_spec(name=f"job {index}", tags=["even"] if index % 2 == 0 else [])).id for index in range(7)
    ]
    seen, token = [], None
    while True:
        page = web.get(JOBS, params={"page_size": 3} | ({"page_token": token} if token else {})).json()
        seen += [job["id"] for job in page["items"]]
        token = page["next_page_token"]
        if token is None:
            break
        submit(store, small_spec(name="newcomer"))  # pages already begun do not move
    assert seen == ids[::-1]
    assert len(web.get(JOBS, params={"tag": "even"}).json()["items"]) == 4
    assert [job["name"] for job in web.get(JOBS, params={"text": "job 3"}).json()["items"]] == ["job 3"]
    assert web.get(JOBS, params={"state": "running"}).json() == {"items": [], "next_page_token": None}


@pytest.mark.parametrize("params", [{"page_size": 0}, {"page_size": 501}, {"page_token": "-1"}, {"state": "odd"}])
def test_list_refuses_bad_parameters(web: httpx.Client, params: dict[str, str]) -> None:
    response = web.get(JOBS, params=params)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"].startswith(f"/query/{next(iter(params))}")


def test_progress_counts_what_is_recorded(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    run_made_up(store, job, lambda cell: diverged(cell) if cell.seed else completed(cell), n=11, state=None)
    values = web.get(f"{JOBS}/{job.id}").json()
    assert values["state"] == "running"
    progress = values["progress"]
    assert (progress["total"], progress["completed"], progress["diverged"], progress["failed"]) == (20, 6, 5, 0)
    assert values["first_record_at"] is not None


def test_steering_follows_the_states(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    url = f"{JOBS}/{job.id}"
    assert web.post(f"{url}/resume").status_code == 409
    assert web.post(f"{url}/pause").json()["state"] == "paused"
    assert web.post(f"{url}/resume").json()["state"] == "queued"
    assert web.delete(url).status_code == 409
    run_made_up(store, job, n=3, state=None)
    asked = web.post(f"{url}/cancel")
    assert (asked.status_code, asked.json()["state"], asked.json()["requested"]) == (202, "running", "cancel")
    store.finish(job.id, 1, JobState.CANCELLED)
    assert web.post(f"{url}/retry", json={"limits": {"cell_s": 5}}).json()["spec"]["limits"]["cell_s"] == 5
    assert web.post(f"{url}/cancel").json()["state"] == "cancelled"
    assert web.delete(url).status_code == 204
    assert web.get(url).status_code == 404


def test_a_deleted_job_takes_its_log_along(
    web: httpx.Client, shared_app: tuple[FastAPI, str], store: Store, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    shared_app[0].state.rhobust = AppState(store, settings)
    jobs = [run_made_up(store, submit(store)), submit(store)]
    logs = [settings.log_path(job.id) for job in jobs]
    logs[0].parent.mkdir()
    for log in logs:
        log.write_text("a line")
    assert [web.delete(f"{JOBS}/{job.id}").status_code for job in jobs] == [204, 409]
    assert [log.exists() for log in logs] == [False, True]


def test_a_job_is_extended_by_a_spec_that_holds_its_cells(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store))
    url, larger = f"{JOBS}/{job.id}/extend", small_spec(seeds={"count": 3}, name="other", tags=["x"])
    response = web.post(url, json=small_spec(seeds={"count": 1}))
    assert response.status_code == 422
    assert "seed 1, is not in the spec" in response.json()["detail"]
    assert web.post(url, json={**larger, "seds": {}}).status_code == 422
    assert web.post(f"{JOBS}/nobody/extend", json=larger).status_code == 404
    assert store.job(job.id) == job
    extended = web.post(url, json=larger)
    assert extended.status_code == 202
    shown = extended.json()
    assert (shown["state"], shown["name"], shown["tags"]) == ("queued", "small", [])
    assert (shown["progress"]["total"], shown["progress"]["completed"]) == (30, 20)
    again = web.post(url, json=larger)
    assert again.status_code == 409
    assert "cannot extend a job that is queued" in again.json()["detail"]


def test_the_price_of_an_extension_changes_nothing(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store, small_spec(reuse=False)))
    store.report_dispatcher("one", "host", 1, "0.1", {"cpus": 2, "devices": {"cpu": "a"}})
    url, larger = f"{JOBS}/{job.id}/extend?dry_run=true", small_spec(seeds={"count": 3}, reuse=False)
    answer = web.post(url, json=larger)
    assert answer.status_code == 200
    plan = answer.json()
    assert (plan["cells"], plan["reused"], plan["packs"]) == (30, 20, 10)
    refused = web.post(url, json=small_spec(seeds={"count": 1}))
    assert (refused.status_code, "is not in the spec" in refused.text) == (422, True)
    assert store.job(job.id) == job
    store.retry(run_made_up(store, submit(store), n=3, state=JobState.FAILED).id)
    queued = store.jobs()[0]
    assert web.post(f"{JOBS}/{queued.id}/extend?dry_run=true", json=larger).status_code == 409


def test_retry_of_a_job_with_every_result_is_refused(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store))
    response = web.post(f"{JOBS}/{job.id}/retry")
    assert response.status_code == 409
    assert "every cell has its result" in response.json()["detail"]


def test_a_failed_job_says_why(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    run_made_up(store, job, failed, state=None)
    store.finish(job.id, 1, JobState.FAILED, error="20 of 20 cells failed")
    values = web.get(f"{JOBS}/{job.id}").json()
    assert (values["state"], values["error"], values["progress"]["failed"]) == ("failed", "20 of 20 cells failed", 20)


@pytest.mark.parametrize("path", ["nojob", "nojob/table", "nojob/records", "nojob/surface", "nojob/figures/heatmap"])
def test_a_job_that_is_not_there(web: httpx.Client, path: str) -> None:
    response = web.get(f"{JOBS}/{path}")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "nojob" in response.json()["detail"]


def test_an_id_that_no_job_can_have(web: httpx.Client) -> None:
    assert web.get(f"{JOBS}/a%00b").status_code == 422


def test_a_job_says_which_cells_have_no_result_and_why(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    assert web.get(f"{JOBS}/{job.id}").json()["missing"] == {
        "total": 20, "untried": 20, "failed": 0, "timed_out": 0, "first": [],
    }  # fmt: skip
    run_made_up(store, job, mixed, state=JobState.FAILED)
    missing = web.get(f"{JOBS}/{job.id}").json()["missing"]
    first = missing.pop("first")
    assert missing == {"total": 8, "untried": 0, "failed": 4, "timed_out": 4}
    assert [cell["status"] for cell in first] == ["failed"] * 4 + ["timed_out"]
    assert sorted((cell["hyperparameters"]["lr"], cell["seed"]) for cell in first[:4]) == [
        (0.01, 0), (0.01, 1), (0.1, 0), (0.1, 1),
    ]  # fmt: skip
    assert {(cell["task"], cell["optimizer"], cell["error"]) for cell in first[:4]} == {
        ("digits-mlp", "gd", "RuntimeError: no luck")
    }
    assert (first[4]["optimizer"], first[4]["error"]) == ("msam", None)


def test_a_retry_leaves_nothing_of_what_it_trained_again(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store), failed, state=JobState.FAILED)
    before = web.get(f"{JOBS}/{job.id}").json()
    assert (before["retried_after"], before["attempt"], len(before["missing"]["first"])) == (0, 1, 5)
    assert web.post(f"{JOBS}/{job.id}/retry").json()["retried_after"] == 1
    run_made_up(store, job)
    after = web.get(f"{JOBS}/{job.id}").json()
    assert (after["retried_after"], after["attempt"], after["crashes"], after["max_crashes"]) == (1, 2, 0, 3)
    assert after["missing"] == {"total": 0, "untried": 0, "failed": 0, "timed_out": 0, "first": []}


def test_a_job_says_who_runs_it(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    assert web.get(f"{JOBS}/{job.id}").json()["owner"] is None
    owner_id = "big-machine-12-abc"
    store.claim(owner_id, 60)
    owner = web.get(f"{JOBS}/{job.id}").json()["owner"]
    assert (owner["id"], owner["host"], owner["heartbeat_age_s"]) == (owner_id, "big-machine", None)
    assert 0 < owner["lease_left_s"] <= 60
    store.report_dispatcher(owner_id, "big-machine", 12, "0.1", {}, job.id)
    assert 0 <= web.get(f"{JOBS}/{job.id}").json()["owner"]["heartbeat_age_s"] < 60
    store.finish(job.id, 1, JobState.PAUSED)
    assert web.get(f"{JOBS}/{job.id}").json()["owner"] is None


def test_a_list_of_jobs_asks_for_nothing_that_one_job_needs(
    web: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_made_up(store, submit(store), failed, state=None)
    for name in ("ownership", "records"):
        monkeypatch.setattr(store, name, None)
    (item,) = web.get(JOBS).json()["items"]
    assert not {"spec", "owner", "missing"} & item.keys()


def test_a_job_is_trained_again_as_a_new_one(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store))
    one = store.records(job.id, limit=1)[0].record
    for body, asked in ((None, 20), ({}, 20), ({"records": [one.id]}, 1)):
        response = web.post(f"{JOBS}/{job.id}/rerun", json=body)
        assert response.status_code == 202, response.text
        made = response.json()
        assert response.headers["Location"] == f"{JOBS}/{made['id']}"
        assert (made["state"], made["rerun_of"], made["spec"]["reuse"]) == ("queued", job.id, False)
        answer = web.get(f"{JOBS}/{made['id']}/rerun").json()
        assert (answer["state"], answer["verdict"], len(answer["records"])) == ("queued", None, asked)
    run_made_up(store, store.job(made["id"]))
    response = web.get(f"{JOBS}/{made['id']}/rerun")
    answer = response.json()
    assert (answer["verdict"], answer["reason"], answer["rerun_of"]) == ("identical", None, job.id)
    assert answer["counts"] == {"identical": 1, "within_noise": 0, "different": 0, "not_compared": 0}
    (again,) = answer["records"]
    assert (again["before"], again["config_key"], again["verdict"]) == (one.id, one.config_key, "identical")
    assert store.record(again["again"]).record.config_key == one.config_key
    tag = {"If-None-Match": response.headers["ETag"]}
    assert web.get(f"{JOBS}/{made['id']}/rerun", headers=tag).status_code == 304
    store.delete(job.id)
    gone = web.get(f"{JOBS}/{made['id']}/rerun", headers=tag)
    assert (gone.status_code, gone.json()["records"]) == (200, [])
    assert gone.json()["reason"] == "1 of the first records are gone: the job that had them was deleted"


def test_a_rerun_is_made_once_under_a_key(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store))
    key = {"Idempotency-Key": "once"}
    first, second = (web.post(f"{JOBS}/{job.id}/rerun", headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    one = store.records(job.id, limit=1)[0].record.id
    other = web.post(f"{JOBS}/{job.id}/rerun", json={"records": [one]}, headers=key)
    assert (other.status_code, len(store.jobs())) == (422, 2)


def test_what_cannot_be_trained_again_is_refused_and_nothing_is_stored(web: httpx.Client, store: Store) -> None:
    waiting = submit(store)
    mixed_job = run_made_up(store, submit(store), mixed)
    lost = next(one.record.id for one in store.iter_records(mixed_job.id) if not one.record.outcome.status.is_result)
    refused: list[tuple[Job, dict[str, Any] | None, int, str]] = [
        (waiting, None, 409, "cannot rerun a job that is queued"),
        (mixed_job, {"records": [lost]}, 422, "must be a result"),
        (mixed_job, {"records": ["0" * 32]}, 422, f"must be one of job {mixed_job.id}"),
        (mixed_job, {"records": []}, 422, "the request is not valid"),
        (mixed_job, {"records": ["x"]}, 422, "the request is not valid"),
        (mixed_job, {"record": []}, 422, "the request is not valid"),
    ]
    for job, body, status, detail in refused:
        response = web.post(f"{JOBS}/{job.id}/rerun", json=body)
        assert (response.status_code, detail in response.json()["detail"]) == (status, True), response.text
    assert len(store.jobs()) == 2
    nothing = web.get(f"{JOBS}/{mixed_job.id}/rerun")
    assert (nothing.status_code, nothing.json()["detail"]) == (404, f"job {mixed_job.id} trains no other job again.")


def test_a_rerun_is_not_extended(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store))
    again = run_made_up(store, store.job(web.post(f"{JOBS}/{job.id}/rerun").json()["id"]))
    response = web.post(f"{JOBS}/{again.id}/extend", json=small_spec(seeds={"count": 3}))
    assert response.status_code == 409
    assert f"it trains cells of job {job.id} again, and no others" in response.json()["detail"]
