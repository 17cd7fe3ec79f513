"""A real HTTP server around a store, in a thread of the test."""

import contextlib
import threading
import time
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from service.environment import bind
from service.settings import Settings
from service.store import Store
from service.web.app import create_app
from service.web.connections import Connection

START_S = 10.0


@contextlib.contextmanager
def serving(store: Store, settings: Settings | None = None, port: int = 0) -> Iterator[str]:
    """Serve the app of a store on loopback; yields the URL."""
    with serving_app(create_app(store, settings or Settings(max_cells=1_000)), port) as url:
        yield url


@contextlib.contextmanager
def serving_app(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Serve an app on loopback; yields the URL."""
    config = uvicorn.Config(
        app, http=Connection, ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with bind("127.0.0.1", port) as listener:
        number = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            deadline = time.monotonic() + START_S
            while not server.started:
                assert time.monotonic() < deadline, "the server did not start"
                assert thread.is_alive(), "the server ended"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{number}"
        finally:
            server.should_exit = True
            thread.join(START_S)
    assert not thread.is_alive(), "the server did not stop"
