"""Records over HTTP: pages, and files of all of them."""

import io
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import BoundedSemaphore, Event
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from fastapi import FastAPI

from benchmark import Diagnostics, PackPlace, Record, Spec
from service import cells
from service.store import NotFoundError, PlacedRecord, Store
from service.store import exporting as store_exporting
from service.web.shapes import RecordPage
from tests.service.filling import FINGERPRINT, completed, diverged, failed, mixed, run_made_up, small_spec, submit
from tests.service.processes import until

pytestmark = pytest.mark.slow
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"


@pytest.fixture
def job_url(store: Store) -> str:
    """Path of a completed job in which msam with rho = 1 diverged at the second seed."""

    def outcome(cell: Any) -> Any:
        is_bad = cell.optimizer == "msam" and cell.hyperparameters["rho"] == 1.0 and cell.seed == 1
        return diverged(cell) if is_bad else completed(cell)

    return f"/api/v1/jobs/{run_made_up(store, submit(store), outcome).id}"


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in pages of 3 records."""
    monkeypatch.setattr(store_exporting, "EXPORT_PAGE", 3)
    monkeypatch.setattr(store_exporting, "CURVES_PAGE", 3)


def read(response: httpx.Response) -> pd.DataFrame:
    """Return the rows of a file."""
    if response.headers["Content-Type"] == PARQUET:
        return pd.read_parquet(io.BytesIO(response.content))
    return pd.read_csv(io.StringIO(response.text))


def test_records_page_through_every_cell_once(web: httpx.Client, job_url: str) -> None:
    seen, token = [], None
    while True:
        page = web.get(f"{job_url}/records", params={"page_size": 7} | ({"page_token": token} if token else {})).json()
        assert len(page["items"]) <= 7
        seen += page["items"]
        token = page["next_page_token"]
        if token is None:
            break
    assert len(seen) == len({record["config_key"] for record in seen}) == 20
    assert {record["status"] for record in seen} == {"completed", "diverged"}
    assert all(record["curve"] is None for record in seen)


def test_records_are_filtered_and_come_with_curves(web: httpx.Client, job_url: str) -> None:
    found = web.get(f"{job_url}/records", params={"status": "diverged", "curves": True}).json()["items"]
    assert [(record["optimizer"], record["diverged_at_step"]) for record in found] == [("msam", 7)] * 2
    assert found[0]["metrics"] == {}
    assert found[0]["curve"]["train_loss"] == [None], "JSON has no infinity"
    assert found[0]["hyperparameters"]["rho"] == 1.0
    assert len(web.get(f"{job_url}/records", params={"optimizer": "gd"}).json()["items"]) == 4


def test_a_point_of_a_surface_leads_to_its_records(web: httpx.Client, job_url: str) -> None:
    for surface in web.get(f"{job_url}/surface").json()["surfaces"]:
        for point in surface["points"]:
            at = [f"{name}={json.dumps(value)}" for name, value in point["hyperparameters"].items()]
            params = {"task": surface["task"], "optimizer": surface["optimizer"], "at": at}
            found = web.get(f"{job_url}/records", params=params).json()["items"]
            by_seed = {record["seed"]: record for record in found}
            assert sorted(by_seed) == surface["seeds"]
            for seed, score, status in zip(surface["seeds"], point["per_seed"], point["status_per_seed"], strict=True):
                assert by_seed[seed]["status"] == status
                assert by_seed[seed]["metrics"].get("test_accuracy", 0.1) == pytest.approx(score)


def test_a_cell_of_a_heat_map_leads_to_its_records(web: httpx.Client, job_url: str) -> None:
    figure = web.get(f"{job_url}/figures/heatmap", params={"format": "json"}).json()
    for trace in (one for one in figure["data"] if one["type"] == "heatmap"):
        rows = zip(trace["customdata"], trace["text"], strict=True)
        for at, text in (pair for row in rows for pair in zip(*row, strict=True)):
            found = web.get(f"{job_url}/records", params={**trace["meta"], "at": at}).json()["items"]
            assert [record["optimizer"] for record in found] == [trace["meta"]["optimizer"]] * 2
            assert ("diverged" in text) == any(record["status"] == "diverged" for record in found)


def test_a_configuration_of_an_adaptive_search_leads_to_its_records(web: httpx.Client, store: Store) -> None:
    search = {"method": "tpe", "n_configurations": 4}
    space = {"lr": {"log": [0.01, 0.1]}, "rho": {"log": [0.1, 1.0]}}
    job = submit(store, small_spec(optimizers=[{"name": "sam"}], space=space, search=search, gd=False))
    claimed = store.claim("a-dispatcher", 60.0, only=job.id)
    assert claimed is not None
    (grid,) = Spec.from_mapping(job.spec).grids
    chosen = [
        cell for point in ((0.05, 0.3), (0.02, 0.7)) for cell in grid.cells_of(grid.configuration(point), range(2))
    ]
    store.register({grid.setting.key: grid.setting.to_dict()}, {FINGERPRINT: {}})
    place = PackPlace("pack", 1, 0)
    placed = [
        PlacedRecord(
            Record(cell.key, FINGERPRINT, grid.setting.key, cell.hyperparameters, cell.seed, completed(cell), place),
            cell.task,
            cell.optimizer,
        )
        for cell in chosen
    ]
    store.write_records(job.id, claimed.attempt, placed, 60.0)
    found = web.get(f"/api/v1/jobs/{job.id}/records", params={"at": "rho=0.7"}).json()["items"]
    assert {record["hyperparameters"]["lr"] for record in found} == {0.02}
    assert len(found) == 2


@pytest.mark.parametrize(
    ("at", "n"), [("lr=0.1", 10), (["lr=0.1", "rho=1"], 4), ("lr=1e-1", 10), ("lr=0.2", 0), ("nesterov=false", 20)]
)
def test_hyperparameters_name_all_cells_that_have_them(web: httpx.Client, job_url: str, at: Any, n: int) -> None:
    assert len(web.get(f"{job_url}/records", params={"at": at}).json()["items"]) == n
    csv = web.get(f"{job_url}/records", params={"at": at, "format": "csv"})
    assert len(csv.text.splitlines()) == n + 1


@pytest.mark.parametrize(
    ("at", "message"),
    [("rh=0.1", "unknown hyperparameter 'rh'; did you mean 'rho'?"), ("rho", "not valid"), ("rho=NaN", "not valid")],
)
def test_hyperparameters_that_name_nothing_are_refused(web: httpx.Client, job_url: str, at: str, message: str) -> None:
    response = web.get(f"{job_url}/records", params={"at": at})
    assert response.status_code == 422
    assert message in response.json()["detail"]


def test_hyperparameters_must_name_few_cells(web: httpx.Client, job_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MAX_KEYS", 9)
    response = web.get(f"{job_url}/records", params={"at": "lr=0.1"})
    assert (response.status_code, "at most 9 cells" in response.json()["detail"]) == (422, True)


@pytest.mark.parametrize("curves", [False, True])
def test_a_page_is_what_its_model_says(web: httpx.Client, store: Store, curves: bool) -> None:
    """Pages are written without their model; what they hold is what the records say, in its shape."""
    job = run_made_up(store, submit(store), mixed)
    answer = web.get(f"/api/v1/jobs/{job.id}/records", params={"curves": curves})
    page = RecordPage.model_validate_json(answer.content, strict=True)
    assert page.model_dump(mode="json") == answer.json()
    stored = store.records(job.id)
    assert [item.id for item in page.items] == [one.record.id for one in stored]
    for item, one in zip(answer.json()["items"], stored, strict=True):
        document = one.record.to_dict() | {"task": one.task, "optimizer": one.optimizer, "reused": one.reused}
        assert item == {name: document[name] for name in item} | ({} if curves else {"curve": None})


def test_a_number_that_json_has_not_is_null(web: httpx.Client, store: Store) -> None:
    """Of a norm that is infinite too: JSON has no word for it, and a page is no less JSON for that."""

    def endless(cell: Any) -> Any:
        return replace(completed(cell), diagnostics=Diagnostics(math.inf, -math.inf))

    job = run_made_up(store, submit(store), endless)
    items = web.get(f"/api/v1/jobs/{job.id}/records").json()["items"]
    assert {(one["diagnostics"]["grad_norm"], one["diagnostics"]["delta_over_rho"]) for one in items} == {(None, None)}
    assert web.get(f"/api/v1/records/{items[0]['id']}").json()["diagnostics"]["grad_norm"] is None
    assert store.records(job.id)[0].record.outcome.diagnostics.grad_norm == math.inf


def test_a_record_by_its_id(web: httpx.Client, job_url: str) -> None:
    listed = web.get(f"{job_url}/records", params={"page_size": 1}).json()["items"][0]
    record = web.get(f"/api/v1/records/{listed['id']}").json()
    assert record["config_key"] == listed["config_key"]
    assert len(record["curve"]["step"]) in (1, 3)
    assert web.get(f"/api/v1/records/{'0' * 32}").status_code == 404
    assert web.get("/api/v1/records/x").status_code == 422


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("chosen", ["csv", "parquet"])
def test_a_file_has_the_records_of_the_pages(web: httpx.Client, job_url: str, chosen: str) -> None:
    listed = web.get(f"{job_url}/records", params={"page_size": 500}).json()["items"]
    response = web.get(f"{job_url}/records", params={"format": chosen})
    assert response.headers["Content-Type"] == {"csv": "text/csv; charset=utf-8", "parquet": PARQUET}[chosen]
    job_id = job_url.rpartition("/")[2]
    assert response.headers["Content-Disposition"] == f'attachment; filename="{job_id}-records.{chosen}"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    frame = read(response)
    assert list(frame["config_key"]) == [record["config_key"] for record in listed]
    for row, record in zip(frame.to_dict("records"), listed, strict=True):
        for name in ("id", "task", "optimizer", "seed", "status", "collapsed", "fingerprint", "reused"):
            assert row[name] == record[name]
        for name in ("steps", "gradient_evaluations", "elapsed_s", "amortised", "execution", "device"):
            assert row[name] == record["cost"][name]
        assert row["lr"] == record["hyperparameters"]["lr"]
        for name in ("train_loss", "test_accuracy", "val_loss"):
            assert row[name] == record["metrics"].get(name) or (pd.isna(row[name]) and name not in record["metrics"])
        assert row["diverged_at_step"] == record["diverged_at_step"] or pd.isna(row["diverged_at_step"])
    assert frame.loc[frame["optimizer"] == "gd", "rho"].isna().all(), "gd has none"
    assert set(frame.loc[frame["optimizer"] == "sam", "rho"]) == {0.1, 1.0}


@pytest.mark.parametrize("chosen", ["json", "csv", "parquet"])
@pytest.mark.parametrize(
    ("filters", "n_found"),
    [
        ({"status": "failed"}, 4),
        ({"status": "diverged", "optimizer": "msam"}, 4),
        ({"optimizer": "sam"}, 8),
        ({"task": "digits-mlp"}, 20),
        ({"task": "another"}, 0),
    ],
)
def test_filters_hold_in_every_format(
    web: httpx.Client, store: Store, chosen: str, filters: dict[str, str], n_found: int
) -> None:
    job = run_made_up(store, submit(store), mixed)
    response = web.get(f"/api/v1/jobs/{job.id}/records", params={"format": chosen, "page_size": "500"} | filters)
    rows = response.json()["items"] if chosen == "json" else read(response).to_dict("records")
    assert len(rows) == n_found
    assert all(row[name] == value for row in rows for name, value in filters.items())


@pytest.mark.parametrize(
    ("chosen", "accept", "media_type"),
    [
        (None, None, "application/json"),
        (None, "", "application/json"),
        (None, "*/*", "application/json"),
        (None, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "application/json"),
        (None, "text/csv", CSV),
        (None, "TEXT/CSV ; header=present", CSV),
        (None, "text/*", CSV),
        (None, "application/*", "application/json"),
        (None, PARQUET, PARQUET),
        (None, f"text/csv;q=0.5, {PARQUET}", PARQUET),
        (None, "application/json;q=0, */*", CSV),
        (None, "application/json;q=0.1, text/csv;q=0.2, */*;q=0.1", CSV),
        (None, "nonsense, text/csv", CSV),
        ("json", "text/csv", "application/json"),
        ("csv", "application/json", CSV),
        ("parquet", "image/png", PARQUET),
        (None, "image/png", None),
        (None, "application/problem+json", None),
        (None, "*/*;q=0", None),
        (None, "text/csv;q=nonsense", None),
        (None, "text/csv;q=nan", None),
        (None, ",;,", None),
    ],
)
def test_what_is_asked_for_by_name_goes_before_accept(
    web: httpx.Client, job_url: str, chosen: str | None, accept: str | None, media_type: str | None
) -> None:
    web.headers.pop("accept")
    params = {} if chosen is None else {"format": chosen}
    response = web.get(f"{job_url}/records", params=params, headers={} if accept is None else {"Accept": accept})
    assert "Accept" in response.headers["Vary"]
    if media_type is not None:
        assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (200, media_type)
        return
    assert response.status_code == 406
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "application/json (?format=json), text/csv (?format=csv)" in response.json()["detail"]


def test_an_error_that_a_spreadsheet_would_run_is_marked_as_text(web: httpx.Client, store: Store) -> None:
    """An error is the text that another one's code may have chosen; labels are words."""
    formula = '=HYPERLINK(1)\n"a", b'
    job = run_made_up(store, submit(store), lambda cell: replace(failed(cell), error=formula))
    for chosen, expected in (("csv", f"'{formula}"), ("parquet", formula)):
        frame = read(web.get(f"/api/v1/jobs/{job.id}/records", params={"format": chosen}))
        assert set(frame["error"]) == {expected}
        assert frame["seed"].dtype == "int64"


