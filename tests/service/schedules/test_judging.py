"""Runs are judged once, with their alerts and what is told of them, all or nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, update

from benchmark import Outcome
from benchmark.regression import limits_of
from benchmark.spec import Cell
from service.comparing import set_baseline
from service.schedules import judging
from service.schedules.history import change_points
from service.schedules.judging import NOTHING_TO_COMPARE, judge_ended_runs
from service.states import JobState
from service.store import (
    Alert,
    AlertState,
    BaselinePolicy,
    ConflictError,
    NewWebhook,
    NotFoundError,
    PolicyKind,
    RunState,
    ScheduledRun,
    Store,
    Thresholds,
    UnavailableError,
    Webhook,
)
from service.store import judging as store_judging
from service.store.regression_tables import baseline
from service.store.tables import job
from service.stored_spec import spec_of
from service.webhooks.signing import new_secret
from tests.service.filling import completed, diverged, run_made_up, small_spec, submit
from tests.service.store.scheduling import new_schedule, start_run, writing
from tests.service.store.test_races import race

SPEC = small_spec(
    name="nightly",
    optimizers=[{"name": "sam", "space": {"rho": {"values": [0.1, 1.0]}}}],
    seeds={"count": 6},
    gd=True,
)
N_CELLS = (2 + 4) * 6
EVENTS = ("alert.opened", "alert.closed", "schedule.run_failed")
Outcomes = Callable[[Cell], Outcome]


def schedule(store: Store, **changes: Any) -> None:
    store.create_schedule(new_schedule(spec=SPEC, n_cells=N_CELLS, **changes))


def worse(cell: Cell) -> Outcome:
    """Everything of SAM is worse, but nothing diverges."""
    outcome = completed(cell)
    lost = 0.3 if cell.optimizer == "sam" else 0.0
    return replace(outcome, metrics={name: value - lost for name, value in outcome.metrics.items()})


def torn(cell: Cell) -> Outcome:
    """SAM diverges at the larger rho."""
    return diverged(cell) if cell.hyperparameters.get("rho") == 1.0 else completed(cell)


def trained(store: Store, outcome_of: Outcomes = completed, state: JobState = JobState.COMPLETED) -> ScheduledRun:
    """Start a run and let its job end, without judging it."""
    run = start_run(store)
    assert run.job_id
    run_made_up(store, store.job(run.job_id), outcome_of, state=state)
    return run


def judged(store: Store, outcome_of: Outcomes = completed, state: JobState = JobState.COMPLETED) -> ScheduledRun:
    run = trained(store, outcome_of, state)
    assert judge_ended_runs(store)
    assert not judge_ended_runs(store)
    return store.scheduled_run("nightly", run.id)


def judged_each(store: Store, *outcomes: Outcomes) -> list[ScheduledRun]:
    """Make a schedule with a judged run of each of these outcomes, oldest first."""
    schedule(store)
    return [judged(store, outcome_of) for outcome_of in outcomes]


def hook(store: Store, *events: str) -> Webhook:
    new = NewWebhook(url="https://hooks.example.com", secret=new_secret(), events=events or EVENTS)
    return store.create_webhook(new)[0]


def told(store: Store, webhook: Webhook) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what a webhook is told, oldest first."""
    found = [json.loads(one.body) for one in reversed(store.deliveries(webhook.id))]
    return [(one["type"], one["data"]) for one in found]


def verdicts(alert: Alert) -> dict[str, str]:
    return {measure["name"]: measure["verdict"] for measure in alert.measures}


def test_the_first_run_has_nothing_to_be_compared_with_and_the_next_is_the_same(store: Store) -> None:
    schedule(store)
    first = judged(store)
    assert (first.state, first.verdict, first.reason) == (RunState.JUDGED, None, NOTHING_TO_COMPARE)
    assert first.judged_at is not None
    assert first.measures is not None
    assert first.measures["digits-mlp"]["sam"]["grid_mean"] < first.measures["digits-mlp"]["gd"]["grid_mean"]
    assert first.made_by == {"fingerprints": ["0123456789abcdef0123456789abcdef"]}
    second = judged(store)
    assert second.comparison is not None
    reasons = {one["reason"] for one in second.comparison["measures"] if one["name"] == "cell_s"}
    assert reasons == {"the baseline was not probed when it began"}
    assert (second.baseline_job_id, second.verdict, second.reason) == (first.job_id, "same", None)
    assert second.comparison is not None
    assert second.comparison["verdict"] == "same"
    assert second.measures == first.measures
    assert store.alerts() == []


