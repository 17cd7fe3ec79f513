"""Commands on the webhooks of a server."""

import time
from typing import Annotated

import typer

from service.cli.exits import ExitCode
from service.cli.jobs import UrlOption
from service.cli.output import stderr
from service.cli.rows import Form, FormOption, print_listing
from service.client import Client, Delivery, Webhooks
from service.client.webhooks import last_word

TEST_S = 15.0
POLL_S = 0.2
app = typer.Typer(help="Have the server tell the ends of jobs, and alerts, to other programs.", no_args_is_help=True)
WebhookId = Annotated[str, typer.Argument(metavar="ID", help="Id of a webhook.")]


@app.command("add")
def add_webhook(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="URL to which messages are posted.")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help="job.completed, job.failed, job.cancelled, alert.opened, alert.closed or schedule.run_failed; "
            "again for more. All by default.",
        ),
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    url: UrlOption = None,
) -> None:
    """Make a webhook. Its secret goes to standard output, this once."""
    with Client(url) as client:
        webhook = client.webhooks.add(target, events=event or None, description=description)
    typer.echo(webhook.secret)
    stderr.print(f"The webhook is {webhook.id}; its messages are signed with the secret above.", highlight=False)


@app.command("ls")
def list_webhooks(url: UrlOption = None, output: FormOption = Form.TABLE) -> None:
    """List the webhooks, oldest first."""
    with Client(url) as client:
        listing = client.webhooks.list()
        found = list(listing)
    print_listing(output, listing, found, exclude={"secret"})


@app.command("rm")
def remove_webhook(webhook_id: WebhookId, url: UrlOption = None) -> None:
    """Delete a webhook and the log of its deliveries."""
    with Client(url) as client:
        client.webhooks.remove(webhook_id)


@app.command("test")
def send_test(webhook_id: WebhookId, url: UrlOption = None) -> None:
    """Send a message that tells nothing, and say how that went."""
    with Client(url) as client:
        delivery = _attempted(client.webhooks, webhook_id, client.webhooks.test(webhook_id))
    if delivery.state == "delivered":
        stderr.print(f"delivered: {last_word(delivery)}", highlight=False)
        return
    reason = last_word(delivery) or f"no server has tried it in {TEST_S:.0f} s"
    stderr.print(f"not delivered: {reason}", highlight=False)
    raise typer.Exit(ExitCode.JOB_FAILED)


def _attempted(webhooks: Webhooks, webhook_id: str, sent: Delivery) -> Delivery:
    """Wait for the first attempt of a delivery, but not for long."""
    deadline = time.monotonic() + TEST_S
    delivery = sent
    while not delivery.attempts and time.monotonic() < deadline:
        time.sleep(POLL_S)
        delivery = next((one for one in webhooks.deliveries(webhook_id) if one.id == sent.id), sent)
    return delivery


@app.command("deliveries")
def list_deliveries(
    webhook_id: WebhookId,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    url: UrlOption = None,
    output: FormOption = Form.TABLE,
) -> None:
    """List what was sent to a webhook and what is to be sent, newest first."""
    with Client(url) as client:
        listing = client.webhooks.deliveries(webhook_id)
        found = listing.first(limit)
    print_listing(output, listing, found)
