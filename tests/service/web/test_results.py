import io
import json
import math
from dataclasses import replace
from typing import Any

import httpx
import pandas as pd
import pytest

from benchmark import Spec
from benchmark.choice import StepTiming, device_name, timing_key
from benchmark.execution import device_for
from service.store import Store, WantedCell
from tests.service.filling import completed, curved, diverged, landscape_spec, run_made_up, small_spec, submit, trained

pytestmark = pytest.mark.slow


@pytest.fixture
def job_url(store: Store) -> str:
    """Path of a completed job in which msam with rho = 1 diverged at the second seed."""

    def outcome(cell: Any) -> Any:
        is_bad = cell.optimizer == "msam" and cell.hyperparameters["rho"] == 1.0 and cell.seed == 1
        return diverged(cell) if is_bad else completed(cell)

    return f"/api/v1/jobs/{run_made_up(store, submit(store), outcome).id}"


def test_the_table_follows_the_records(web: httpx.Client, job_url: str) -> None:
    table = web.get(f"{job_url}/table").json()
    records = web.get(f"{job_url}/records", params={"page_size": 500}).json()["items"]
    assert table["complete"]
    (task,) = table["tasks"]
    for row in table["rows"]:
        mine = [record for record in records if record["optimizer"] == row["optimizer"]]
        scores = [record["metrics"].get("test_accuracy", task["floor"]) for record in mine]
        mean = sum(scores) / len(scores)
        assert row["measures"]["grid_mean"]["raw"] == pytest.approx(mean)
        assert row["measures"]["grid_mean"]["value"] == pytest.approx(
            (mean - task["floor"]) / (task["y_ref"] - task["floor"])
        )
        n_diverged = sum(record["status"] == "diverged" for record in mine)
        assert row["measures"]["diverged_rate"]["value"] == pytest.approx(n_diverged / len(mine))


@pytest.mark.parametrize(
    ("table_format", "media_type", "start"),
    [("csv", "text/csv", "task,"), ("md", "text/markdown", ""), ("tex", "application/x-tex", "")],
)
def test_the_table_as_text(web: httpx.Client, job_url: str, table_format: str, media_type: str, start: str) -> None:
    response = web.get(f"{job_url}/table", params={"format": table_format})
    assert response.headers["Content-Type"].startswith(media_type)
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.text.startswith(start)
    assert "msam" in response.text


def test_the_table_at_equal_gradient_evaluations(web: httpx.Client, job_url: str) -> None:
    """Curves have points after 5, 10 and 16 steps; sam is read after 5 of the 8 that it may take."""
    equal = web.get(f"{job_url}/table", params={"view": "equal_gradient_evaluations"}).json()
    assert equal["view"] == "equal_gradient_evaluations"
    assert {one["optimizer"]: one["last_step"] for one in equal["readings"]} == {"gd": 16, "sam": 5, "msam": 5}
    table = web.get(f"{job_url}/table").json()
    assert (table["view"], table["readings"]) == ("equal_steps", [])
    assert web.get(f"{job_url}/table", params={"view": "equal_steps"}).json() == table
    assert web.get(f"{job_url}/table", params={"view": "by_budget"}).status_code == 422
    text = web.get(f"{job_url}/table", params={"view": "equal_gradient_evaluations", "format": "md"}).text
    assert "of 16 steps: gd 16, sam 5, msam 5" in text


