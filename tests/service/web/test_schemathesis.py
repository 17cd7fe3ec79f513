"""schemathesis against a real server on PostgreSQL: no fault, no answer that is not documented, with any key and none.

`RHOBUST_FUZZ_EXAMPLES=1000 pytest tests/service/web/test_schemathesis.py`, which is `make fuzz`, asks much more.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from service.keys import Scope, new_key
from service.settings import Settings
from service.store import Store
from service.web.openapi import document_text
from service.web.state import AppState
from tests.service.filling import completed, diverged, run_made_up, small_spec, submit

pytestmark = pytest.mark.slow
SETTINGS = Path(__file__).with_name("schemathesis.toml")
N_EXAMPLES = int(os.environ.get("RHOBUST_FUZZ_EXAMPLES", "3"))
QUICK = "examples,fuzzing,stateful"
ALL = f"coverage,{QUICK}"  # some 5,000 requests
TIMEOUT_S = 600 if N_EXAMPLES < 100 else 4 * 3600


@pytest.fixture
def backend() -> str:
    """SQLite refuses less, and so tells less."""
    return "postgresql"


@pytest.fixture
def keys(shared_app: tuple[FastAPI, str], served: str, store: Store, tmp_path: Path) -> Iterator[dict[Scope, str]]:
    """A key of each scope, for a server with a finished job, a failed one and one that waits."""
    app, _ = shared_app
    before = app.state.rhobust
    app.state.rhobust = AppState(
        store,
        Settings(
            max_cells=1_000,
            max_queued=100_000,
            max_requests_per_s=1e6,
            data_dir=tmp_path / "data",
            webhook_allow="hooks.example.com",
        ),
    )
    run_made_up(store, submit(store), completed)
    run_made_up(store, submit(store, small_spec(name="bad", seeds={"base": 5, "count": 2})), diverged)
    submit(store, small_spec(name="queued", seeds={"base": 9, "count": 2}))
    made = {scope: new_key() for scope in Scope}
    for scope, key in made.items():
        store.add_key(key, f"a {scope} key", scope)
    yield made
    app.state.rhobust = before


@pytest.mark.parametrize(
    ("scope", "phases"),
    [
        (None, QUICK),
        (Scope.READ, QUICK),
        (Scope.SUBMIT, QUICK),
        (Scope.ADMIN, QUICK),
        pytest.param(Scope.ADMIN, ALL, marks=pytest.mark.long),
    ],
)
def test_no_request_finds_a_fault_or_an_answer_that_is_not_documented(
    shared_app: tuple[FastAPI, str], keys: dict[Scope, str], tmp_path: Path, scope: Scope | None, phases: str
) -> None:
    app, url = shared_app
    file = tmp_path / "openapi.json"
    file.write_text(document_text(app.openapi()), encoding="utf-8")
    key = ["--header", f"Authorization: Bearer {keys[scope]}"] if scope else []
    options = ["--phases", phases, "--max-examples", str(N_EXAMPLES), "--generation-database", "none", "--no-color"]
    if N_EXAMPLES < 100:
        options += ["--seed", "1"]  # that of nights is in its report
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", SETTINGS, "run", file, "--url", url),
            *options,
            *key,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    report = "\n".join(line for line in done.stdout.splitlines() if line.strip())
    assert done.returncode == 0, f"{report}\n{done.stderr}"[-20_000:]
    assert re.search(r"Operations: +(\d+) selected / \1 total", report)
