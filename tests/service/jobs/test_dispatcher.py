"""Supervision, with real processes and a driver that trains nothing."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from service.jobs import Dispatcher
from service.jobs.child import session_members
from service.settings import Settings
from service.states import JobState
from service.store import Job, Store
from tests.service.filling import run_made_up, small_spec, submit
from tests.service.processes import until

pytestmark = pytest.mark.slow
FAKE = "tests.service.jobs.fake_driver"
TIMEOUT_S = 240.0


def make_dispatcher(store: Store, settings: Settings, job: Job, **options: bool) -> Dispatcher:
    return Dispatcher(store, settings, only=job.id, lease_s=5.0, heartbeat_s=0.5, driver_module=FAKE, **options)


def run_to_end(store: Store, settings: Settings, job: Job, **options: bool) -> Job:
    dispatcher = make_dispatcher(store, settings, job, **options)
    with giving_up(dispatcher):
        dispatcher.run()
    return store.job(job.id)


@contextmanager
def giving_up(dispatcher: Dispatcher) -> Iterator[None]:
    """Stop a dispatcher that does not end by itself."""
    timer = threading.Timer(TIMEOUT_S, dispatcher.stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def when(condition: Callable[[], bool], action: Callable[[], object]) -> threading.Thread:
    """Do something beside the dispatcher, which has to run in the main thread."""

    def wait() -> None:
        until(condition, "what the action waits for", TIMEOUT_S)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def children() -> list[psutil.Process]:
    """Return the drivers of this process."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it may end meanwhile
            if FAKE in child.cmdline():
                found.append(child)
    return found


def n_recorded(store: Store, job: Job) -> int:
    return store.progress(job.id).n_linked


def test_a_job_runs_to_its_end_and_the_dispatcher_is_told_of(store: Store, settings: Settings) -> None:
    job = submit(store)
    seen: list[str | None] = []
    dispatcher = Dispatcher(store, settings, lease_s=5.0, heartbeat_s=0.5, driver_module=FAKE)

    def tick() -> None:
        seen.extend(one.job_id for one in store.dispatchers(60))
        if store.job(job.id).state.is_terminal:
            dispatcher.stop()

    with giving_up(dispatcher):
        dispatcher.run(tick)
    assert (store.job(job.id).state, store.progress(job.id).completed) == (JobState.COMPLETED, 20)
    assert job.id in seen
    assert store.dispatchers(60) == [], "it says goodbye"
    assert settings.log_path(job.id).exists()


def test_a_driver_that_dies_once_is_started_again_for_what_is_missing(store: Store, settings: Settings) -> None:
    job = run_to_end(store, settings, submit(store, small_spec(name="crash once")))
    assert (job.state, job.attempt, job.crashes, job.error) == (JobState.COMPLETED, 2, 1, None)
    attempts = [stored.attempt for stored in store.iter_records(job.id)]
    assert (attempts.count(1), attempts.count(2)) == (5, 15)


def test_a_driver_that_always_dies_is_given_up_and_its_records_stay(store: Store, settings: Settings) -> None:
    job = run_to_end(store, settings, submit(store, small_spec(name="crash")))
    assert (job.state, job.crashes) == (JobState.FAILED, 3)
    assert "given up after 3 crashes" in str(job.error)
    assert "ended with code -9" in str(job.error)
    assert n_recorded(store, job) == 15


def test_cells_that_failed_fail_the_job_and_retry_trains_them_again(store: Store, settings: Settings) -> None:
    job = run_to_end(store, settings, submit(store, small_spec(name="fail")))
    assert job.state is JobState.FAILED
    assert "20 of 20 cells failed" in str(job.error)
    store.retry(job.id)
    job = run_to_end(store, settings, job)
    assert (job.state, store.progress(job.id).completed, store.progress(job.id).failed) == (JobState.COMPLETED, 20, 0)


def test_a_job_that_asks_for_what_cannot_be_fails_at_once(store: Store, settings: Settings) -> None:
    job = run_to_end(store, settings, submit(store, small_spec(name="hopeless")))
    assert (job.state, job.attempt, job.crashes) == (JobState.FAILED, 1, 0)
    assert job.error == "digits-mlp with sam must be one that can be trained fused"


