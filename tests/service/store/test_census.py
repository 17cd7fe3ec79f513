from benchmark import Status
from service.states import JobState
from service.store import DeliveryAttempt, NewWebhook, Store
from tests.service.filling import mixed, run_made_up, small_spec, submit
from tests.service.processes import until

ALIVE_S = 45.0


def test_an_empty_store_has_nothing(store: Store) -> None:
    census = store.census(ALIVE_S)
    assert (dict(census.jobs), dict(census.cells)) == ({}, {})
    assert (census.oldest_queued_s, census.cells_per_s, census.n_dispatchers) == (0.0, 0.0, 0)


def test_jobs_cells_and_dispatchers_are_counted(store: Store) -> None:
    run_made_up(store, submit(store), mixed)
    again = submit(store, small_spec(name="again"))
    submit(store, small_spec(name="waiting"))
    reusing = store.claim("another", 60.0, only=again.id)
    assert reusing is not None
    store.report_dispatcher("d1", "host", 42, "0.1.0", {"cpus": 2})
    census = store.census(ALIVE_S)
    assert census.jobs == {JobState.COMPLETED: 1, JobState.RUNNING: 1, JobState.QUEUED: 1}
    assert census.cells == {
        (Status.COMPLETED, False): 8,
        (Status.FAILED, False): 4,
        (Status.TIMED_OUT, False): 4,
        (Status.DIVERGED, False): 4,
    }
    assert 0.0 <= census.oldest_queued_s < 60.0
    assert census.n_dispatchers == 1
    until(lambda: store.census(0.0).n_dispatchers == 0, "it reported longer ago", 10.0)


def test_the_rate_is_that_of_the_running_jobs(store: Store) -> None:
    job = run_made_up(store, submit(store), n=10, state=None)
    until(lambda: store.census(ALIVE_S).cells_per_s > 0.0, "time has passed since the first record", 10.0)
    store.finish(job.id, job.attempt, JobState.CANCELLED)
    assert store.census(ALIVE_S).cells_per_s == 0.0


def test_messages_to_webhooks_are_counted(store: Store) -> None:
    for name in ("a", "b"):
        store.create_webhook(
            NewWebhook(url=f"https://hooks.example/{name}", secret="whsec_c2VjcmV0", events=("job.cancelled",))  # noqa: S106
        )
    assert (store.census(ALIVE_S).pending, store.census(ALIVE_S).n_given_up) == ({False: 0, True: 0}, 0)
    for number in range(2):
        store.cancel(submit(store, small_spec(name=f"job {number}")).id)
    assert store.census(ALIVE_S).pending == {False: 4, True: 0}
    until(lambda: store.census(ALIVE_S).oldest_due_s > 0, "time has passed since they were due", 10.0)
    first, second, *_ = (one.delivery for one in store.claim_deliveries(3, 60.0))
    store.settle_delivery(first, DeliveryAttempt(status=500, error="status", elapsed_s=0.1))
    store.settle_delivery(second, DeliveryAttempt(status=200, error=None, elapsed_s=0.1))
    census = store.census(ALIVE_S)
    assert (census.pending, census.n_given_up) == ({False: 1, True: 1}, 1)