def test_equal_seconds_by_what_jobs_measured(web: httpx.Client, job_url: str, store: Store) -> None:
    asked = {"view": "equal_seconds"}
    refused = web.get(f"{job_url}/table", params=asked)
    assert refused.status_code == 422
    assert "sequential probe, but none is known of gd on digits-mlp; run the spec again" in refused.json()["detail"]
    seconds = {"gd": 1e-3, "sam": 2e-3, "msam": 1.6e-3}
    settings = {grid.optimizer: grid.setting for grid in Spec.from_mapping(small_spec()).grids}
    here = device_name(device_for(use_gpu=False))
    timings = {timing_key(settings[name], here): StepTiming(None, one) for name, one in seconds.items()}
    store.report_dispatcher("d", "host", 1, "0", {"devices": {"cpu": "another device"}})
    store.remember_timings({**timings, timing_key(settings["gd"], "another device"): StepTiming(None, 7.0)})
    readings = web.get(f"{job_url}/table", params=asked).json()["readings"]
    assert [(one["optimizer"], one["last_step"]) for one in readings] == [("gd", 16), ("sam", 5), ("msam", 10)]
    assert readings[0]["amount"] == pytest.approx(16e-3), "of the device of which all are known"
    plain = web.get(f"{job_url}/table").json()
    took = {row["optimizer"]: row["measures"]["elapsed_s"]["value"] for row in plain["rows"]}
    assert took == pytest.approx({"gd": 16e-3, "sam": 32e-3, "msam": 25.6e-3}), "seconds of any table come from it"


def test_slices_and_tuning_curves(web: httpx.Client, job_url: str) -> None:
    """Scores get better with lr and worse with rho: the best of sam is at the ends of both axes."""
    found = web.get(f"{job_url}/slices").json()["slices"]
    assert {(one["optimizer"], one["axis"]) for one in found} == {
        (optimizer, axis) for optimizer in ("gd", "sam", "msam") for axis in ("rho", "lr")
    }
    sam = next(one for one in found if (one["optimizer"], one["axis"]) == ("sam", "rho"))
    assert (sam["best"], sam["others"], sam["values"]) == (0.1, {"lr": 0.1}, [0.1, 1.0])
    assert {drop["factor"]: drop["value"] for drop in sam["drops"]} == {
        0.1: None,
        0.5: None,
        2.0: pytest.approx(0.18 * math.log10(2)),
        10.0: pytest.approx(0.18),
    }
    curves = web.get(f"{job_url}/tuning").json()["curves"]
    assert {one["optimizer"]: one["trials"] for one in curves} == {
        "gd": [1, 2],
        "sam": [1, 2, 3, 4],
        "msam": [1, 2, 3, 4],
    }


def test_a_view_that_would_not_be_honest_is_refused(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store, small_spec(budget={"epochs": 1, "schedule": "cosine"})))
    response = web.get(f"/api/v1/jobs/{job.id}/table", params={"view": "equal_gradient_evaluations"})
    assert response.status_code == 422
    assert "has schedule=cosine; train it anew with budget: {gradient_evaluations: N}" in response.json()["detail"]


