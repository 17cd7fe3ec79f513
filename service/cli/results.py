"""Commands on results: tables of jobs and of one's own runs, and figures."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.robustness.choices import ENDINGS, SWEPT, Goal
from service.cli.jobs import JobId, UrlOption
from service.cli.output import Output, OutputOption, ViewOption, print_table, refuse_terminal, stderr
from service.cli.rows import Form, FormOption, print_rows_as
from service.client import Client
from service.client.exporting import ExportFormat, format_of, require_new
from service.client.results import Split, surface_frame

PANEL = "Results"
FIGURE_ENDINGS = (".svg", ".png", ".pdf", ".csv")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (table, surface, plot, export):
        app.command(rich_help_panel=PANEL)(command)


def table(
    sources: Annotated[list[str], typer.Argument(metavar="JOB...|FILE", help="Ids of jobs, or one file of runs.")],
    metric: Annotated[str | None, typer.Option(help="Of a file: column with the score, without val_ or test_.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Of a file: how far from the best is good.")] = None,
    floor: Annotated[float | None, typer.Option(help="Of a file: what a diverged run scores.")] = None,
    goal: Annotated[Goal | None, typer.Option(help="Of a file: maximize by default.")] = None,
    swept: Annotated[
        list[str] | None, typer.Option(help="Of a file: a column that was swept; by default lr and rho.")
    ] = None,
    url: UrlOption = None,
    view: ViewOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the robustness table of a job, of several jobs, or of a csv or parquet file of runs, one a row.

    A file has the columns optimizer, seed, the swept hyperparameters (lr, rho) and the score; task and status if need
    be. It needs no server.
    """
    scoring = {"metric": metric, "tolerance": tolerance, "floor": floor, "goal": goal, "swept": swept}
    given = [name for name, value in scoring.items() if value is not None]
    if view is not None and (len(sources) > 1 or Path(sources[0]).suffix in ENDINGS):
        raise typer.BadParameter("--view is for one job, whose records have curves.")
    if any(Path(source).suffix in ENDINGS for source in sources):
        if len(sources) > 1:
            raise typer.BadParameter("a table is of jobs, or of one file; put the runs of several files into one.")
        if metric is None or tolerance is None or floor is None:
            raise typer.BadParameter("a file of runs needs --metric, --tolerance and --floor, to be scored.")
        from benchmark import table as own_table

        found = own_table(
            sources[0],
            metric=metric,
            tolerance=tolerance,
            floor=floor,
            goal=goal or "maximize",
            hyperparameters=swept or SWEPT,
        )
        print_table(found, output)
        return
    if given:
        raise typer.BadParameter(f"a job's spec says how it is scored; --{given[0]} is for a file of runs.")
    with Client(url) as client:
        print_table(client.job(sources[0]).table(view=view) if len(sources) == 1 else client.table(sources), output)


def surface(
    job_id: JobId,
    split: Annotated[Split, typer.Option(help="Which scores to show.")] = "test",
    task: Annotated[str | None, typer.Option(help="Only this task, by its label.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Only this optimizer, by its label.")] = None,
    url: UrlOption = None,
    output: FormOption = Form.TABLE,
) -> None:
    """Print the response surface of a job: a row a configuration, its scores averaged over the seeds.

    As JSON it comes with the axes, and with the score of each seed.
    """
    with Client(url) as client:
        job = client.job(job_id)
        documents = [
            one
            for one in job.surface_documents(split)
            if task in (None, one["task"]) and optimizer in (None, one["optimizer"])
        ]
    if not documents:
        raise typer.BadParameter(f"there is no such task or optimizer in job {job_id}; `rhobust table` names them.")
    frame = surface_frame(documents)
    print_rows_as(output, list(frame.columns), frame.to_numpy().tolist(), documents=documents)


def export(
    job_id: JobId,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; by default standard output.")
    ] = None,
    file_format: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="By default what the ending of the file says, and csv without one."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    url: UrlOption = None,
) -> None:
    """Write the records of a job for other tools: csv or parquet, a row a cell, or a storage for Optuna.

    The storage is a SQLite file that optuna-dashboard opens: a study an optimizer and task, a trial a configuration
    with its mean over the seeds. Endings: .csv, .parquet; .db, .sqlite, .sqlite3 for Optuna.
    """
    chosen = file_format or (format_of(file) if file else "csv")
    if file is None and chosen == "optuna":
        raise typer.BadParameter("a storage for Optuna is a file: name it with -o, such as -o studies.db.")
    if file is not None:
        require_new(file, force=force)
    with Client(url) as client:
        job = client.job(job_id)
        if dry_run:
            n_done, target = job.progress.n_done, file or "standard output"
            line = f"{n_done} of {job.progress.total} cells with a record would be written as {chosen} to {target}"
            stderr.print(line, markup=False, highlight=False, soft_wrap=True)
        elif file is None and chosen != "optuna":
            refuse_terminal(chosen)
            for piece in job.records_file(chosen):
                typer.echo(piece, nl=False)
        elif file is not None:
            with stderr.status("writing") as shown:
                job.export(file, chosen, force=force, on_trial=lambda n: shown.update(f"writing: {n} trials"))
            stderr.print(f"{file} is written", markup=False, highlight=False, soft_wrap=True)


def plot(
    job_id: JobId,
    file: Annotated[
        Path,
        typer.Option("--output", "-o", help="File; its ending says how: .svg, .png, .pdf, or .csv for what is drawn."),
    ],
    kind: Annotated[str, typer.Option(help="What to draw; `rhobust figures` lists the kinds.")] = "heatmap",
    task: Annotated[str | None, typer.Option(help="Label of the task; by default the first, or all.")] = None,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="Label of one to show, more than once for several; by default all.")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Draw a figure of a job, of what is recorded so far, into a file."""
    image_format = file.suffix.removeprefix(".")
    if file.suffix not in FIGURE_ENDINGS:
        raise typer.BadParameter(f"the file must end in {', '.join(FIGURE_ENDINGS)}, but got {file.name!r}.")
    with Client(url) as client:
        image = client.job(job_id).figure(kind, task=task, optimizers=optimizer or (), image_format=image_format)
    try:
        file.write_bytes(image)
    except OSError as error:
        raise typer.BadParameter(f"cannot write {file}: {error.strerror}.") from error
