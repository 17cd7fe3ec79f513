"""Commands on the schedules of a server."""

from typing import Annotated

import typer

from service.cli.jobs import SpecPath, UrlOption
from service.cli.output import stderr
from service.cli.rows import Form, FormOption, print_listing
from service.client import Client, Schedule
from service.client.schedules import ChangePoint

app = typer.Typer(help="Run benchmarks again and again, and compare each with an earlier one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Name or id of a schedule.")]


@app.command("add")
def add_schedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique name of the schedule.")],
    spec: SpecPath,
    cron: Annotated[
        str, typer.Option(help="When: minute, hour, day of the month, month, day of the week; or @daily and the like.")
    ],
    timezone: Annotated[str, typer.Option(help="Time zone, such as Europe/Berlin.")] = "UTC",
    baseline: Annotated[str | None, typer.Option(help="Compare with this baseline.")] = None,
    best_of: Annotated[
        int | None, typer.Option(min=1, help="Compare with the best of so many last runs; else with the previous one.")
    ] = None,
    factor: Annotated[
        float | None, typer.Option(help="Yardsticks beyond which a worsening is an alarm; by default as calibrated.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="Measure that raises an alarm; again for more. All by default.")
    ] = None,
    webhook: Annotated[
        list[str] | None, typer.Option(help="Id of a webhook that hears of it; again for more. All by default.")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Make a schedule; its id goes to standard output.

    Where the spec says nothing else, a run trains anew, with 10 seeds and priority 10.
    """
    with Client(url) as client:
        made = client.schedules.add(
            name,
            cron,
            spec,
            timezone=timezone,
            baseline=baseline,
            best_of=best_of,
            factor=factor,
            measures=measure or None,
            webhooks=webhook or None,
        )
    typer.echo(made.id)
    _say(made)


@app.command("ls")
def list_schedules(url: UrlOption = None, output: FormOption = Form.TABLE) -> None:
    """List the schedules, oldest first."""
    with Client(url) as client:
        listing = client.schedules.list()
        found = list(listing)
    print_listing(output, listing, found, exclude={"spec"})


@app.command("pause")
def pause_schedule(schedule: Name, url: UrlOption = None) -> None:
    """Start no run until it is resumed; one under way goes on."""
    with Client(url) as client:
        _say(client.schedules.pause(schedule))


@app.command("resume")
def resume_schedule(schedule: Name, url: UrlOption = None) -> None:
    """Start runs again, from the next time on."""
    with Client(url) as client:
        _say(client.schedules.resume(schedule))


@app.command("run")
def run_schedule(schedule: Name, url: UrlOption = None) -> None:
    """Start a run now; the id of its job goes to standard output."""
    with Client(url) as client:
        run = client.schedules.run(schedule)
    typer.echo(run.job_id)
    against = run.baseline.job_id
    compared = f"it will be compared with job {against}" if against else "there is nothing to compare it with yet"
    stderr.print(f"run {run.id} has started; {compared}", markup=False, highlight=False)


@app.command("history")
def show_history(
    schedule: Name,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    url: UrlOption = None,
    output: FormOption = Form.TABLE,
) -> None:
    """List the runs of a schedule, newest first; where the levels of its measures changed goes to standard error."""
    with Client(url) as client:
        listing = client.schedules.history(schedule)
        found, points = client.schedules.history_with_change_points(schedule, limit)
    print_listing(output, listing, found, exclude={"comparison"})
    for point in points:
        _say_changed(point)


@app.command("rm")
def remove_schedule(schedule: Name, url: UrlOption = None) -> None:
    """Delete a schedule, its history and its alerts; its jobs stay."""
    with Client(url) as client:
        client.schedules.remove(schedule)


def _say_changed(point: ChangePoint) -> None:
    said = "; ".join(
        f"{one.optimizer} on {one.task}: {one.measure} {one.before:.4g} -> {one.after:.4g}{' (worse)' * one.worse}"
        for one in point.changes
    )
    made = ", ".join(name for name in point.differs if name != "fingerprints") or "nothing that is known"
    stderr.print(
        f"since run {point.run_id} ({point.due_at:%Y-%m-%d}): {said}; what else changed: {made}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _say(schedule: Schedule) -> None:
    due = f"{schedule.next_due_at:%Y-%m-%d %H:%M} UTC" if schedule.next_due_at else "not before it is resumed"
    stderr.print(
        f"schedule {schedule.name}: {schedule.cells:,} cells a run, the next {due}", markup=False, highlight=False
    )
