"""Commands on the database."""

from pathlib import Path
from typing import Annotated

import typer

from service.environment import make_data_dir, open_store
from service.keyfile import ensure_admin_key
from service.settings import Settings

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_database(
    admin_key_file: Annotated[
        Path | None, typer.Option(help="Where no usable admin key exists, make one and write it to this file.")
    ] = None,
) -> None:
    """Bring the schema to what this version needs."""
    from service.store import upgrade

    settings = Settings()
    make_data_dir(settings)
    upgrade(settings.store_url)
    typer.echo("The schema is up to date.", err=True)
    if admin_key_file is not None:
        with open_store(settings) as store:
            key = ensure_admin_key(store, admin_key_file)
        if key is not None:
            typer.echo(f"The admin key {key.id} is in {admin_key_file}.", err=True)


@app.command("check")
def check_database() -> None:
    """Check that the schema is what this version needs."""
    from service.store import check

    check(Settings().store_url)
    typer.echo("The schema is what this version needs.", err=True)


@app.command("backup")
def back_up_database(file: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.")]) -> None:
    """Copy the embedded database into a file, as it is now; nothing has to stop for that."""
    from service.store import backup

    backup(Settings().store_url, file)
    typer.echo(f"The database is copied to {file}.", err=True)


@app.command("restore")
def restore_database(
    file: Annotated[Path, typer.Argument(help="A file that `rhobust db backup` wrote.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say whether it could be done.")] = False,
) -> None:
    """Put a backup in the place of the embedded database, which nobody may be using; what it replaces is kept."""
    from service.jobs.dispatcher import ALIVE_WITHIN_S
    from service.store import restore

    settings = Settings()
    make_data_dir(settings)
    kept = restore(settings.store_url, file, ALIVE_WITHIN_S, dry_run=dry_run)
    if dry_run:
        typer.echo(f"{file} is whole, and could take the place of the database; nothing was changed.", err=True)
        return
    typer.echo(f"The database is that of {file} now.", err=True)
    if kept is not None:
        typer.echo(f"The one before is kept as {kept}; delete it when nobody misses it.", err=True)
