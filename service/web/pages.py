"""The dashboard's pages: shells that scripts of ours fill through the REST API."""

import json
import re
from collections.abc import Callable
from functools import cache, partial
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
from service.web.alerts import AlertId
from service.web.jobs import JobId
from service.web.openapi import operations
from service.web.schedules import ScheduleId
from service.web.state import State

FOLDER = Path(__file__).parent
IMPORTED = re.compile(r'^import (?:.* from )?"\./([\w-]+\.js)";$', re.MULTILINE)


def _surroundings(request: Request) -> dict[str, Any]:
    """Return what every page knows: the path under which a proxy serves us, its own, and who is signed in."""
    principal: Principal | None = getattr(request.state, "principal", None)
    root = request.scope.get("root_path", "")
    return {
        "root": root,
        "here": request.url.path.removeprefix(root),
        "principal": principal if principal and principal.session else None,
        "scope": principal.scope if principal else "",
    }


@cache
def modules(*names: str) -> tuple[str, ...]:
    """Return scripts and all that they import, so that a browser asks for them at once and not one behind the other."""
    found = list(dict.fromkeys(names))
    for name in found:
        text = (FOLDER / "static" / name).read_text(encoding="utf-8")
        found += [one for one in dict.fromkeys(IMPORTED.findall(text)) if one not in found]
    return tuple(found)


TEMPLATES = Jinja2Templates(FOLDER / "templates", context_processors=[_surroundings])
TEMPLATES.env.globals["modules"] = modules
TEMPLATES.env.filters["pretty"] = partial(json.dumps, indent=2, ensure_ascii=False)  # autoescaped, unlike tojson
ONE_DAY = "public, max-age=86400"
router = APIRouter(include_in_schema=False)


@router.get("/", response_class=HTMLResponse)
def jobs_page(request: Request) -> Response:
    """Return the page with all jobs."""
    return TEMPLATES.TemplateResponse(request, "jobs.html")


@router.get("/submit", response_class=HTMLResponse)
def submit_page(request: Request) -> Response:
    """Return the page on which a job is made, cloned or extended."""
    return TEMPLATES.TemplateResponse(request, "submit.html")


@router.get("/jobs/{job_id}", response_class=HTMLResponse)
def job_page(request: Request, state: State, job_id: JobId) -> Response:
    """Return the page of a job, or one that says that there is none."""
    return _page_of(request, "job.html", "job", job_id, state.store.job, every="/")


@router.get("/compare", response_class=HTMLResponse)
def compare_page(request: Request) -> Response:
    """Return the page that compares jobs, optimizers, and a candidate with a baseline."""
    return TEMPLATES.TemplateResponse(request, "compare.html")


@router.get("/schedules", response_class=HTMLResponse)
def schedules_page(request: Request) -> Response:
    """Return the page with all schedules."""
    return TEMPLATES.TemplateResponse(request, "schedules.html")


@router.get("/schedules/{schedule_id}", response_class=HTMLResponse)
def schedule_page(request: Request, state: State, schedule_id: ScheduleId) -> Response:
    """Return the page of a schedule, or one that says that there is none."""
    return _page_of(request, "schedule.html", "schedule", schedule_id, state.store.schedule, every="/schedules")


@router.get("/alerts", response_class=HTMLResponse)
def alerts_page(request: Request) -> Response:
    """Return the page with all alerts."""
    return TEMPLATES.TemplateResponse(request, "alerts.html")


@router.get("/alerts/{alert_id}", response_class=HTMLResponse)
def alert_page(request: Request, state: State, alert_id: AlertId) -> Response:
    """Return the page of an alert, or one that says that there is none: messages to people may link to it."""
    return _page_of(request, "alerts.html", "alert", alert_id, state.store.alert, every="/alerts")


def _page_of(
    request: Request, template: str, what: str, name: str, read: Callable[[str], object], *, every: str
) -> Response:
    """Return the page of a thing that is there, or one that says that it is not, and where all of its kind are."""
    try:
        return TEMPLATES.TemplateResponse(request, template, {what: read(name)})
    except NotFoundError:
        values = {"what": what, "name": name, "all": every}
        return TEMPLATES.TemplateResponse(request, "missing.html", values, HTTPStatus.NOT_FOUND)


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


class _Fresh(StaticFiles):
    """Files that a browser keeps and asks for again: after an upgrade no module of ours meets an older one."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def mount_static(app: FastAPI) -> None:
    """Serve our scripts and stylesheets."""
    app.mount("/static", _Fresh(directory=FOLDER / "static"), name="static")
