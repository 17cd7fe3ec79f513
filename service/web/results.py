"""Calls on results: the robustness table, surfaces and figures."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from benchmark import Spec
from benchmark.figures import FigureData, figure_kind, figure_of
from benchmark.frame import results_frame
from benchmark.robustness import HeldEqual, RobustnessTable, slices, tuning_curves
from benchmark.robustness.rendering import render_csv, render_latex, render_markdown, render_parquet
from benchmark.surface import surfaces
from benchmark.tables import grid_infos, scorings
from service.results import job_results, jobs_table
from service.web.access import READ
from service.web.jobs import JOB_ID, JobId
from service.web.state import State

router = APIRouter(prefix="/jobs/{job_id}", tags=["results"], dependencies=[READ])
RENDERERS: dict[str, tuple[str, Callable[[RobustnessTable], str | bytes]]] = {
    "csv": ("text/csv", render_csv),
    "md": ("text/markdown", render_markdown),
    "parquet": ("application/vnd.apache.parquet", render_parquet),
    "tex": ("application/x-tex", render_latex),
}
TableFormat = Annotated[
    Literal["json", "csv", "md", "parquet", "tex"],
    Query(alias="format", description="json: the document; csv and parquet: a row a measure"),
]
tables_router = APIRouter(prefix="/tables", tags=["results"], dependencies=[READ])
MAX_JOBS = 20
IMAGE_TYPES = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}


@router.get("/table")
def get_table(
    state: State,
    job_id: JobId,
    table_format: TableFormat = "json",
    view: Annotated[HeldEqual | None, Query(description="what is held equal; by default what the budgets do")] = None,
) -> Response:
    """Return the robustness table, of what is recorded so far.

    In a view other than that of the budgets, the runs are read on their way, off their curves; 422 where that would not
    be honest, with the reason and the remedy.
    """
    return _table(state.table(job_id, view), table_format, f"{job_id}-table")


@tables_router.get("")
def get_table_of_jobs(
    state: State,
    job: Annotated[
        list[Annotated[str, Query(pattern=JOB_ID)]],
        Query(min_length=1, max_length=MAX_JOBS, description="ids of the jobs; of a cell in several, the first counts"),
    ],
    table_format: TableFormat = "json",
) -> Response:
    """Return one robustness table over several jobs, of what is recorded so far.

    An optimizer with the same label, setting and grid in several jobs is one row; with another setting or grid it is a
    row for each, `label@job`. Tasks of one label must be the same, and rows are compared over the seeds that all have.
    """
    return _table(jobs_table(state.store, job), table_format, "table")


@router.get("/surface")
def get_surface(
    state: State,
    job_id: JobId,
    split: Annotated[Literal["validation", "test"], Query(description="which scores")] = "test",
) -> Response:
    """Return the response surface of every optimizer on every task: all points, with each seed's score."""
    results = state.results(job_id)
    frame = results_frame(results.spec, results.records)
    return JSONResponse({"surfaces": _surfaces(results.spec, frame, split)})


@router.get("/slices")
def get_slices(state: State, job_id: JobId) -> Response:
    """Return the score along each hyperparameter through the best configuration of each optimizer.

    With the others as the best configuration has them, with pointwise intervals, and what is lost where the
    hyperparameter is off by a factor.
    """
    results = state.results(job_id)
    frame = results_frame(results.spec, results.records)
    found = slices(frame, scorings(results.spec), grid_infos(results.spec))
    return JSONResponse({"slices": [one.to_dict() for one in found]})


@router.get("/tuning")
def get_tuning(state: State, job_id: JobId) -> Response:
    """Return the tuning curve of every optimizer: the expected best score of k trials, with pointwise intervals."""
    results = state.results(job_id)
    frame = results_frame(results.spec, results.records)
    found = tuning_curves(frame, scorings(results.spec), grid_infos(results.spec))
    return JSONResponse({"curves": [one.to_dict() for one in found]})


@router.get("/figures/{name}")
def get_figure(
    state: State,
    job_id: JobId,
    name: Annotated[str, Path(max_length=50, description="kind of figure; /figures lists them")],
    task: Annotated[
        str | None, Query(max_length=200, description="label of the task; by default the first, or all")
    ] = None,
    optimizer: Annotated[list[str] | None, Query(max_length=100, description="labels to show; all by default")] = None,
    image_format: Annotated[
        Literal["json", "svg", "png", "pdf"], Query(alias="format", description="json: for Plotly")
    ] = "svg",
) -> Response:
    """Return a figure of a job, of what is recorded so far."""
    kind = figure_kind(name)
    results = job_results(state.store, job_id, curves=kind.needs_curves)
    data = FigureData.of_records(results.spec, results.records)
    figure = figure_of(data, name, task=task, optimizers=optimizer or ())
    if image_format == "json":
        return JSONResponse(figure.plotly())
    return _download(figure.image(image_format), IMAGE_TYPES[image_format], f"{job_id}-{name}.{image_format}")


def _surfaces(spec: Spec, frame: pd.DataFrame, split: Literal["validation", "test"]) -> list[dict[str, Any]]:
    return surfaces(frame, scorings(spec), grid_infos(spec), split=split)


def _table(table: RobustnessTable, table_format: str, name: str) -> Response:
    if table_format == "json":
        return JSONResponse(table.to_dict())
    media_type, render = RENDERERS[table_format]
    return _download(render(table), media_type, f"{name}.{table_format}")


def _download(content: str | bytes, media_type: str, name: str) -> Response:
    """Return a file; a browser saves it and never shows it as a page of ours."""
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