def test_data_that_is_missing_fails_its_job_at_once_and_keeps_no_other_waiting(
    store: Store, settings: Settings
) -> None:
    lacking, other = submit(store, small_spec(name="no data")), submit(store)
    dispatcher = Dispatcher(store, settings, lease_s=5.0, heartbeat_s=0.5, driver_module=FAKE)

    def tick() -> None:
        if store.job(other.id).state.is_terminal:
            dispatcher.stop()

    with giving_up(dispatcher):
        dispatcher.run(tick)
    failed = store.job(lacking.id)
    assert (failed.state, failed.attempt, failed.crashes) == (JobState.FAILED, 1, 0)
    assert str(failed.error).endswith("Run `rhobust build emoji`.")
    assert store.job(other.id).state is JobState.COMPLETED
    assert dispatcher._environment_pause_s == 0
    assert dispatcher.met_environment_error, "a run in the foreground tells it by its exit code"
    store.retry(lacking.id)
    assert run_to_end(store, settings, failed).state is JobState.COMPLETED, "once the data is there"


def test_a_machine_without_ray_is_told_and_other_dispatchers_may_try(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="environment"))
    dispatcher = make_dispatcher(store, settings, job)
    stopper = when(lambda: store.job(job.id).error is not None, dispatcher.stop)
    with giving_up(dispatcher):
        dispatcher.run()
    stopper.join()
    left = store.job(job.id)
    assert (left.state, left.crashes) == (JobState.QUEUED, 0), "it is no fault of the job"
    assert "cannot start a local Ray: no luck" in str(left.error)
    assert store.claim("another", 5.0, only=job.id) is None, "not at once"


def test_a_driver_that_cannot_be_started_is_a_fault_of_the_machine(store: Store, settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "logs").write_text("not a folder")
    job = run_to_end(store, settings, submit(store), environment_is_fatal=True)
    assert job.state is JobState.FAILED
    assert "no driver can be started" in str(job.error)


def test_a_run_of_one_job_neither_preempts_nor_counts_as_a_dispatcher(store: Store, settings: Settings) -> None:
    low = submit(store, small_spec(name="crash once"))
    submit(store, small_spec(name="urgent", priority=5))
    seen: list[object] = []
    dispatcher = make_dispatcher(store, settings, low)
    with giving_up(dispatcher):
        dispatcher.run(lambda: seen.extend([*store.dispatchers(60), *filter(None, [store.job(low.id).requested])]))
    assert store.job(low.id).state is JobState.COMPLETED
    assert seen == []


def test_no_more_jobs_of_a_submitter_run_at_once_than_the_settings_allow(store: Store, settings: Settings) -> None:
    limited = settings.model_copy(update={"max_running": 1})
    running, waiting, other = submit(store), submit(store), submit(store, submitted_by="somebody else")
    assert store.claim("another", 60, only=running.id)
    dispatcher = Dispatcher(store, limited, lease_s=5.0, heartbeat_s=0.5, driver_module=FAKE)
    states: set[JobState] = set()

    def tick() -> None:
        states.add(store.job(waiting.id).state)
        if store.job(other.id).state is JobState.COMPLETED and store.job(running.id).state is JobState.RUNNING:
            assert states == {JobState.QUEUED}, "its submitter runs one job already"
            store.finish(running.id, 1, JobState.COMPLETED)
        if store.job(waiting.id).state is JobState.COMPLETED:
            dispatcher.stop()

    with giving_up(dispatcher):
        dispatcher.run(tick)
    assert store.job(waiting.id).state is JobState.COMPLETED


def test_a_job_in_the_foreground_runs_beside_any_number_of_others(store: Store, settings: Settings) -> None:
    limited = settings.model_copy(update={"max_running": 1})
    assert store.claim("another", 60, only=submit(store).id)
    assert run_to_end(store, limited, submit(store)).state is JobState.COMPLETED


def test_a_run_without_a_server_fails_at_once_without_ray(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="environment"))
    dispatcher = make_dispatcher(store, settings, job, environment_is_fatal=True)
    with giving_up(dispatcher):
        dispatcher.run()
    assert dispatcher.met_environment_error
    assert (store.job(job.id).state, store.job(job.id).error) == (JobState.FAILED, "cannot start a local Ray: no luck")