def test_what_a_cell_takes_by_itself_is_told_of_runs_that_probed_it(store: Store) -> None:
    schedule(store)
    for step_s in (0.001, 0.002):
        run = start_run(store)
        assert run.job_id
        document = {"step_s": step_s, "peak_bytes": 1000, "device": "cpu"}
        probes = {grid.setting.key: document for grid in spec_of(store.job(run.job_id)).grids}
        claimed = store.claim("a-dispatcher", 60.0, only=run.job_id)
        assert claimed
        store.set_probes(run.job_id, claimed.attempt, probes)
        store.release(run.job_id, claimed.attempt, crashed=False)
        run_made_up(store, store.job(run.job_id))
        assert judge_ended_runs(store)
    comparison = store.scheduled_run("nightly", run.id).comparison
    assert comparison is not None
    told = [one for one in comparison["measures"] if one["name"] == "cell_s"]
    assert told
    assert all(one["after"] == pytest.approx(2 * one["before"]) for one in told)


def test_an_alert_is_opened_once_and_closed_by_recovery(store: Store) -> None:
    schedule(store)
    webhook = hook(store)
    good = judged(store)
    bad = judged(store, worse)
    assert bad.verdict == "regressed"
    (alert,) = store.alerts()
    assert (alert.schedule_name, alert.task, alert.optimizer) == ("nightly", "digits-mlp", "sam")
    assert (alert.state, alert.first_run_id, alert.last_run_id) == (AlertState.OPEN, bad.id, bad.id)
    assert alert.opened_at == bad.judged_at
    assert set(verdicts(alert).values()) == {"regressed"}
    assert "grid_mean" in verdicts(alert)
    again = judged(store, worse)
    assert (again.verdict, again.baseline_job_id) == ("regressed", good.job_id)
    (alert,) = store.alerts()
    assert (alert.state, alert.first_run_id, alert.last_run_id) == (AlertState.OPEN, bad.id, again.id)
    ((event, data),) = told(store, webhook)
    assert event == "alert.opened"
    assert data["alert"]["id"] == alert.id
    assert data["alert"]["measures"][0]["verdict"] == "regressed"
    assert (data["schedule"]["name"], data["run"]["id"], data["run"]["job_id"]) == ("nightly", bad.id, bad.job_id)
    assert (data["run"]["baseline_job_id"], data["verdict"]) == (good.job_id, "regressed")
    healed = judged(store)
    assert healed.verdict == "same"
    (alert,) = store.alerts()
    assert (alert.state, alert.last_run_id, alert.closed_at) == (AlertState.CLOSED, healed.id, healed.judged_at)
    assert set(verdicts(alert).values()) == {"same"}
    assert [event for event, _ in told(store, webhook)] == ["alert.opened", "alert.closed"]
    judged(store, worse)
    assert [one.state for one in store.alerts()] == [AlertState.OPEN, AlertState.CLOSED]
    assert [event for event, _ in told(store, webhook)] == ["alert.opened", "alert.closed", "alert.opened"]


def test_an_alert_lasts_until_all_that_was_worse_has_recovered(store: Store) -> None:
    schedule(store)
    judged(store)
    judged(store, worse)
    (before,) = store.alerts()
    assert "divergence_edge" not in verdicts(before)
    judged(store, torn)
    (alert,) = store.alerts()
    assert alert.id == before.id
    assert verdicts(alert)["grid_mean"] == "regressed"
    assert set(verdicts(before)) < set(verdicts(alert)), "what is worse since is held too"
    judged(store)
    assert [one.state for one in store.alerts()] == [AlertState.CLOSED]


