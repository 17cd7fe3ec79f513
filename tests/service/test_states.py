"""The table of transitions is the design's, and its errors say what is allowed."""

import itertools
from typing import Any

import pytest

from service.states import (
    TRANSITIONS,
    Action,
    IllegalTransitionError,
    JobState,
    Request,
    next_request,
    next_state,
    offered_actions,
    require_allowed,
)

Q, R, P = JobState.QUEUED, JobState.RUNNING, JobState.PAUSED
C, F, X = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED

DESIGN = {Q: {R, P, X, F}, R: {R, Q, P, C, F, X}, P: {Q, X}, F: {Q}, X: {Q}, C: {Q}}


@pytest.mark.parametrize("state", JobState)
def test_the_states_that_follow_are_those_of_the_design(state: JobState) -> None:
    assert set(TRANSITIONS[state].values()) == DESIGN[state]


@pytest.mark.parametrize(("state", "action"), list(itertools.product(JobState, Action)))
def test_every_other_action_is_refused_with_what_is_allowed(state: JobState, action: Action) -> None:
    if action in TRANSITIONS[state]:
        assert next_state(state, action) is TRANSITIONS[state][action]
        return
    if action in (Action.RERUN, Action.DELETE) and state.is_terminal:
        require_allowed(state, action)
        return
    with pytest.raises(IllegalTransitionError, match=f"cannot {action} a job that is {state}: .*; allowed: ") as caught:
        next_state(state, action)
    assert (caught.value.state, caught.value.action) == (state, action)


@pytest.mark.parametrize(
    ("state", "action", "allowed"),
    [
        (Q, Action.DELETE, "pause, cancel"),
        (R, Action.DELETE, "pause, cancel"),
        (P, Action.PAUSE, "resume, cancel"),
        (Q, Action.RERUN, "pause, cancel"),
        (F, Action.CANCEL, "retry, extend, rerun, delete"),
    ],
)
def test_people_are_told_what_they_may_ask_and_not_what_dispatchers_do(
    state: JobState, action: Action, allowed: str
) -> None:
    with pytest.raises(IllegalTransitionError, match=f"allowed: {allowed}[.]$"):
        require_allowed(state, action)


def test_a_completed_job_is_retried_only_for_what_is_missing() -> None:
    assert next_state(C, Action.RETRY, n_missing=1) is Q
    with pytest.raises(IllegalTransitionError, match=r"every cell has its result; allowed: extend, rerun, delete\.$"):
        next_state(C, Action.RETRY, n_missing=0)
    assert next_state(F, Action.RETRY, n_missing=0) is Q


@pytest.mark.parametrize(
    ("state", "changes", "offered"),
    [
        (Q, {}, "pause, cancel"),
        (R, {}, "pause, cancel"),
        (R, {"requested": Request.PREEMPT}, "pause, cancel"),
        (R, {"requested": Request.PAUSE}, "cancel"),
        (R, {"requested": Request.CANCEL}, ""),
        (P, {}, "resume, cancel"),
        (C, {}, "extend, rerun, delete"),
        (C, {"n_missing": 2}, "retry, extend, rerun, delete"),
        (F, {}, "retry, extend, rerun, delete"),
        (X, {"rerun_of": "another"}, "retry, rerun, delete"),
    ],
)
def test_what_is_offered_is_what_a_job_may_be_asked(state: JobState, changes: dict[str, Any], offered: str) -> None:
    given: dict[str, Any] = {"requested": None, "n_missing": 0, "rerun_of": None} | changes
    assert ", ".join(offered_actions(state, **given)) == offered


@pytest.mark.parametrize("state", JobState)
def test_predicates(state: JobState) -> None:
    assert state.is_terminal == (state in (C, F, X))


def test_a_stronger_request_replaces_a_weaker_one() -> None:
    assert next_request(None, Action.PAUSE) is Request.PAUSE
    assert next_request(Request.PREEMPT, Action.PAUSE) is Request.PAUSE
    assert next_request(Request.PAUSE, Action.CANCEL) is Request.CANCEL
    assert next_request(Request.CANCEL, Action.CANCEL) is Request.CANCEL
    with pytest.raises(IllegalTransitionError, match="cancel was requested before"):
        next_request(Request.CANCEL, Action.PAUSE)