def test_a_job_without_records_has_an_incomplete_table_and_an_empty_surface(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    table = web.get(f"/api/v1/jobs/{job.id}/table").json()
    assert not table["complete"]
    assert table["missing"]["count"] == 20
    points = [
        point for surface in web.get(f"/api/v1/jobs/{job.id}/surface").json()["surfaces"] for point in surface["points"]
    ]
    assert {point["mean"] for point in points} == {None}
    assert {point["n_missing"] for point in points} == {2}
    assert web.get(f"/api/v1/jobs/{job.id}/figures/heatmap", params={"format": "json"}).status_code == 200


def test_a_table_of_several_jobs(web: httpx.Client, store: Store) -> None:
    jobs = [
        run_made_up(store, submit(store, small_spec(optimizers=[{"name": name, "fixed": {"rho": 0.1}}])))
        for name in ("sam", "msam")
    ]
    params = {"job": [job.id for job in jobs]}
    table = web.get("/api/v1/tables", params=params).json()
    assert [row["optimizer"] for row in table["rows"]] == ["gd", "sam", "msam"]
    assert any(f"Jobs: {jobs[0].id}, {jobs[1].id}." in note for note in table["notes"]["digits-mlp"]), "one name: ids"
    frames = {
        "csv": pd.read_csv(io.StringIO(web.get("/api/v1/tables", params=params | {"format": "csv"}).text)),
        "parquet": pd.read_parquet(
            io.BytesIO(web.get("/api/v1/tables", params=params | {"format": "parquet"}).content)
        ),
    }
    for frame in frames.values():
        raw = frame[frame["measure"] == "grid_mean"].set_index("optimizer")["raw"]
        assert raw.to_dict() == {row["optimizer"]: row["measures"]["grid_mean"]["raw"] for row in table["rows"]}
    assert r"\toprule" in web.get("/api/v1/tables", params=params | {"format": "tex"}).text


def test_jobs_that_do_not_fit_together_are_refused(web: httpx.Client, store: Store) -> None:
    jobs = [submit(store), submit(store, small_spec(name="longer", budget={"epochs": 2}))]
    refused = web.get("/api/v1/tables", params={"job": [job.id for job in jobs]})
    assert refused.status_code == 422
    assert "budget.epochs is 1 in small and 2 in longer" in refused.json()["detail"]
    assert web.get("/api/v1/tables", params={"job": [jobs[0].id, "nojob"]}).status_code == 404
    assert web.get("/api/v1/tables", params={"job": [jobs[0].id] * 2}).status_code == 422
    assert web.get("/api/v1/tables").status_code == 422
    assert web.get("/api/v1/tables", params={"job": "no/job"}).status_code == 422


def test_the_table_is_new_after_new_records(web: httpx.Client, store: Store) -> None:
    job = submit(store)
    url = f"/api/v1/jobs/{job.id}/table"
    assert web.get(url).json()["missing"]["count"] == 20
    run_made_up(store, job, n=5, state=None)
    assert web.get(url).json()["missing"]["count"] == 15


def test_the_surface_has_every_point(web: httpx.Client, job_url: str) -> None:
    surfaces = web.get(f"{job_url}/surface").json()["surfaces"]
    assert [(surface["optimizer"], len(surface["points"])) for surface in surfaces] == [
        ("gd", 2),
        ("sam", 4),
        ("msam", 4),
    ]
    msam = next(surface for surface in surfaces if surface["optimizer"] == "msam")
    bad = next(point for point in msam["points"] if point["hyperparameters"] == {"rho": 1.0, "lr": 0.1})
    assert bad["n_diverged"] == 1
    assert bad["per_seed"][1] == pytest.approx(0.1), "a diverged run scores the floor"
    assert bad["status_per_seed"] == ["completed", "diverged"]
    assert bad["mean"] == pytest.approx(sum(bad["per_seed"]) / 2)
    validation = web.get(f"{job_url}/surface", params={"split": "validation"}).json()["surfaces"]
    assert validation[0]["points"][0]["mean"] == pytest.approx(surfaces[0]["points"][0]["mean"] + 0.01)


@pytest.mark.parametrize(
    ("image_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("json", b"{")]
)
def test_the_heat_map(web: httpx.Client, job_url: str, image_format: str, start: bytes) -> None:
    response = web.get(f"{job_url}/figures/heatmap", params={"format": image_format})
    assert response.status_code == 200
    assert response.content.startswith(start)
    if image_format == "json":
        figure = json.loads(response.content)
        assert sum(trace["type"] == "heatmap" for trace in figure["data"]) >= 3
    else:
        assert response.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("method", ["random", "sobol", "tpe"])
def test_the_heat_map_of_a_search_that_is_no_grid(web: httpx.Client, store: Store, method: str) -> None:
    space = {"lr": {"log": [0.01, 0.1]}, "rho": {"log": [0.1, 1.0]}}
    search = {"method": method, "n_configurations": 4}
    job = submit(store, small_spec(optimizers=[{"name": "sam"}], space=space, search=search))
    if method != "tpe":  # whose configurations nobody knows before it has begun
        run_made_up(store, job)
    url = f"/api/v1/jobs/{job.id}/figures/heatmap"
    figure = web.get(url, params={"format": "json"}).json()
    assert figure["data"][0]["type"] == "scatter"
    assert len(figure["data"][0].get("text", ())) == (0 if method == "tpe" else 4)
    for image_format in ("svg", "png", "pdf"):
        assert web.get(url, params={"format": image_format}).status_code == 200


@pytest.mark.parametrize(
    ("image_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("json", b"{")]
)
def test_sharpness_against_score(web: httpx.Client, store: Store, image_format: str, start: bytes) -> None:
    job = run_made_up(store, submit(store, small_spec(sharpness=["sam"])), curved)
    response = web.get(f"/api/v1/jobs/{job.id}/figures/sharpness", params={"format": image_format})
    assert response.status_code == 200
    assert response.content.startswith(start)
    if image_format == "json":
        names = [trace["name"] for trace in json.loads(response.content)["data"]]
        assert names == [f"{name}: \u03c4 \u22121.00 (n = {n})" for name, n in (("gd", 4), ("sam", 8), ("msam", 8))]


def test_sharpness_that_was_not_asked_for_has_no_figure(web: httpx.Client, job_url: str) -> None:
    refused = web.get(f"{job_url}/figures/sharpness")
    assert (refused.status_code, "ask for it in a spec" in refused.json()["detail"]) == (422, True)


def test_every_kind_of_figure_is_drawn_or_refused_with_a_reason(web: httpx.Client, job_url: str) -> None:
    kinds = [kind["name"] for kind in web.get("/api/v1/figures").json()]
    assert {"curves", "heatmap", "profiles", "ranks", "slices", "trajectories", "tuning"} <= set(kinds)
    for kind in kinds:
        for image_format in ("svg", "json", "csv"):
            response = web.get(f"{job_url}/figures/{kind}", params={"format": image_format})
            reason = {"trajectories": "is none", "sharpness": "has none"}.get(kind)
            if reason:
                assert (response.status_code, reason in response.json()["detail"]) == (422, True)
            else:
                assert response.status_code == 200, (kind, response.text)


def test_a_figure_as_csv_is_a_file_of_what_it_shows(web: httpx.Client, job_url: str) -> None:
    response = web.get(f"{job_url}/figures/heatmap", params={"format": "csv", "optimizer": "msam"})
    assert response.headers["Content-Type"].startswith("text/csv")
    assert response.headers["Content-Disposition"].endswith('-heatmap.csv"')
    found = pd.read_csv(io.StringIO(response.text))
    assert set(found["optimizer"]) == {"msam"}
    assert found["n_diverged"].sum() == 2


def test_the_curves_of_a_job_are_those_of_its_best_configurations(web: httpx.Client, job_url: str) -> None:
    figure = web.get(f"{job_url}/figures/curves", params={"format": "json", "optimizer": ["sam", "msam"]}).json()
    lines = [trace for trace in figure["data"] if trace.get("name") == "sam"]
    assert [trace["x"] for trace in lines] == [[5.0, 10.0, 16.0]] * 2


def test_a_figure_of_some_optimizers(web: httpx.Client, job_url: str) -> None:
    params = {"format": "json", "optimizer": ["gd", "msam"]}
    figure = web.get(f"{job_url}/figures/heatmap", params=params).json()
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["gd", "msam"]


def test_a_figure_or_task_that_is_not_there(web: httpx.Client, job_url: str) -> None:
    assert web.get(f"{job_url}/figures/pie").status_code == 422
    missing = web.get(f"{job_url}/figures/heatmap", params={"task": "elsewhere"})
    assert (missing.status_code, "elsewhere" in missing.json()["detail"]) == (422, True)


def test_reused_records_are_told(web: httpx.Client, store: Store) -> None:
    first = run_made_up(store, submit(store))
    second = submit(store, small_spec(name="again"))
    claimed = store.claim("a-dispatcher", 60, only=second.id)
    assert claimed
    wanted = [
        WantedCell(stored.record.config_key, stored.record.fingerprint, stored.task or "", stored.optimizer or "")
        for stored in store.iter_records(first.id)
    ]
    assert len(store.link_reusable(second.id, claimed.attempt, wanted, 60)) == 20
    assert web.get(f"/api/v1/jobs/{second.id}").json()["progress"]["reused"] == 20
    assert all(record["reused"] for record in web.get(f"/api/v1/jobs/{second.id}/records").json()["items"])


def test_the_trajectories_of_a_landscape(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store, landscape_spec()), trained)
    url = f"/api/v1/jobs/{job.id}/figures/trajectories"
    image = web.get(url)
    assert image.status_code == 200
    assert image.content.count(b'id="run-') == 2
    figure = web.get(url, params={"format": "json"}).json()
    assert sum(trace["type"] == "contour" for trace in figure["data"]) == 1


def test_only_a_landscape_has_trajectories(web: httpx.Client, job_url: str) -> None:
    refused = web.get(f"{job_url}/figures/trajectories")
    assert refused.status_code == 422
    assert "digits-mlp" in refused.json()["detail"]


def test_a_table_and_figures_of_several_jobs_apart(web: httpx.Client, store: Store) -> None:
    """The second job is worse by about .1 everywhere: so says every cell of the map of differences."""

    def worse(cell: Any) -> Any:
        outcome = completed(cell)
        lost = 0.1 + 0.01 * (cell.seed - 1)
        return replace(outcome, metrics={name: value - lost for name, value in outcome.metrics.items()})

    spec = small_spec(seeds={"count": 3})
    jobs = [run_made_up(store, submit(store, spec), outcome).id for outcome in (completed, worse)]
    table = web.get("/api/v1/tables", params={"job": jobs, "apart": True}).json()
    assert {row["optimizer"] for row in table["rows"]} == {
        f"{name}@{job}" for name in ("gd", "sam", "msam") for job in jobs
    }
    asked: dict[str, Any] = {"job": jobs, "optimizer": "sam", "format": "json"}
    figure = web.get("/api/v1/figures/difference", params=asked)
    assert figure.status_code == 200, figure.text
    (heatmap,) = [trace for trace in figure.json()["data"] if trace["type"] == "heatmap"]
    assert [round(value, 6) for row in heatmap["z"] for value in row] == [0.1] * 4
    (title, *_) = figure.json()["layout"]["annotations"]
    assert title["text"] == f"sam@{jobs[0]}<br>\N{MINUS SIGN} sam@{jobs[1]}"
    marks = [trace for trace in figure.json()["data"] if trace["type"] == "scatter"]
    assert {trace["name"] for trace in marks if "name" in trace} == {"first above second"}
    swapped = web.get("/api/v1/figures/difference", params={**asked, "job": jobs[::-1]}).json()
    assert swapped["data"][0]["z"][0][0] == pytest.approx(-0.1)
    every = web.get("/api/v1/figures/difference", params={"job": jobs, "format": "json"}).json()
    minus = "\N{MINUS SIGN}"
    titles = {one["text"] for one in every["layout"]["annotations"]} & {
        f"{name}@{jobs[0]}<br>{minus} {name}@{jobs[1]}" for name in ("gd", "sam", "msam")
    }
    assert len(titles) == 3, "each optimizer less the same in the other job, on one range of colours"
    assert every["layout"]["coloraxis"]["cmax"] == pytest.approx(0.1)
    rows = {"job": jobs, "optimizer": [f"gd@{jobs[0]}", f"sam@{jobs[0]}", f"sam@{jobs[1]}"], "format": "csv"}
    drawn = pd.read_csv(io.StringIO(web.get("/api/v1/figures/difference", params=rows).text))
    assert len(drawn[["first", "second"]].drop_duplicates()) == 3, "rows that are named are compared with each other"
    image = web.get("/api/v1/figures/heatmap", params={"job": jobs})
    assert (image.status_code, image.headers["Content-Type"]) == (200, "image/svg+xml")
    unknown = web.get("/api/v1/figures/difference", params={**asked, "optimizer": "smam"})
    assert (unknown.status_code, "smam" in unknown.json()["detail"]) == (422, True)
    assert web.get("/api/v1/figures/heatmap", params={"job": "nothing"}).status_code == 404
    assert web.get("/api/v1/figures/trajectories", params={"job": jobs}).status_code == 422