def test_what_is_acknowledged_is_not_told_again_and_becomes_the_next_baseline(store: Store) -> None:
    schedule(store)
    webhook = hook(store)
    judged(store)
    bad = judged(store, worse)
    (alert,) = store.alerts(states=(AlertState.OPEN,), schedule_id="nightly")
    known = store.acknowledge_alert(alert.id, "a trade for speed", principal="7k2m9x4qfa")
    assert (known.state, known.note, known.acknowledged_by) == (
        AlertState.ACKNOWLEDGED,
        "a trade for speed",
        "7k2m9x4qfa",
    )
    assert store.acknowledge_alert(alert.id, "see #12").note == "see #12"
    assert store.alert(alert.id).first_run_id == bad.id
    after = judged(store, worse)
    assert (after.baseline_job_id, after.verdict) == (bad.job_id, "same")
    (alert,) = store.alerts()
    assert (alert.state, alert.note) == (AlertState.CLOSED, "see #12")
    assert [event for event, _ in told(store, webhook)] == ["alert.opened", "alert.closed"]
    with pytest.raises(ConflictError, match=f"only an alert that lasts can be acknowledged, but alert {alert.id} is"):
        store.acknowledge_alert(alert.id, "")
    with pytest.raises(NotFoundError, match="there is no alert 'none'"):
        store.acknowledge_alert("none", "")
    with pytest.raises(NotFoundError, match="there is no alert 'none'"):
        store.alert("none")


def test_lists_of_alerts_are_filtered_and_go_on(store: Store) -> None:
    schedule(store)
    judged(store)
    for outcome in (worse, completed, worse):
        judged(store, outcome)
    new, old = store.alerts()
    assert store.alerts(1) == [new]
    assert store.alerts(1, new.seq) == [old]
    assert store.alerts(states=(AlertState.CLOSED,)) == [old]
    assert store.alerts(states=(AlertState.CLOSED, AlertState.OPEN), schedule_id=new.schedule_id) == [new, old]
    assert store.alerts(schedule_id="weekly") == []


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_run_whose_job_does_not_end_well_has_failed_until_a_retry(store: Store, state: JobState) -> None:
    schedule(store)
    webhook = hook(store)
    judged(store)
    run = judged(store, state=state)
    said = {JobState.FAILED: "its job failed: it does not say why", JobState.CANCELLED: "its job was cancelled"}[state]
    assert (run.state, run.verdict, run.reason) == (RunState.FAILED, None, said)
    ((event, data),) = told(store, webhook)
    assert (event, data["run"]["id"], data["reason"]) == ("schedule.run_failed", run.id, said)
    assert run.job_id
    store.retry(run.job_id)
    assert not judge_ended_runs(store)
    run_made_up(store, store.job(run.job_id))
    assert judge_ended_runs(store)
    assert store.scheduled_run("nightly", run.id).verdict == "same"
    assert len(told(store, webhook)) == 1


def test_an_older_run_that_is_judged_late_changes_no_alert(store: Store) -> None:
    schedule(store)
    judged(store)
    late = judged(store, state=JobState.FAILED)
    judged(store, worse)
    assert late.job_id
    store.retry(late.job_id)
    run_made_up(store, store.job(late.job_id))
    assert judge_ended_runs(store)
    assert store.scheduled_run("nightly", late.id).verdict == "same"
    assert [one.state for one in store.alerts()] == [AlertState.OPEN]


def test_a_run_whose_job_is_gone_has_failed(database_url: str, store: Store) -> None:
    schedule(store)
    run = trained(store)
    with writing(database_url) as connection:  # by no call of ours, which all refuse it
        connection.execute(delete(job).where(job.c.id == run.job_id))
    assert judge_ended_runs(store)
    found = store.scheduled_run("nightly", run.id)
    assert (found.state, found.reason) == (RunState.FAILED, "its job was deleted before it was judged")


def test_two_judges_at_once_tell_it_once(database_url: str, store: Store) -> None:
    schedule(store)
    webhook = hook(store)
    judged(store)
    run = trained(store, worse)
    (ended,) = store.ended_runs()
    judgement = judging.judge(store, ended)
    found = race(database_url, lambda own, _: own.settle_run(ended, judgement))
    assert sorted(map(bool, found)) == [False] * (len(found) - 1) + [True]
    assert store.scheduled_run("nightly", run.id).verdict == "regressed"
    assert len(store.alerts()) == 1
    assert [event for event, _ in told(store, webhook)] == ["alert.opened"]


def test_what_was_read_of_a_job_that_changed_meanwhile_is_not_written(store: Store) -> None:
    schedule(store)
    run = trained(store, state=JobState.FAILED)
    (ended,) = store.ended_runs()
    judgement = judging.judge(store, ended)
    assert run.job_id
    store.retry(run.job_id)
    assert not store.settle_run(ended, judgement)
    assert store.scheduled_run("nightly", run.id).state is RunState.TRAINING


