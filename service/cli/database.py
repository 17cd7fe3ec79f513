"""Commands on the database."""

import typer

from service.environment import make_data_dir
from service.settings import Settings
from service.store import check, upgrade

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_database() -> None:
    """Bring the schema to what this version needs."""
    settings = Settings()
    make_data_dir(settings)
    upgrade(settings.store_url)
    typer.echo("The schema is up to date.", err=True)


@app.command("check")
def check_database() -> None:
    """Check that the schema is what this version needs."""
    check(Settings().store_url)
    typer.echo("The schema is what this version needs.", err=True)
