"""The states of a job and the one table of what may follow what: everything else asks it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing happens to the job any more unless somebody asks for it."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class Request(StrEnum):
    """What the owner of a running job is asked to do; a later word replaces an earlier one only if it asks for more."""

    PREEMPT = "preempt"
    PAUSE = "pause"
    CANCEL = "cancel"

    def outranks(self, other: "Request | None") -> bool:
        """Whether this request takes the place of `other`."""
        return other is None or list(Request).index(self) > list(Request).index(other)


class Action(StrEnum):
    """What moves a job from one state to the next."""

    CLAIM = "claim"
    RELEASE = "release"
    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"
    EXTEND = "extend"
    RERUN = "rerun"
    DELETE = "delete"


_ASKED = frozenset(
    {Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY, Action.EXTEND, Action.RERUN, Action.DELETE}
)
_OF_ENDED = (Action.RERUN, Action.DELETE)  # they leave the state as it is

TRANSITIONS: Mapping[JobState, Mapping[Action, JobState]] = MappingProxyType(
    {
        JobState.QUEUED: {
            Action.CLAIM: JobState.RUNNING,
            Action.PAUSE: JobState.PAUSED,
            Action.CANCEL: JobState.CANCELLED,
            Action.FAIL: JobState.FAILED,
        },
        JobState.RUNNING: {
            Action.CLAIM: JobState.RUNNING,
            Action.RELEASE: JobState.QUEUED,
            Action.PAUSE: JobState.PAUSED,
            Action.COMPLETE: JobState.COMPLETED,
            Action.FAIL: JobState.FAILED,
            Action.CANCEL: JobState.CANCELLED,
        },
        JobState.PAUSED: {Action.RESUME: JobState.QUEUED, Action.CANCEL: JobState.CANCELLED},
        JobState.COMPLETED: {Action.RETRY: JobState.QUEUED, Action.EXTEND: JobState.QUEUED},
        JobState.FAILED: {Action.RETRY: JobState.QUEUED, Action.EXTEND: JobState.QUEUED},
        JobState.CANCELLED: {Action.RETRY: JobState.QUEUED, Action.EXTEND: JobState.QUEUED},
    }
)


class IllegalTransitionError(Exception):
    """The job's state does not allow the action.

    Attributes:
        state: the state that the job is in.
        action: what was asked for.
        allowed: what people may ask of it instead.
    """

    def __init__(self, state: JobState, action: Action, reason: str | None = None) -> None:
        self.state = state
        self.action = action
        self.allowed = tuple(one for one in allowed_actions(state) if one in _ASKED and one is not action)
        why = reason or "its state does not allow that"
        super().__init__(f"cannot {action} a job that is {state}: {why}; allowed: {', '.join(self.allowed)}.")


def allowed_actions(state: JobState) -> tuple[Action, ...]:
    """Return what may be done to a job in `state`; only a finished one may be trained again or deleted."""
    return (*TRANSITIONS[state], *(_OF_ENDED if state.is_terminal else ()))


def require_allowed(state: JobState, action: Action) -> None:
    """Raise unless `state` allows the action.

    Raises:
        IllegalTransitionError: if it does not.
    """
    if action not in allowed_actions(state):
        raise IllegalTransitionError(state, action)


def require_extensible(state: JobState, *, rerun_of: str | None) -> None:
    """Raise unless a job may be extended.

    Args:
        state: of the job.
        rerun_of: the job that it trains again, if any.

    Raises:
        IllegalTransitionError: if its state does not allow it, or it is a rerun.
    """
    require_allowed(state, Action.EXTEND)
    if rerun_of is not None:
        raise IllegalTransitionError(state, Action.EXTEND, f"it trains cells of job {rerun_of} again, and no others")


def offered_actions(
    state: JobState, *, requested: Request | None, n_missing: int, rerun_of: str | None
) -> tuple[Action, ...]:
    """Return what people may ask of a job now, as far as the job alone tells.

    Args:
        state: of the job.
        requested: what its owner has been asked to do already.
        n_missing: number of its cells without a result.
        rerun_of: the job that it trains again, if any.
    """
    idle = {Action.RETRY} if state is JobState.COMPLETED and not n_missing else set()
    idle |= {Action.EXTEND} if rerun_of is not None else set()
    if requested is not None:
        idle |= {action for action in (Action.PAUSE, Action.CANCEL) if not Request(action.value).outranks(requested)}
    return tuple(action for action in allowed_actions(state) if action in _ASKED and action not in idle)


def next_state(state: JobState, action: Action, *, n_missing: int | None = None) -> JobState:
    """Return the state that follows `state` by `action`.

    Args:
        state: where the job is.
        action: what is done to it.
        n_missing: number of its cells without a result, which a retry of a completed job needs.

    Raises:
        IllegalTransitionError: if the table has no such transition, or there is nothing to retry.
    """
    require_allowed(state, action)
    if state is JobState.COMPLETED and action is Action.RETRY and n_missing == 0:
        raise IllegalTransitionError(state, action, "every cell has its result")
    return TRANSITIONS[state][action]


def next_request(pending: Request | None, action: Action) -> Request:
    """Return what the owner of a running job is to be asked, given what it was asked before.

    Raises:
        IllegalTransitionError: if more than that was asked before, so that it can no longer be had.
    """
    request = Request(action.value)
    if pending is not None and pending is not request and not request.outranks(pending):
        raise IllegalTransitionError(JobState.RUNNING, action, f"{pending} was requested before")
    return request