def test_a_judge_that_dies_before_the_end_of_its_transaction_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(store)
    webhook = hook(store)
    judged(store)
    run = trained(store, worse)

    def fail(*_: object) -> None:
        raise UnavailableError("the power is gone.")

    with monkeypatch.context() as patch:
        patch.setattr(store_judging, "post", fail)
        with pytest.raises(UnavailableError, match="the power is gone"):
            judge_ended_runs(store)
    assert store.scheduled_run("nightly", run.id).state is RunState.TRAINING
    assert store.alerts() == []
    assert judge_ended_runs(store)
    assert [event for event, _ in told(store, webhook)] == ["alert.opened"]


def test_a_fault_of_ours_fails_the_run_in_words_and_not_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule(store)
    run = trained(store)
    monkeypatch.setattr(judging, "run_measures", lambda *_: 1 / 0)
    assert judge_ended_runs(store)
    found = store.scheduled_run("nightly", run.id)
    assert (found.state, found.reason) == (
        RunState.FAILED,
        "it cannot be judged, by a fault of ours: ZeroDivisionError: division by zero",
    )


def test_only_the_webhooks_of_a_schedule_hear_of_it(store: Store) -> None:
    chosen, other, deaf = hook(store), hook(store), hook(store, "job.failed")
    schedule(store, webhooks=(chosen.id, deaf.id))
    judged(store)
    judged(store, worse)
    assert [len(told(store, one)) for one in (chosen, other, deaf)] == [1, 0, 0]


def test_thresholds_say_what_is_an_alarm(store: Store) -> None:
    schedule(store, thresholds=Thresholds(factor=100.0))
    judged(store)
    assert judged(store, worse).verdict == "same"
    store.change_schedule("nightly", {"thresholds": Thresholds(measures=("divergence_edge",))})
    run = judged(store, worse)
    assert run.verdict == "same"
    assert run.comparison is not None
    assert run.comparison["correction"] == "Bonferroni over 2 comparisons"


def test_a_named_baseline_gives_references_and_limits_as_long_as_it_names_the_job(
    database_url: str, store: Store
) -> None:
    first = run_made_up(store, submit(store, SPEC))
    named, _ = set_baseline(store, "main", first.id)
    limits = limits_of([100.0] * 19)
    with writing(database_url) as connection:
        connection.execute(update(baseline).values(limits=limits.to_dict()))
    schedule(store, policy=BaselinePolicy(kind=PolicyKind.NAMED, name="main"))
    run = judged(store)
    assert (run.baseline_name, run.baseline_job_id, run.verdict) == ("main", first.id, "same")
    assert run.comparison is not None
    assert run.comparison["is_calibrated"]
    assert run.reference is not None
    assert run.reference["y_ref"] == named.y_ref
    assert judged(store, worse).verdict == "same", "within such limits"
    pending = trained(store, worse)
    other = run_made_up(store, submit(store, SPEC), worse)
    set_baseline(store, "main", other.id)
    assert judge_ended_runs(store)
    found = store.scheduled_run("nightly", pending.id)
    assert (found.baseline_job_id, found.verdict) == (first.id, "regressed")


def test_the_history_names_the_first_run_of_a_new_level_and_what_changed_with_it(store: Store) -> None:
    schedule(store)
    assert change_points(store, "nightly") == ()
    runs = [judged(store, outcome) for outcome in (completed, completed, completed, worse, worse)]
    (point,) = change_points(store, "nightly")
    assert (point.run.id, point.before.id) == (runs[3].id, runs[2].id)
    assert {(one.optimizer, one.is_worse) for one in point.changes} == {("sam", True)}
    assert "grid_mean" in {one.name for one in point.changes}
    assert point.differs == {}
    references = [run.reference["y_ref"] for run in runs if run.reference]
    assert references == [references[0]] * 5, "levels of years are measured against one reference"
    changed = {**SPEC, "budget": {"epochs": 2}}
    store.change_schedule("nightly", {"spec": changed})
    judged(store)
    assert change_points(store, "nightly") == (), "another spec measures something else"
    store.change_schedule("nightly", {"spec": SPEC})
    judged(store)
    assert change_points(store, "nightly") == (), "only runs since the last change have one reference"
