"""Commands on API keys: straight on the database, which only whoever runs the server can reach."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from service.cli.output import stderr
from service.cli.quantities import duration_s
from service.cli.rows import Form, FormOption, print_rows_as
from service.environment import open_store
from service.keyfile import new_key_in_file
from service.keys import Scope, new_key
from service.settings import Settings
from service.summary import time_text

app = typer.Typer(help="Make, list and revoke API keys, on the server's machine.", no_args_is_help=True)


@app.command("create")
def create_key(
    label: Annotated[str, typer.Argument(help="Whose it is and what for.")],
    scope: Annotated[
        Scope, typer.Option(help="read looks; submit also changes; admin also manages keys and webhooks.")
    ] = Scope.SUBMIT,
    expires: Annotated[str | None, typer.Option(metavar="DURATION", help="For how long: 12h, 90d, 2w.")] = None,
    file: Annotated[Path | None, typer.Option(help="Write it to this new file, for its owner alone.")] = None,
) -> None:
    """Make a key. It is shown this once: on standard output, or in a file."""
    expires_in_s = None if expires is None else duration_s(expires)
    with open_store(Settings()) as store:
        is_first = not store.has_keys()
        key = new_key() if file is None else new_key_in_file(file)
        try:
            added = store.add_key(key, label, scope, expires_in_s=expires_in_s)
        except BaseException:
            if file is not None:
                file.unlink()
            raise
    if file is None:
        typer.echo(key)
    where = "above, and nowhere else" if file is None else f"in {file}"
    stderr.print(f"The key {added.id} ({scope}) is {where}. Clients take it from RHOBUST_API_KEY.", soft_wrap=True)
    if is_first:
        first = "It is the first: within a second every call of the API needs a key, on this machine too."
        stderr.print(first, soft_wrap=True)


@app.command("ls")
def list_keys(output: FormOption = Form.TABLE) -> None:
    """List the keys, oldest first."""
    with open_store(Settings()) as store:
        keys = store.api_keys()
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    documents = [asdict(key) | {name: time_text(getattr(key, name)) for name in times} for key in keys]
    rows = [(key.id, key.label, key.scope, key.state, *map(_time, (key.expires_at, key.last_used_at))) for key in keys]
    columns = ("id", "label", "scope", "state", "expires", "last used")
    print_rows_as(output, columns, rows, documents=documents)


@app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a key.")]) -> None:
    """Let a key, and whoever signed in with it, in no more."""
    with open_store(Settings()) as store:
        key = store.revoke_key(key_id)
    stderr.print(f"The key {key.id} ({key.label}) lets nobody in any more.", markup=False, highlight=False)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
