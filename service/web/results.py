"""Calls on results: the robustness table, surfaces and figures."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from benchmark import Spec
from benchmark.figures import Figure, FigureData, figure_kind, figure_kinds, figure_of
from benchmark.robustness import HeldEqual, RobustnessTable, slices, tuning_curves
from benchmark.robustness.rendering import render_csv, render_latex, render_markdown, render_parquet
from benchmark.robustness.rendering.layout import sections
from benchmark.surface import surfaces
from benchmark.tables import grid_infos, scorings
from service.results import figure_data, jobs_table, joined_jobs
from service.web.access import READ
from service.web.answers import PlotlyFigure, RobustnessTableShape, Slices, Surfaces, TuningCurves
from service.web.jobs import JOB_ID, JobId
from service.web.negotiation import JSON, files
from service.web.problems import errors
from service.web.rendered import Rendered, json_bytes
from service.web.sending import sent
from service.web.state import AppState, State

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
figures_router = APIRouter(prefix="/figures", tags=["results"], dependencies=[READ])
MAX_JOBS = 20
FIGURE_TYPES = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf", "csv": "text/csv"}
SeveralJobs = Annotated[
    list[Annotated[str, Query(pattern=JOB_ID)]],
    Query(min_length=1, max_length=MAX_JOBS, description="ids of the jobs; of a cell in several, the first counts"),
]


def _answers(model: type[BaseModel], content: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route whose answer is this document, or one of these files."""
    return {
        HTTPStatus.OK: {"model": model, "content": content or {}},
        **errors(HTTPStatus.NOT_MODIFIED, HTTPStatus.CONFLICT),
    }


KINDS = [kind.name for kind in figure_kinds()]
FigureName = Annotated[str, Path(description="kind of figure; /figures tells more", json_schema_extra={"enum": KINDS})]
FigureTask = Annotated[str | None, Query(max_length=200, description="label of the task; by default the first, or all")]
FigureFormat = Annotated[
    Literal["json", "svg", "png", "pdf", "csv"],
    Query(alias="format", description="json: for Plotly; csv: what is drawn, a row a cell, a point or a run"),
]
TABLE = _answers(RobustnessTableShape, files({name: media_type for name, (media_type, _) in RENDERERS.items()}))


@router.get("/table", responses=TABLE)
async def get_table(
    request: Request,
    state: State,
    job_id: JobId,
    table_format: TableFormat = "json",
    view: Annotated[HeldEqual | None, Query(description="what is held equal; by default what the budgets do")] = None,
) -> Response:
    """Return the robustness table, of what is recorded so far.

    In a view other than that of the budgets, the runs are read on their way, off their curves; 422 where that would not
    be honest, with the reason and the remedy.
    """
    rendered = await table_of(state, job_id, table_format, view)
    return _table(request, rendered, table_format, f"{job_id}-table")


async def table_of(state: AppState, job_id: str, table_format: str = "json", view: HeldEqual | None = None) -> Rendered:
    """Return the table of a job, of what is recorded so far."""
    revision = await _revision(state, job_id)

    def render() -> bytes:
        return _rendered_table(state.table(job_id, revision, view), table_format)

    key = (job_id, revision, "table", table_format, view)
    # seconds are those of measurements, which go on without the job
    return await state.rendered.get(key, render, keep=view != "equal_seconds")


@tables_router.get("", responses=TABLE | errors(HTTPStatus.NOT_FOUND))
async def get_table_of_jobs(
    request: Request,
    state: State,
    job: SeveralJobs,
    table_format: TableFormat = "json",
    apart: Annotated[
        bool, Query(description="whether each job has rows of its own also where optimizers are the same")
    ] = False,
) -> Response:
    """Return one robustness table over several jobs, of what is recorded so far.

    An optimizer with the same label, setting and grid in several jobs is one row; with another setting or grid, or
    apart, it is a row for each, `label@job`. Tasks of one label must be the same, and rows are compared over the seeds
    that all have.
    """
    revisions = tuple([(one, await _revision(state, one)) for one in job])

    def render() -> bytes:
        return _rendered_table(jobs_table(state.store, job, apart=apart), table_format)

    rendered = await state.rendered.get((revisions, "tables", table_format, apart), render)
    return _table(request, rendered, table_format, "table")


@router.get("/surface", responses=_answers(Surfaces))
async def get_surface(
    request: Request,
    state: State,
    job_id: JobId,
    split: Annotated[Literal["validation", "test"], Query(description="which scores")] = "test",
) -> Response:
    """Return the response surface of every optimizer on every task: all points, with each seed's score."""

    def found(frame: pd.DataFrame, spec: Spec) -> list[dict[str, Any]]:
        return surfaces(frame, scorings(spec), grid_infos(spec), split=split)

    return await _of_records(request, state, job_id, "surfaces", found, split)


@router.get("/slices", responses=_answers(Slices))
async def get_slices(request: Request, state: State, job_id: JobId) -> Response:
    """Return the score along each hyperparameter through the best configuration of each optimizer.

    With the others as the best configuration has them, with pointwise intervals, and what is lost where the
    hyperparameter is off by a factor.
    """

    def found(frame: pd.DataFrame, spec: Spec) -> list[dict[str, Any]]:
        return [one.to_dict() for one in slices(frame, scorings(spec), grid_infos(spec))]

    return await _of_records(request, state, job_id, "slices", found)


