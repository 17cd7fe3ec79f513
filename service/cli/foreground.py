"""A run without a server: a dispatcher in the foreground, for one job alone."""

import signal
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

import typer

from benchmark import Spec, load_plugins
from benchmark.robustness import HeldEqual
from service.cli.exits import ExitCode
from service.cli.output import Output, print_table, stderr
from service.environment import check_ray, open_store
from service.jobs import Dispatcher
from service.progress import progress_bar
from service.results import job_table
from service.settings import Settings
from service.states import JobState
from service.store import Job, Store, UnavailableError
from service.submission import new_job
from service.summary import progress_values
from service.telemetry import set_up_logging
from service.web.shapes import ProgressShape

SHOW_EVERY_S = 0.5


def run_here(spec: Path, *, output: Output, n_cpus: int | None, view: HeldEqual | None) -> None:
    """Run a spec and print its robustness table; exit 3 unless its job completed.

    Args:
        spec: file.
        output: form of the table.
        n_cpus: that a local Ray offers; all when None.
        view: what is held equal; by default what the budgets do.
    """
    settings = Settings()
    # Messages would stand between the lines of the progress bar; who asks for them gets them.
    set_up_logging(settings, level=None if "log_level" in settings.model_fields_set else "WARNING")
    load_plugins(settings.plugins)
    read = Spec.from_file(spec, max_cells=settings.max_cells)
    check_ray(settings)
    with open_store(settings) as store:
        submitted, _ = store.submit(new_job(read))
        dispatcher = Dispatcher(store, settings, n_cpus=n_cpus, only=submitted.id, environment_is_fatal=True)
        stop_on_signals(dispatcher)
        _run_with_bar(dispatcher, store, submitted)
        job = store.job(submitted.id)
        if dispatcher.met_environment_error:
            stderr.print(f"rhobust: {job.error}", markup=False, highlight=False)
            raise typer.Exit(ExitCode.ENVIRONMENT)
        if job.state is JobState.QUEUED:
            # Interrupted. Nobody expects a run in the foreground to go on later in some dispatcher.
            job = store.cancel(job.id)
        if job.state is JobState.RUNNING:
            stderr.print(f"rhobust: job {job.id} goes on in dispatcher {job.owner}", markup=False, highlight=False)
            raise typer.Exit(ExitCode.JOB_FAILED)
        if job.state is not JobState.COMPLETED:
            reason = job.error or "what is recorded stays, and the same command goes on from there"
            stderr.print(f"rhobust: job {job.id} is {job.state}: {reason}", markup=False, highlight=False)
            raise typer.Exit(ExitCode.JOB_FAILED)
        print_table(job_table(store, job.id, view), output)


def _run_with_bar(dispatcher: Dispatcher, store: Store, job: Job) -> None:
    next_show = 0.0
    with progress_bar(job.name, job.n_cells) as show:

        def tick() -> None:
            nonlocal next_show
            if time.monotonic() >= next_show:
                next_show = time.monotonic() + SHOW_EVERY_S
                with suppress(UnavailableError):  # the dispatcher says so, and goes on
                    show(_progress(store, job.id))

        dispatcher.run(tick)
        show(_progress(store, job.id))


def _progress(store: Store, job_id: str) -> ProgressShape:
    return ProgressShape(**progress_values(store.job(job_id), store.progress(job_id)))


def stop_on_signals(dispatcher: Dispatcher) -> None:
    """Stop a dispatcher in order when this process is told to end."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (a signal handler's signature)
        dispatcher.stop()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
