"""Commands that keep the store small."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import print_rows, stderr
from service.cli.quantities import duration_s, in_words, size_in_words
from service.settings import Settings

if TYPE_CHECKING:
    from service.pruning import Plan, Pruned


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(rich_help_panel="Upkeep")(prune)


def prune(
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Only jobs that ended longer ago: 12h, 90d, 2w.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete jobs that ended long ago, their logs, and the records that no other job uses."""
    from service.pruning import plan_pruning
    from service.pruning import prune as prune_store
    from service.store import Store

    older_than_s = duration_s(older_than)
    settings = Settings()
    with Store.open(settings.store_url) as store:
        plan = plan_pruning(store, settings, older_than_s)
        if plan.is_empty:
            stderr.print(f"Nothing ended more than {older_than} ago: there is nothing to delete.", highlight=False)
            return
        _show(plan)
        if dry_run:
            return
        if not yes and not _is_agreed():
            stderr.print("Nothing was deleted.")
            return
        _say(prune_store(store, settings, plan))


def _is_agreed() -> bool:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: pass -y to delete, or --dry-run to look.")
    return typer.confirm("Delete that?", err=True)


def _show(plan: "Plan") -> None:
    jobs = plan.prunable.jobs
    if jobs:
        rows = [(job.id, job.name, job.state, f"{in_words(job.age_s)} ago") for job in jobs]
        print_rows(("id", "name", "state", "ended"), rows)
    counts = f"{len(jobs):,} jobs, {plan.prunable.n_records:,} records, {plan.prunable.n_keys:,} idempotency keys"
    logs = f"{len(plan.logs):,} logs of {size_in_words(plan.log_bytes)} ({plan.log_bytes:,} bytes)"
    stderr.print(f"To be deleted: {counts}, {logs}.", highlight=False)


def _say(done: "Pruned") -> None:
    counts = f"{done.n_jobs:,} jobs, {done.n_records:,} records, {done.n_keys:,} idempotency keys"
    stderr.print(f"Deleted: {counts}, {size_in_words(done.log_bytes)} of logs.", highlight=False)
    stderr.print(_space(done), highlight=False)


def _space(done: "Pruned") -> str:
    space = done.space
    if space is None:
        return "PostgreSQL uses the space again by itself (autovacuum)."
    if space.after_bytes < space.before_bytes:
        return f"The database file went from {size_in_words(space.before_bytes)} to {size_in_words(space.after_bytes)}."
    if space.free_bytes:
        free = f"{size_in_words(space.free_bytes)} of the database file are free, and used again by the next records"
        return f"{free}; the file stays as large as it is, since writing it anew would stop others or take long."
    return "The database file has no free space to give back."
