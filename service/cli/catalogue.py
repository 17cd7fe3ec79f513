"""Commands that say what there is; they need no server."""

import typer

from service.cli.rows import Form, FormOption, print_rows_as
from service.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (optimizers, tasks, figures):
        app.command(rich_help_panel="What there is")(command)


def optimizers(output: FormOption = Form.TABLE) -> None:
    """List the optimizers that a spec may name."""
    from benchmark import load_plugins  # loads torch, as all of the next do
    from benchmark.origins import optimizer_origin
    from optimizers import optimizer_info, optimizer_names

    load_plugins(Settings().plugins)
    rows = []
    for name in optimizer_names():
        info = optimizer_info(name)
        cost, known = info.gradient_evaluations(), ", ".join(info.hyperparameters)
        rows.append((name, info.title, str(optimizer_origin(name)), cost, known, info.usual))
    print_rows_as(output, ("name", "title", "origin", "gradients a step", "hyperparameters", "usual values"), rows)


def tasks(output: FormOption = Form.TABLE) -> None:
    """List the tasks that a spec may name."""
    from benchmark import load_plugins
    from benchmark.origins import task_origin
    from benchmark.tasks import task_class, task_names

    load_plugins(Settings().plugins)
    rows = []
    for name in task_names():
        task = task_class(name)
        metrics = ", ".join(metric.name for metric in task.metrics)
        known = ", ".join(task.Parameters.model_fields)
        precisions = ", ".join(task.precisions)
        rows.append(
            (name, task.version, str(task_origin(name)), metrics, known, precisions, task.can_split, task.title)
        )
    columns = ("name", "version", "origin", "metrics", "parameters", "precisions", "batches can be split", "title")
    print_rows_as(output, columns, rows)


def figures(output: FormOption = Form.TABLE) -> None:
    """List the kinds of figures that `rhobust plot` draws."""
    from benchmark.figures import figure_kinds  # matplotlib and Plotly take a second to load

    print_rows_as(output, ("name", "what it shows"), [(kind.name, kind.description) for kind in figure_kinds()])
