"""Checks of what the client needs: a file of settings that only its owner reads, and a server that lets it in."""

import os
import stat
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from service.client import Client, ClientError, ServerUnreachableError, UnauthorizedError
from service.configuration import configuration_path
from service.doctor.findings import Finding, ok, problem, warning
from service.settings import Settings

TIMEOUT_S = 3.0


def examine_client(settings: Settings) -> Iterator[Finding]:
    """Yield what the checks of the client find."""
    yield configuration(settings)
    yield server(settings)


def configuration(settings: Settings) -> Finding:
    """Check that nobody else reads a key in the file of settings, or in the file that holds the key."""
    path = configuration_path()
    held = [path] if path.is_file() and "api_key" in path.read_text(encoding="utf-8") else []
    named = os.environ.get("RHOBUST_API_KEY_FILE")
    for file in [*held, *([Path(named).expanduser()] if named else [])]:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            return warning(
                "settings", f"others can read the API key in {file}.", f"Keep it for yourself: chmod 600 {file}"
            )
    origin = str(path) if path.is_file() else f"the environment and defaults; there is no {path}"
    return ok("settings", f"{origin}; {'an' if settings.api_key else 'no'} API key")


def server(settings: Settings) -> Finding:
    """Check that a server answers where the client looks for one, lets it in, and is of this version."""
    ours = version("rhobust")
    try:
        with Client(timeout_s=TIMEOUT_S, patience_s=0) as client:
            client.jobs().first(1)
            theirs = client.version()
    except ServerUnreachableError:
        remedy = "Start one with `rhobust serve`, or say where one is with RHOBUST_URL. `rhobust run` needs none."
        return warning("server", f"none answers at {settings.url}.", remedy)
    except UnauthorizedError as error:
        return problem("server", f"{settings.url} does not let us in: {error}", "Set RHOBUST_API_KEY to a key of it.")
    except ClientError as error:
        return problem("server", str(error), "Set RHOBUST_URL to the address of a Rhobust server.")
    if theirs != ours:
        return warning(
            "server", f"{settings.url} is version {theirs}, but this is {ours}.", "Bring both to one version."
        )
    return ok("server", f"{settings.url} answers, version {theirs}")
