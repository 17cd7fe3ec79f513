"""Calls on records: pages of JSON, and files of all of a job's records, however many there are."""

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import chain
from threading import Semaphore
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from benchmark import Status
from benchmark.records import Scalar
from service.cells import keys_of_cells
from service.export import csv_pieces, export_schema, parquet_pieces
from service.store import Job, RecordFilter
from service.stored_spec import spec_of
from service.web.access import READ
from service.web.conditional import headers_of, tag_of, unchanged
from service.web.jobs import JobId
from service.web.negotiation import files, negotiated
from service.web.paging import NEXT_PAGE, PageSize
from service.web.problems import errors
from service.web.sending import sent
from service.web.shapes import RecordPage, RecordShape, record_values
from service.web.state import MAX_EXPORTS, AppState, State

FORMATS = {"json": "application/json", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
EXPORT_LATER_S = 10
AT = r"^[a-z][a-z0-9_]{0,39}=(true|false|-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?)$"
MAX_AT = 20
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
async def list_records(
    request: Request,
    state: State,
    job_id: JobId,
    status: Annotated[Status | None, Query(description="of these records alone")] = None,
    optimizer: Annotated[str | None, Query(max_length=200, description="label of an optimizer")] = None,
    task: Annotated[str | None, Query(max_length=200, description="label of a task")] = None,
    at: Annotated[
        list[Annotated[str, Query(pattern=AT, max_length=100)]] | None,
        Query(
            max_length=MAX_AT,
            description="hyperparameters of the cells that are meant, in full, such as `rho=0.05`: as the points of a "
            "surface have them; several hold at once",
        ),
    ] = None,
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

    job_state, revision = await state.read(state.store.standing, job_id)
    asked = (job_id, revision, status, optimizer, task, tuple(at or ()), curves)

    def which() -> RecordFilter:
        keys = None
        if at:
            keys = keys_of_cells(state.store, state.store.job(job_id), _values(at), task=task, optimizer=optimizer)
        return RecordFilter(status=status, optimizer=optimizer, task=task, config_keys=keys)

    def page() -> bytes:
        found = state.store.parts_of_records(job_id, page_token, page_size + 1, which(), curves=curves)
        items = [record_values(parts, with_curve=curves) for parts in found[:page_size]]
        more = len(found) > page_size
        document = {"items": items, "next_page_token": items[-1]["config_key"] if more else None}
        return to_json(document, inf_nan_mode="null")

    if chosen == "json" and job_state.is_terminal:
        rendered = await state.pages.get((*asked, page_size, page_token), page)
        return sent(request, rendered, FORMATS["json"], vary="Accept")
    headers = {"Vary": "Accept"}
    if chosen == "json":
        return Response(await state.read(page), headers=headers, media_type=FORMATS["json"])
    if job_state.is_terminal:
        headers = headers_of(tag_of(*asked, chosen), vary="Accept")
        if same := unchanged(request, headers):
            return same
    return await state.read(lambda: _export(state, state.store.job(job_id), chosen, headers, which(), curves=curves))


def _values(at: Sequence[str]) -> dict[str, Scalar]:
    """Return hyperparameters by name."""
    pairs = (one.split("=", 1) for one in at)
    return {name: json.loads(value) for name, value in pairs}


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
    which: RecordFilter,
    *,
    curves: bool,
) -> Response:
    """Return a file whose first page is read already: what is wrong with the request is told before it begins."""
    if chosen == "csv" and curves:
        detail = "a line of csv has no place for curves: ask for parquet or json, or leave curves out."
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    if not state.exports.acquire(blocking=False):
        detail = f"{MAX_EXPORTS} files are being sent already; try again later."
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(EXPORT_LATER_S)})
    try:
        schema = export_schema(spec_of(job), curves=curves)
        pages = state.store.iter_columns(job.id, which, curves=curves)
        whole = chain([first] if (first := next(pages, None)) else [], pages)
        pieces = csv_pieces(whole, schema) if chosen == "csv" else parquet_pieces(whole, schema)
        disposition = {"Content-Disposition": f'attachment; filename="{job.id}-records.{chosen}"'}
        return _FileResponse(state.exports, pieces, headers=headers | disposition, media_type=FORMATS[chosen])
    except BaseException:
        state.exports.release()
        raise


class _FileResponse(StreamingResponse):
    """A file that is one of those that are being sent until it has ended, however that was."""

    def __init__(self, exports: Semaphore, pieces: Iterator[bytes], **options: Any) -> None:
        super().__init__(pieces, **options)
        self._exports = exports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exports.release()
