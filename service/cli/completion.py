"""What a shell completes beside commands and options: the ids of the server's jobs."""

import typer

from service.cli.exits import EXPECTED
from service.client import Client

N_COMPLETED = 50
TIMEOUT_S = 1.0


def complete_job_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the newest jobs whose id begins so, with their names; none, and no word, where no server answers soon."""
    try:
        with Client(context.params.get("url"), timeout_s=TIMEOUT_S, patience_s=0) as client:
            jobs = client.jobs().first(N_COMPLETED)
    except EXPECTED:
        return []
    return [(job.id, f"{job.name} ({job.state})") for job in jobs if job.id.startswith(incomplete)]
