import httpx
import pytest

from benchmark import Spec
from tests.service.filling import small_spec


def test_optimizers_have_ranges_defaults_and_sources(web: httpx.Client) -> None:
    found = {one["name"]: one for one in web.get("/api/v1/optimizers").json()}
    assert {"gd", "sam", "msam"} <= found.keys()
    assert "2502.08448" in str(found["msam"]["source"])
    rho = next(one for one in found["sam"]["hyperparameters"] if one["name"] == "rho")
    assert (rho["low"], rho["high"], rho["kind"]) == (0, None, "float")
    assert found["sam"]["gradient_evaluations_per_step"] == 2


def test_tasks_and_bases(web: httpx.Client) -> None:
    (digits,) = [one for one in web.get("/api/v1/tasks").json() if one["name"] == "digits-mlp"]
    assert digits["metrics"][0]["name"] == "accuracy"
    assert digits["has_split"] is True
    assert digits["params"]["properties"]["hidden"]["default"] == 64
    assert [one["name"] for one in web.get("/api/v1/bases").json()] == ["adam", "adamw", "sgd"]


def test_measures_have_definitions(web: httpx.Client) -> None:
    found = {one["name"]: one for one in web.get("/api/v1/measures").json()}
    assert {"best", "grid_mean", "good_share", "rho_width_max", "expected_best_4"} <= found.keys()
    assert all(one["definition"] for one in found.values())


def test_the_schema_is_that_of_specs(web: httpx.Client) -> None:
    schema = web.get("/api/v1/schemas/spec.json").json()
    assert schema == Spec.json_schema()
    assert small_spec().keys() <= schema["properties"].keys()


@pytest.mark.parametrize("path", ["/healthz", "/version"])
def test_the_server_says_what_it_is(web: httpx.Client, path: str) -> None:
    assert web.get(path).status_code == 200