@router.get("/tuning", responses=_answers(TuningCurves))
async def get_tuning(request: Request, state: State, job_id: JobId) -> Response:
    """Return the tuning curve of every optimizer: the expected best score of k trials, with pointwise intervals."""

    def found(frame: pd.DataFrame, spec: Spec) -> list[dict[str, Any]]:
        return [one.to_dict() for one in tuning_curves(frame, scorings(spec), grid_infos(spec))]

    return await _of_records(request, state, job_id, "curves", found)


@router.get("/figures/{name}", responses=_answers(PlotlyFigure, files(FIGURE_TYPES)))
async def get_figure(
    request: Request,
    state: State,
    job_id: JobId,
    name: FigureName,
    task: FigureTask = None,
    optimizer: Annotated[list[str] | None, Query(max_length=100, description="labels to show; all by default")] = None,
    figure_format: FigureFormat = "svg",
) -> Response:
    """Return a figure of a job, of what is recorded so far."""
    rendered = await figure_of_job(state, job_id, name, task, tuple(optimizer or ()), figure_format)
    return _figure(request, rendered, figure_format, f"{job_id}-{name}")


async def figure_of_job(
    state: AppState,
    job_id: str,
    name: str,
    task: str | None,
    optimizers: tuple[str, ...] = (),
    figure_format: FigureFormat = "json",
) -> Rendered:
    """Return a figure of a job, of what is recorded so far."""
    figure_kind(name)
    revision = await _revision(state, job_id)

    def render() -> bytes:
        data = figure_data(state.store, job_id, state.frame(job_id, revision))
        return _rendered_figure(figure_of(data, name, task=task, optimizers=optimizers), figure_format)

    return await state.rendered.get((job_id, revision, "figure", name, task, optimizers, figure_format), render)


@figures_router.get("/{name}", responses=_answers(PlotlyFigure, files(FIGURE_TYPES)) | errors(HTTPStatus.NOT_FOUND))
async def get_figure_of_jobs(
    request: Request,
    state: State,
    name: FigureName,
    job: SeveralJobs,
    task: FigureTask = None,
    optimizer: Annotated[
        list[str] | None,
        Query(
            max_length=100,
            description="labels of rows to show, all by default; a label without its job means the rows of all jobs",
        ),
    ] = None,
    figure_format: FigureFormat = "svg",
) -> Response:
    """Return a figure over several jobs, of what is recorded so far.

    Each job has rows of its own, as in the table of several jobs apart. The map of differences shows each optimizer in
    the first job less the same in the second, unless rows are named, which are compared with each other. Of figures of
    curves there are none over several jobs.
    """
    figure_kind(name)
    optimizers = tuple(optimizer or ())
    revisions = tuple([(one, await _revision(state, one)) for one in job])

    def render() -> bytes:
        found = joined_jobs(state.store, job)
        data = FigureData.of_frame(found.frame, found.scorings, found.grids)
        data = replace(data, pairs=found.pairs(optimizers))
        return _rendered_figure(figure_of(data, name, task=task, optimizers=found.labels(optimizers)), figure_format)

    rendered = await state.rendered.get((revisions, "figure", name, task, optimizers, figure_format), render)
    return _figure(request, rendered, figure_format, name)


async def _revision(state: AppState, job_id: str) -> int:
    """Return the revision of a job, which grows with every change of it: what is kept under it is never out of date."""
    return (await state.read(state.store.standing, job_id)).revision


async def _of_records(
    request: Request,
    state: AppState,
    job_id: str,
    name: str,
    found: Callable[[pd.DataFrame, Spec], list[dict[str, Any]]],
    *asked: Hashable,
) -> Response:
    """Return a document that is computed from the records of a job alone."""
    revision = await _revision(state, job_id)

    def render() -> bytes:
        results = state.frame(job_id, revision)
        return json_bytes({name: found(results.frame, results.spec)})

    return sent(request, await state.rendered.get((job_id, revision, name, *asked), render), JSON)


def _rendered_table(table: RobustnessTable, table_format: str) -> bytes:
    if table_format == "json":
        captions = [{"task": one.task, "caption": one.caption, "notes": one.notes} for one in sections(table)]
        return json_bytes({**table.to_dict(), "captions": captions})
    rendered = RENDERERS[table_format][1](table)
    return rendered.encode() if isinstance(rendered, str) else rendered


def _rendered_figure(figure: Figure, figure_format: FigureFormat) -> bytes:
    if figure_format == "json":
        return json_bytes(figure.plotly())
    return figure.csv().encode() if figure_format == "csv" else figure.image(figure_format)


def _figure(request: Request, rendered: Rendered, figure_format: str, name: str) -> Response:
    if figure_format == "json":
        return sent(request, rendered, JSON)
    return sent(request, rendered, FIGURE_TYPES[figure_format], name=f"{name}.{figure_format}")


def _table(request: Request, rendered: Rendered, table_format: str, name: str) -> Response:
    if table_format == "json":
        return sent(request, rendered, JSON)
    return sent(request, rendered, RENDERERS[table_format][0], name=f"{name}.{table_format}")
