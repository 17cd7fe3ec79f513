"""The queue does what its model predicts, and the test of that finds faults that are put into it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection

from benchmark.records import Status
from service.states import Action, JobState, Request
from service.store import entering, jobs, leases, outbox, pruning, queue, writing
from service.store.entities import Job
from service.store.part import read_job
from service.store.tables import db_now, job
from tests.service.store.machine import QueueMachine

pytestmark = pytest.mark.slow


def run_machine(
    template: Path, *, n_examples: int, n_steps: int, derandomize: bool = False, shrink: bool = True
) -> None:
    """Run the machine against the store."""
    machine = type("Machine", (QueueMachine,), {"template": template})
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=n_steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_queue_does_what_its_model_predicts(sqlite_template: Path) -> None:
    run_machine(sqlite_template, n_examples=15, n_steps=30)


@pytest.mark.long
def test_the_queue_does_what_its_model_predicts_at_length(sqlite_template: Path) -> None:
    run_machine(sqlite_template, n_examples=150, n_steps=40)


Patch = Callable[[pytest.MonkeyPatch], None]


def _fence_without_attempt(patch: pytest.MonkeyPatch) -> None:
    def careless(connection: Connection, job_id: str, attempt: int, **values: Any) -> Any:
        return leases.fence(connection, job_id, read_job(connection, job_id).attempt, **values)

    for module in (queue, writing):
        patch.setattr(module, "fence", careless)


def _cancel_forgotten_at_claim(patch: pytest.MonkeyPatch) -> None:
    def forgetful(requested: Request | None, crashes: int, max_crashes: int) -> Action | None:
        return leases.settlement(None if requested is Request.CANCEL else requested, crashes, max_crashes)

    patch.setattr(queue, "settlement", forgetful)


def _given_up_too_late(patch: pytest.MonkeyPatch) -> None:
    def patient(requested: Request | None, crashes: int, max_crashes: int) -> Action | None:
        return leases.settlement(requested, crashes, max_crashes + 1)

    patch.setattr(queue, "settlement", patient)


def _clock_that_runs_ahead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queue, "db_now", lambda: db_now() + 5)


def _writes_that_do_not_renew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writing, "lease", lambda _: {})


def _diverged_taken_for_missing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writing, "RESULTS", (str(Status.COMPLETED),))


def _pause_over_cancel(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(jobs, "next_request", lambda _, action: Request(action.value))


def _retry_that_keeps_crashes(patch: pytest.MonkeyPatch) -> None:
    def keeping(connection: Connection, seq: int, state: JobState, **values: Any) -> Job:
        return entering.enter(connection, seq, state, **{**values, "crashes": job.c.crashes})

    patch.setattr(jobs, "enter", keeping)


def _pruned_although_young(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pruning, "_is_old", lambda *_: job.c.state.in_(pruning._ENDED))


def _links_counted_twice(patch: pytest.MonkeyPatch) -> None:
    original = writing._count
    patch.setattr(writing, "_count", lambda connection, seq, counted: original(connection, seq, counted + counted))


def _cancelled_and_not_told(patch: pytest.MonkeyPatch) -> None:
    def quiet(connection: Connection, ended: Job) -> None:
        if ended.state is not JobState.CANCELLED:
            outbox.announce_end(connection, ended)

    patch.setattr(entering, "announce_end", quiet)


MUTANTS: list[Patch] = [
    _cancelled_and_not_told,
    _fence_without_attempt,
    _cancel_forgotten_at_claim,
    _given_up_too_late,
    _clock_that_runs_ahead,
    _writes_that_do_not_renew,
    _diverged_taken_for_missing,
    _pause_over_cancel,
    _retry_that_keeps_crashes,
    _links_counted_twice,
    _pruned_although_young,
]


@pytest.mark.long
@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__.strip("_"))
def test_a_fault_in_the_queue_is_found(sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, mutate: Patch) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        run_machine(sqlite_template, n_examples=400, n_steps=40, derandomize=True, shrink=False)
