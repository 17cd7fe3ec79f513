"""Commands on the alerts of a server."""

from typing import Annotated

import typer

from service.cli.jobs import UrlOption
from service.cli.output import stderr
from service.cli.rows import Form, FormOption, print_listing
from service.client import Client

LIVING = ["open", "acknowledged"]
app = typer.Typer(help="What has become worse in the runs of schedules.", no_args_is_help=True)


@app.command("ls")
def list_alerts(
    schedule: Annotated[str | None, typer.Option(help="Only those of this schedule, by id or name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    url: UrlOption = None,
    output: FormOption = Form.TABLE,
) -> None:
    """List alerts that last, newest first."""
    with Client(url) as client:
        listing = client.alerts.list(state=None if every else LIVING, schedule=schedule)
        found = listing.first(limit)
    print_listing(output, listing, found)


@app.command("ack")
def acknowledge_alert(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="Id of an alert.")],
    note: Annotated[str, typer.Option("--note", "-m", help="For people: what it is, or what is done about it.")] = "",
    url: UrlOption = None,
) -> None:
    """Say that you know of an alert: it is not told again, and its runs count as successes."""
    with Client(url) as client:
        alert = client.alerts.acknowledge(alert_id, note)
    stderr.print(f"Alert {alert.id} on {alert.optimizer} ({alert.task}) is {alert.state}.", highlight=False)