def test_curves_come_in_parquet_and_not_in_csv(web: httpx.Client, job_url: str) -> None:
    params = {"curves": "true", "page_size": "500"}
    listed = web.get(f"{job_url}/records", params=params).json()["items"]
    frame = read(web.get(f"{job_url}/records", params=params | {"format": "parquet"}))
    for curve, record in zip(frame["curve"], listed, strict=True):
        if record["status"] == "completed":
            assert {name: list(series) for name, series in curve} == record["curve"]
        else:
            assert dict(curve)["train_loss"][0] == float("inf"), "parquet has infinity"
    refused = web.get(f"{job_url}/records", params=params | {"format": "csv"})
    assert refused.status_code == 422
    assert "no place for curves: ask for parquet or json" in refused.json()["detail"]


@pytest.mark.parametrize("chosen", ["csv", "parquet"])
def test_a_job_without_records_has_a_file_of_columns(web: httpx.Client, store: Store, chosen: str) -> None:
    frame = read(web.get(f"/api/v1/jobs/{submit(store).id}/records", params={"format": chosen}))
    assert len(frame) == 0
    assert {"task", "rho", "test_accuracy", "config_key", "error"} <= set(frame)


@pytest.mark.parametrize("path", ["", "/records", "/records?format=csv", "/records?format=parquet", "/table"])
def test_head_has_the_headers_of_get(web: httpx.Client, job_url: str, path: str) -> None:
    got, head = web.get(job_url + path), web.head(job_url + path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Disposition", "Content-Length", "X-Content-Type-Options"):
        assert head.headers.get(name) == got.headers.get(name)
    assert web.head("/api/v1/jobs/nothing/records").status_code == 404
    assert web.head("/api/v1/jobs", params={"state": "x"}).status_code == 422


def test_a_job_that_goes_meanwhile_breaks_the_file_off(
    web: httpx.Client, store: Store, job_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without its end is not taken for a whole one."""
    page = next(store.iter_columns(job_url.rpartition("/")[2]))

    def broken(*_: Any, **__: Any) -> Iterator[Any]:
        yield page
        raise NotFoundError("there is no job any more.")

    monkeypatch.setattr(store, "iter_columns", broken)
    for chosen in ("csv", "parquet"):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            web.get(f"{job_url}/records", params={"format": chosen})


@pytest.fixture
def endless(store: Store, job_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A file that has no end; tells how many of its pages were read."""
    page = next(store.iter_columns(job_url.rpartition("/")[2]))
    n_pages = 0

    def pages(*_: Any, **__: Any) -> Iterator[Any]:
        nonlocal n_pages
        while True:
            n_pages += 1
            yield {name: np.tile(values, 100) for name, values in page.items()}

    monkeypatch.setattr(store, "iter_columns", pages)
    return lambda: n_pages


def test_a_reader_who_goes_away_leaves_nothing_behind(
    web: httpx.Client, job_url: str, endless: Callable[[], int], shared_app: tuple[FastAPI, str]
) -> None:
    exports = shared_app[0].state.rhobust.exports = BoundedSemaphore()
    with web.stream("GET", f"{job_url}/records", params={"format": "csv"}) as response:
        pieces = response.iter_bytes()  # a reader whose pieces nobody holds has gone
        next(pieces)
        assert not exports.acquire(blocking=False), "it is sent"
    until(lambda: exports.acquire(blocking=False), "it is over", 10)
    before = endless()
    assert web.get(f"{job_url}/records", params={"page_size": 1}).status_code == 200
    assert endless() == before


@pytest.mark.usefixtures("endless")
def test_more_files_than_there_is_room_for_come_later(
    web: httpx.Client, job_url: str, shared_app: tuple[FastAPI, str]
) -> None:
    shared_app[0].state.rhobust.exports = BoundedSemaphore()
    with web.stream("GET", f"{job_url}/records", params={"format": "csv"}) as response:
        pieces = response.iter_bytes()
        next(pieces)
        with web.stream("GET", f"{job_url}/records", params={"format": "parquet"}) as refused:
            assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "10")
        assert web.get(f"{job_url}/records").status_code == 200, "pages are no files"


def test_a_file_has_its_place_before_its_first_page_is_read(
    web: httpx.Client, store: Store, job_url: str, shared_app: tuple[FastAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_app[0].state.rhobust.exports = BoundedSemaphore()
    reads, goes_on = Event(), Event()
    columns = store.iter_columns

    def slow(*arguments: Any, **options: Any) -> Iterator[Any]:
        reads.set()
        assert goes_on.wait(30)
        yield from columns(*arguments, **options)

    monkeypatch.setattr(store, "iter_columns", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(web.get, f"{job_url}/records", params={"format": "csv"})
        assert reads.wait(30)
        assert web.get(f"{job_url}/records", params={"format": "csv"}).status_code == 503
        goes_on.set()
        assert first.result().status_code == 200
    until(lambda: web.get(f"{job_url}/records", params={"format": "csv"}).status_code == 200, "its place is free again")


def test_a_file_that_cannot_begin_leaves_its_place(
    web: httpx.Client, store: Store, job_url: str, shared_app: tuple[FastAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_app[0].state.rhobust.exports = BoundedSemaphore()

    def missing(*_: Any, **__: Any) -> Iterator[Any]:
        raise NotFoundError("there is no job any more.")

    with monkeypatch.context() as patched:
        patched.setattr(store, "iter_columns", missing)
        assert web.get(f"{job_url}/records", params={"format": "csv"}).status_code == 404
    assert web.get(f"{job_url}/records", params={"format": "csv"}).status_code == 200
