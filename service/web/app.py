"""The app: routers, guard and error handlers put together around a store."""

from collections.abc import Collection

from fastapi import APIRouter, FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from service.settings import Settings
from service.store import Store
from service.web import (
    alerts,
    baselines,
    catalogue,
    comparisons,
    events,
    health,
    jobs,
    keys,
    logs,
    pages,
    records,
    reruns,
    results,
    schedules,
    scores,
    sessions,
    specs,
    webhooks,
)
from service.web.authentication import Authentication
from service.web.guard import LOOPBACK_HOSTS, MAX_BODY_BYTES, Guard
from service.web.openapi import described_app
from service.web.problems import Faults, install_handlers
from service.web.queries import KNOWN_QUERY
from service.web.state import AppState
from service.web.watch import Watch


def create_app(
    store: Store, settings: Settings, *, hosts: Collection[str] = LOOPBACK_HOSTS, is_exposed: bool = False
) -> FastAPI:
    """Return the app that serves a store.

    Args:
        store: open; the caller closes it.
        settings: of the server.
        hosts: names under which it answers.
        is_exposed: whether others than this machine can reach it, so that a key is needed in any case.
    """
    app = described_app()
    app.state.rhobust = AppState(store, settings, is_exposed=is_exposed)
    api = APIRouter(prefix="/api/v1", dependencies=[KNOWN_QUERY])
    for router in (
        jobs.router,
        logs.router,
        events.router,
        results.router,
        results.tables_router,
        scores.router,
        specs.router,
        specs.of_job_router,
        results.figures_router,
        reruns.router,
        records.router,
        records.single_router,
        baselines.router,
        comparisons.router,
        alerts.router,
        catalogue.router,
        schedules.router,
        webhooks.router,
        keys.router,
    ):
        api.include_router(router)
    app.include_router(api)
    app.include_router(health.router, dependencies=[KNOWN_QUERY])
    app.include_router(pages.router)
    app.include_router(sessions.router)
    pages.mount_static(app)
    install_handlers(app)
    # The last one is the outermost. What a header declares the guard refuses, what comes in pieces is counted inside.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)
    app.add_middleware(Authentication)
    app.add_middleware(Faults)
    app.add_middleware(Guard, hosts=hosts)
    app.add_middleware(Watch)
    return app
