"""The dashboard's pages: shells that scripts of ours fill through the REST API."""

import json
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.templating import Jinja2Templates
from starlette.staticfiles import StaticFiles

from service.store import NotFoundError
from service.web.access import Principal
from service.web.jobs import JobId
from service.web.openapi import operations
from service.web.state import State

FOLDER = Path(__file__).parent


def _surroundings(request: Request) -> dict[str, Any]:
    """Return what every page knows: the path under which a proxy serves us, and who is signed in."""
    principal: Principal | None = getattr(request.state, "principal", None)
    return {
        "root": request.scope.get("root_path", ""),
        "principal": principal if principal and principal.session else None,
    }


TEMPLATES = Jinja2Templates(FOLDER / "templates", context_processors=[_surroundings])
TEMPLATES.env.filters["pretty"] = partial(json.dumps, indent=2, ensure_ascii=False)  # autoescaped, unlike tojson
ONE_DAY = "public, max-age=86400"
router = APIRouter(include_in_schema=False)


@router.get("/", response_class=HTMLResponse)
def jobs_page(request: Request) -> Response:
    """Return the page with all jobs."""
    return TEMPLATES.TemplateResponse(request, "jobs.html")


@router.get("/jobs/{job_id}", response_class=HTMLResponse)
def job_page(request: Request, state: State, job_id: JobId) -> Response:
    """Return the page of a job, or one that says that there is none."""
    try:
        job = state.store.job(job_id)
    except NotFoundError:
        return TEMPLATES.TemplateResponse(request, "missing.html", {"job_id": job_id}, HTTPStatus.NOT_FOUND)
    return TEMPLATES.TemplateResponse(request, "job.html", {"job": job})


@router.get("/docs", response_class=HTMLResponse)
def docs_page(request: Request) -> Response:
    """Return the page that describes the API: the OpenAPI document, readable without a script."""
    document = request.app.openapi()
    found = {"document": document, "operations": list(operations(document))}
    return TEMPLATES.TemplateResponse(request, "docs.html", found)


@router.get("/assets/plotly.min.js")
def plotly_script() -> Response:
    """Return Plotly's script as its Python package ships it: no request leaves this host."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package 'plotly' must be installed to serve the dashboard.", name="plotly")
    script = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return FileResponse(script, media_type="text/javascript", headers={"Cache-Control": ONE_DAY})


def mount_static(app: FastAPI) -> None:
    """Serve our scripts and stylesheets."""
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