def test_cancel_ends_a_driver_that_does_not_listen_and_all_that_it_started(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="hang"))
    pids: list[int] = []

    def cancel() -> None:
        pids.extend(child.pid for child in children())
        assert len(list(session_members(pids[0]))) == 2
        store.cancel(job.id)

    canceller = when(lambda: n_recorded(store, job) == 5, cancel)
    started = time.monotonic()
    job = run_to_end(store, settings, job)
    canceller.join()
    assert time.monotonic() - started < TIMEOUT_S
    assert job.state is JobState.CANCELLED
    assert n_recorded(store, job) == 5, "what is recorded stays"
    assert list(session_members(pids[0])) == []


def test_pause_lets_what_is_in_flight_finish_and_resume_goes_on(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="drain"))
    pauser = when(lambda: n_recorded(store, job) == 5, lambda: store.pause(job.id))
    job = run_to_end(store, settings, job)
    pauser.join()
    assert (job.state, n_recorded(store, job), job.crashes) == (JobState.PAUSED, 7, 0)
    store.resume(job.id)
    job = run_to_end(store, settings, job)
    assert (job.state, job.attempt, n_recorded(store, job)) == (JobState.COMPLETED, 2, 20)


def test_a_job_of_higher_priority_goes_first_and_the_other_goes_on_after_it(store: Store, settings: Settings) -> None:
    low = submit(store, small_spec(name="drain"))
    high: list[Job] = []

    def submit_high() -> None:
        high.append(submit(store, small_spec(name="urgent", priority=5, seeds={"base": 100, "count": 2})))

    submitter = when(lambda: n_recorded(store, low) == 5, submit_high)
    dispatcher = Dispatcher(store, settings, lease_s=5.0, heartbeat_s=0.5, driver_module=FAKE)
    stopper = when(lambda: store.job(low.id).state is JobState.COMPLETED, dispatcher.stop)
    with giving_up(dispatcher):
        dispatcher.run()
    submitter.join()
    stopper.join()
    first, last = store.job(high[0].id), store.job(low.id)
    assert (first.state, last.state, last.attempt, last.crashes) == (JobState.COMPLETED, JobState.COMPLETED, 2, 0)
    assert first.finished_at is not None
    assert last.finished_at is not None
    assert first.finished_at < last.finished_at


def test_a_dispatcher_that_stops_puts_its_job_back(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="hang"))
    dispatcher = make_dispatcher(store, settings, job)
    stopper = when(lambda: n_recorded(store, job) == 5, dispatcher.stop)
    with giving_up(dispatcher):
        dispatcher.run()
    stopper.join()
    left = store.job(job.id)
    assert (left.state, left.crashes, left.attempt) == (JobState.QUEUED, 0, 1)
    assert children() == []


def test_a_job_that_uses_up_its_time_fails_and_says_so(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="hang", limits={"job_s": 2}))
    job = run_to_end(store, settings, job)
    assert job.state is JobState.FAILED
    assert re.search(r"limits.job_s is used up with \d+ of 20 cells to do", str(job.error))


def test_a_lost_lease_stops_the_driver_and_leaves_the_job_to_its_new_owner(store: Store, settings: Settings) -> None:
    job = submit(store, small_spec(name="hang"))

    def take_over() -> None:
        store.release(job.id, 1, crashed=True)
        assert store.claim("another", 60, only=job.id)

    thief = when(lambda: n_recorded(store, job) == 5, take_over)
    dispatcher = make_dispatcher(store, settings, job)
    stopper = when(lambda: store.job(job.id).owner == "another" and children() == [], dispatcher.stop)
    with giving_up(dispatcher):
        dispatcher.run()
    thief.join()
    stopper.join()
    left = store.job(job.id)
    assert (left.state, left.owner, left.attempt) == (JobState.RUNNING, "another", 2)


def test_a_job_whose_records_are_all_there_is_ended_without_a_driver(store: Store, settings: Settings) -> None:
    job = submit(store)
    run_made_up(store, job, state=None)
    store.release(job.id, 1, crashed=True)
    job = run_to_end(store, settings, job)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
    assert not settings.log_path(job.id).exists(), "no driver was started"


def test_what_a_driver_may_see_of_our_environment(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHOBUST_DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    job = submit(store, small_spec(name="hang"))
    seen: list[dict[str, str]] = []

    def look() -> None:
        seen.extend(process.environ() for process in session_members(children()[0].pid))
        store.cancel(job.id)

    looker = when(lambda: n_recorded(store, job) == 5, look)
    run_to_end(store, settings, job)
    looker.join()
    assert len(seen) == 2
    assert all("secret" not in " ".join(environment.values()) for environment in seen)
