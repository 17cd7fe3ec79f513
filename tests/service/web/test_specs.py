"""Specs as text: what is wrong is told with its line, what is right comes back, and a job's spec can be written on."""

from typing import Any

import httpx
import pytest
import yaml

from benchmark import Spec
from service.keys import Scope, new_key
from service.states import JobState
from service.store import Store
from tests.service.filling import completed, run_made_up, small_spec, submit

SPECS = "/api/v1/specs"
TEXT = "name: x\ntasks:\n  - {name: digits-mlp}\nspace: {lr: {values: [0.1]}}\nseeds: {count: 2}\n"


def sweeping(**changes: Any) -> dict[str, Any]:
    """Return a spec whose axes have steps to go on in."""
    rho = {"rho": {"log": [0.1, 1.0], "n": 2}}
    optimizers = [{"name": "sam", "space": rho}, {"name": "msam", "space": rho}]
    return small_spec(optimizers=optimizers, space={"lr": {"log": [0.01, 0.1], "n": 2}}) | changes


def test_a_text_is_read_as_it_is_written(web: httpx.Client) -> None:
    answer = web.post(SPECS, json={"text": TEXT})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"spec": yaml.safe_load(TEXT), "n_cells": 2}
    assert web.post("/api/v1/jobs", json=answer.json()["spec"]).status_code == 202


def test_each_error_tells_its_line(web: httpx.Client) -> None:
    answer = web.post(SPECS, json={"text": TEXT.replace("digits-mlp", "digits-mpl").replace("0.1", "-1")})
    assert answer.status_code == 422
    found = {one["pointer"]: (one["line"], one["detail"]) for one in answer.json()["errors"]}
    assert found["/tasks/0/name"][0] == 3
    assert "did you mean 'digits-mlp'?" in found["/tasks/0/name"][1]
    assert web.post(SPECS, json={"text": "name: x\nseeds: {count: 1\n"}).json()["errors"][0]["line"] == 3
    direct = web.post("/api/v1/jobs", json={"name": "x"}).json()["errors"]
    assert [one["line"] for one in direct] == [None], "there is no text whose line it could be"


@pytest.mark.parametrize("text", ["", "a: &a [*a]", "&a [" * 500, "x" * 65_536, "- 1\n", "? [a]\n: b\n", "\x00"])
def test_no_text_is_more_than_refused(web: httpx.Client, text: str) -> None:
    answer = web.post(SPECS, json={"text": text})
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_too_long_a_text_is_not_read(web: httpx.Client) -> None:
    assert "65536" in web.post(SPECS, json={"text": "x" * 65_537}).text


def test_more_cells_than_the_server_takes_are_told_at_once(web: httpx.Client) -> None:
    answer = web.post(SPECS, json={"text": TEXT.replace("count: 2", "count: 1001")})
    assert "1,000" in answer.json()["errors"][0]["detail"]


def test_who_may_not_submit_may_not_have_a_text_read(web: httpx.Client, store: Store) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.READ)
    headers = {"Authorization": f"Bearer {key}"}
    assert web.post(SPECS, json={"text": TEXT}, headers=headers).status_code == 403


def test_the_spec_of_a_job_is_yaml_for_people(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    answer = web.get(f"/api/v1/jobs/{job.id}/spec")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert answer.text.splitlines()[:4] == [
        "schema_version: 1",
        "name: small",
        "tasks:",
        "  - {name: digits-mlp, params: {hidden: 8}}",
    ]
    assert Spec.from_text(answer.text) == Spec.from_mapping(small_spec())
    assert web.get("/api/v1/jobs/nothing/spec").status_code == 404


def test_the_borders_of_a_table_are_proposed_and_make_a_spec_that_extends(web: httpx.Client, store: Store) -> None:
    """Made-up scores are better the smaller rho is and the larger lr."""
    job = run_made_up(store, submit(store, sweeping()), completed)
    url = f"/api/v1/jobs/{job.id}"
    found = web.get(f"{url}/extensions").json()
    assert [one["name"] for one in found["proposals"]] == ["high:lr", "low:rho", "refine:lr", "refine:rho", "seeds"]
    assert found["proposals"][1]["title"].startswith("Extend rho downward by 2 points: n = 2 -> 4")
    assert "sam on digits-mlp lies" in found["proposals"][1]["reason"]
    assert (found["n_added"], found["spec"]) == (0, dict(job.spec))
    assert not any(one["is_chosen"] for one in found["proposals"])

    chosen = web.get(f"{url}/extensions", params={"choose": ["low:rho", "seeds"]}).json()
    assert [one["name"] for one in chosen["proposals"] if one["is_chosen"]] == ["low:rho", "seeds"]
    assert "{name: sam, space: {rho: {log: [0.001, 1.0], n: 4}}}" in chosen["text"]
    read = web.post(SPECS, json={"text": chosen["text"]}).json()
    assert read["n_cells"] == job.n_cells + chosen["n_added"]
    plan = web.post(f"{url}/extend", json=read["spec"], params={"dry_run": True})
    assert plan.status_code == 200, plan.text
    assert plan.json()["cells"] == read["n_cells"]
    assert web.post(f"{url}/extend", json=chosen["spec"]).json()["state"] == "queued"


def test_what_cannot_be_extended_says_why(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    url = f"/api/v1/jobs/{job.id}/extensions"
    assert "cannot extend a job that is queued" in web.get(url).json()["detail"]
    store.cancel(job.id)
    found = web.get(url).json()
    assert "refine:rho" in [one["name"] for one in found["proposals"]], "there is no result, and thus no border"
    unknown = web.get(url, params={"choose": "refine:roh"})
    assert unknown.status_code == 422
    assert "did you mean 'refine:rho'?" in unknown.json()["detail"]
    assert store.job(job.id).state is JobState.CANCELLED
