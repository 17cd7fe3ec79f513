"""Calls on records: pages of JSON, and files of all of a job's records, however many there are."""

from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.concurrency import iterate_in_threadpool

from benchmark import Status
from service.export import csv_pieces, export_schema, parquet_pieces
from service.store import Job
from service.stored_spec import spec_of
from service.web.access import READ
from service.web.conditional import headers_of, tag_of, unchanged
from service.web.jobs import NEXT_PAGE, JobId, PageSize
from service.web.negotiation import files, negotiated
from service.web.problems import errors
from service.web.shapes import RecordPage, RecordShape, record_values
from service.web.state import AppState, State

FORMATS = {"json": "application/json", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
MAX_EXPORTS, EXPORT_LATER_S = 8, 10  # each holds some ten megabytes of rows
router = APIRouter(prefix="/jobs/{job_id}", tags=["results"], dependencies=[READ])
single_router = APIRouter(prefix="/records", tags=["results"], dependencies=[READ])


@router.get(
    "/records",
    response_model=RecordPage,
    response_description="a page; or a file of all records",
    responses={
        HTTPStatus.OK: {"content": files(FORMATS)},
        **errors(HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.CONFLICT),
    },
)
def list_records(
    request: Request,
    state: State,
    job_id: JobId,
    status: Annotated[Status | None, Query(description="of these records alone")] = None,
    optimizer: Annotated[str | None, Query(max_length=200, description="label of an optimizer")] = None,
    task: Annotated[str | None, Query(max_length=200, description="label of a task")] = None,
    curves: Annotated[bool, Query(description="whether each record comes with its curve; not in csv")] = False,
    page_size: PageSize = 100,
    page_token: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$", description=NEXT_PAGE)] = None,
    record_format: Annotated[
        Literal["json", "csv", "parquet"] | None,
        Query(alias="format", description="csv and parquet: a row a record, all of them; goes before `Accept`"),
    ] = None,
) -> Response:
    """List the records that a job uses, page by page, or stream all of them as csv or parquet."""
    chosen = negotiated(request, record_format, FORMATS)
    job = state.store.job(job_id)
    headers = {"Vary": "Accept"}
    if job.state.is_terminal:
        asked = (job.id, job.revision, chosen, status, optimizer, task, curves)
        tag = tag_of(*asked, *((page_size, page_token) if chosen == "json" else ()))
        headers = headers_of(tag, vary="Accept")
        if same := unchanged(request, headers):
            return same
    if chosen != "json":
        return _export(state, job, chosen, headers, status, optimizer, task, curves=curves)
    found = state.store.parts_of_records(job_id, page_token, page_size + 1, status, optimizer, task, curves=curves)
    page = found[:page_size]
    items = [record_values(parts, with_curve=curves) for parts in page]
    more = len(found) > page_size
    document = {"items": items, "next_page_token": page[-1]["config_key"] if more else None}
    return Response(to_json(document, inf_nan_mode="null"), headers=headers, media_type=FORMATS["json"])


@single_router.get("/{record_id}")
def get_record(
    state: State, record_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="id of the record")]
) -> RecordShape:
    """Return a record with its curve."""
    return RecordShape(**record_values(state.store.parts_of_record(record_id), with_curve=True))


def _export(
    state: AppState,
    job: Job,
    chosen: str,
    headers: dict[str, str],
    status: Status | None,
    optimizer: str | None,
    task: str | None,
    *,
    curves: bool,
) -> Response:
    """Return a file whose first page is read already: what is wrong with the request is told before it begins."""
    if chosen == "csv" and curves:
        detail = "a line of csv has no place for curves: ask for parquet or json, or leave curves out."
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    if state.n_exports >= MAX_EXPORTS:
        detail = f"{state.n_exports} files are being sent already; try again later."
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(EXPORT_LATER_S)})
    schema = export_schema(spec_of(job), curves=curves)
    pages = state.store.iter_columns(job.id, status, optimizer, task, curves=curves)
    whole = chain([first] if (first := next(pages, None)) else [], pages)
    pieces = csv_pieces(whole, schema) if chosen == "csv" else parquet_pieces(whole, schema)
    disposition = {"Content-Disposition": f'attachment; filename="{job.id}-records.{chosen}"'}
    return StreamingResponse(_sent(state, pieces), headers=headers | disposition, media_type=FORMATS[chosen])


async def _sent(state: AppState, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a file, counted among those that are being sent; a thread is held while one is made."""
    state.n_exports += 1
    try:
        async for piece in iterate_in_threadpool(pieces):
            yield piece
    finally:
        state.n_exports -= 1
