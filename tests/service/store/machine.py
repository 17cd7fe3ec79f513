"""The queue as a state machine beside a plain model of it, which predicts the outcome of every step.

The model is written from the table of states and the rules of leases, not from the code of the store.
"""

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from benchmark.records import Record, Status
from service.states import IllegalTransitionError, JobState, Request
from service.store import JobQuery, LostLeaseError, NewWebhook, Store
from service.store.database import Database
from tests.service.store.clocks import turned_clock
from tests.service.store.samples import FINGERPRINT, SETTING, key_of, make_record, new_job, place, want

LEASE_S, DELAY_S = 10.5, 4.25  # no sum of them is a whole number, so that no instant falls on a limit
MAX_CRASHES = 2
CELLS = range(3)
RESULTS = (Status.COMPLETED, Status.DIVERGED)
STEERING = ("pause", "resume", "cancel", "retry", "delete")
ENDINGS = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED)
TERMINAL = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
OWNERS = st.sampled_from(["one", "two"])
OUTCOMES = st.dictionaries(st.sampled_from(CELLS), st.sampled_from(Status), min_size=1)


@dataclasses.dataclass(eq=False)
class KnownRecord:
    """A record that was written."""

    record: Record
    job_id: str
    attempt: int
    cell: int

    @property
    def status(self) -> Status:
        return self.record.outcome.status


@dataclasses.dataclass(eq=False)
class KnownJob:
    """What a job must be."""

    id: str
    order: int
    priority: int
    state: JobState = JobState.QUEUED
    requested: Request | None = None
    attempt: int = 0
    crashes: int = 0
    retried_after: int = 0
    lease_until: float = 0.0
    owner: str = ""
    run_after: float = 0.0
    ended_at: float = 0.0
    links: dict[int, KnownRecord] = dataclasses.field(default_factory=dict)
    told: list[str] = dataclasses.field(default_factory=list)

    def leave(self, state: JobState, now: float) -> None:
        self.state, self.requested, self.lease_until, self.ended_at = state, None, 0.0, now
        if state in TERMINAL:
            self.told.append(f"job.{state}")

    def n_missing(self) -> int:
        return len(CELLS) - sum(record.status in RESULTS for record in self.links.values())


class QueueMachine(RuleBasedStateMachine):
    """Steps of users, dispatchers and time in any order."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "rhobust.db"
        shutil.copy(self.template, path)
        url = f"sqlite:///{path}"
        database = Database(url)
        self.clock = turned_clock(database, url)
        self.store = Store(database)
        self.known: dict[str, KnownJob] = {}
        self.records: list[KnownRecord] = []
        self.tokens: list[tuple[str, int]] = []
        self.n_submitted = 0
        self.seen: dict[str, object] = {}

    def teardown(self) -> None:
        try:
            for job in self.jobs:
                self._check_records(job)
        finally:
            self.store.close()
            self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self.store.register({SETTING: {}}, {FINGERPRINT: {}})
        events = tuple(f"job.{state}" for state in TERMINAL)
        new = NewWebhook(url="https://a.example", secret="", events=events)
        self.webhook, _ = self.store.create_webhook(new)

    @property
    def jobs(self) -> list[KnownJob]:
        return list(self.known.values())

    # users

    @precondition(lambda self: len(self.known) < 4)
    @rule(priority=st.integers(0, 2))
    def submit(self, priority: int) -> None:
        new = new_job(n_cells=len(CELLS), priority=priority, max_crashes=MAX_CRASHES)
        job, _ = self.store.submit(new)
        self.n_submitted += 1
        self.known[job.id] = KnownJob(job.id, self.n_submitted, priority)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), actions=st.lists(st.sampled_from(STEERING), min_size=1, max_size=3))
    def steer(self, data: st.DataObject, actions: list[str]) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        for action in actions:
            if job.id in self.known:
                self._steer(job, action)

    def _steer(self, job: KnownJob, action: str) -> None:
        legal = {
            "pause": job.state is JobState.QUEUED
            or (job.state is JobState.RUNNING and job.requested is not Request.CANCEL),
            "resume": job.state is JobState.PAUSED,
            "cancel": job.state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED),
            "retry": job.state in TERMINAL and (job.state is not JobState.COMPLETED or job.n_missing() > 0),
            "delete": job.state in TERMINAL,
        }[action]
        try:
            getattr(self.store, action)(job.id)
        except IllegalTransitionError:
            assert not legal
            return
        assert legal
        if action == "delete":
            self._forget(job)
        elif action == "resume":
            job.leave(JobState.QUEUED, self.clock.now)
        elif action == "retry":
            job.leave(JobState.QUEUED, self.clock.now)
            job.crashes, job.retried_after, job.run_after = 0, job.attempt, 0.0
        elif job.state is JobState.RUNNING and job.lease_until >= self.clock.now:
            job.requested = Request(action)
        else:
            job.leave(JobState.PAUSED if action == "pause" else JobState.CANCELLED, self.clock.now)

    @rule(older_than_s=st.sampled_from([0.5, 8.5]))
    def prune(self, older_than_s: float) -> None:
        """Somebody deletes what ended long enough ago, and what nobody uses any more."""
        old = {job.id for job in self.jobs if job.state in TERMINAL and job.ended_at < self.clock.now - older_than_s}
        found = self.store.prunable(older_than_s)
        assert {job.id for job in found.jobs} == old
        for job in self.jobs:
            assert self.store.prune_job(job.id, found.before) == (job.id in old)
            if job.id in old:
                del self.known[job.id]
        used = {id(record) for job in self.jobs for record in job.links.values()}
        kept = [record for record in self.records if record.job_id in self.known or id(record) in used]
        assert sum(self.store.prune_records()) == found.n_records == len(self.records) - len(kept)
        self.records = kept

    def _forget(self, job: KnownJob) -> None:
        del self.known[job.id]
        used = {id(record) for other in self.jobs for record in other.links.values()}
        self.records = [record for record in self.records if record.job_id != job.id or id(record) in used]

    # time

    @rule(seconds=st.sampled_from([1, 5, 11]))
    def wait(self, seconds: int) -> None:
        self.clock.turn(seconds)

    # dispatchers

    @rule(owner=OWNERS)
    def claim(self, owner: str) -> None:
        self._claim(owner)

    def _claim(self, owner: str) -> None:
        expected = self._expected_claim(owner)
        claimed = self.store.claim(owner, LEASE_S)
        assert (claimed and claimed.id) == (expected and expected.id)
        if claimed is not None:
            self.tokens.append((claimed.id, claimed.attempt))

    def _expected_claim(self, owner: str) -> KnownJob | None:
        while True:
            now = self.clock.now
            free = [
                job
                for job in self.jobs
                if (job.state is JobState.QUEUED and job.run_after <= now)
                or (job.state is JobState.RUNNING and job.lease_until < now)
            ]
            if not free:
                return None
            job = min(free, key=lambda job: (-job.priority, job.order))
            job.crashes += job.state is JobState.RUNNING and job.owner != owner
            if job.requested is Request.CANCEL:
                job.leave(JobState.CANCELLED, self.clock.now)
            elif job.requested is Request.PAUSE:
                job.leave(JobState.PAUSED, self.clock.now)
            elif job.crashes >= MAX_CRASHES:
                job.leave(JobState.FAILED, self.clock.now)
            else:
                job.leave(JobState.RUNNING, self.clock.now)
                job.attempt += 1
                job.owner = owner
                job.lease_until = now + LEASE_S
                return job

    @precondition(lambda self: self._running())
    @rule(
        data=st.data(),
        actions=st.lists(st.sampled_from(["pause", "cancel"]), max_size=2),
        seconds=st.sampled_from([6, 11]),
    )
    def fall_silent(self, data: st.DataObject, actions: list[str], seconds: int) -> None:
        """Dispatchers are heard of no more, whatever they were asked to do, and another one looks for work."""
        job = data.draw(st.sampled_from(self._running()))
        for action in actions:
            self._steer(job, action)
        self.clock.turn(seconds)
        self._claim("two" if job.owner == "one" else "one")

    @precondition(lambda self: self._running())
    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        """A driver dies, somebody gives the job up, and then thinks better of it."""
        job = data.draw(st.sampled_from(self._running()))
        self._release((job.id, job.attempt), crashed=True, delay_s=0)
        for action in ("cancel", "retry"):
            self._steer(job, action)

    @precondition(lambda self: self._running())
    @rule(data=st.data(), first=OUTCOMES, second=OUTCOMES)
    def hand_over(self, data: st.DataObject, first: dict[int, Status], second: dict[int, Status]) -> None:
        """An owner writes and gives its job back, and the next one writes."""
        job = data.draw(st.sampled_from(self._running()))
        self._write((job.id, job.attempt), first)
        self._release((job.id, job.attempt), crashed=False, delay_s=0)
        self._claim("one")
        self._write(self.tokens[-1], second)

    def _running(self) -> list[KnownJob]:
        return [job for job in self.jobs if job.state is JobState.RUNNING]

    def _draw_token(self, data: st.DataObject) -> tuple[str, int]:
        """Choose an owner's right, of the last three mostly, or of one who lost it long ago."""
        return data.draw(st.one_of(st.sampled_from(self.tokens[-3:]), st.sampled_from(self.tokens)))

    def _owned(self, token: tuple[str, int]) -> KnownJob | None:
        job = self.known.get(token[0])
        owned = job is not None and job.state is JobState.RUNNING and job.attempt == token[1]
        return job if owned else None

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        token = self._draw_token(data)
        job = self._owned(token)
        try:
            requested = self.store.renew(*token, LEASE_S)
        except LostLeaseError:
            assert job is None
            return
        assert job is not None
        assert requested == job.requested == self.store.requested(*token)
        job.lease_until = self.clock.now + LEASE_S

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), statuses=OUTCOMES)
    def write(self, data: st.DataObject, statuses: dict[int, Status]) -> None:
        self._write(self._draw_token(data), statuses)

    def _write(self, token: tuple[str, int], statuses: dict[int, Status]) -> None:
        job = self._owned(token)
        made = {cell: make_record(cell, status) for cell, status in statuses.items()}
        try:
            requested = self.store.write_records(*token, place(*made.values()), LEASE_S)
        except LostLeaseError:
            assert job is None
            return
        assert job is not None
        assert requested == job.requested
        job.lease_until = self.clock.now + LEASE_S
        for cell, record in made.items():
            earlier = [kept for kept in self.records if (kept.job_id, kept.attempt, kept.cell) == (*token, cell)]
            kept = earlier[0] if earlier else KnownRecord(record, *token, cell)
            if not earlier:
                self.records.append(kept)
            if cell not in job.links or job.links[cell].status not in RESULTS:
                job.links[cell] = kept

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def reuse(self, data: st.DataObject) -> None:
        token = self._draw_token(data)
        job = self._owned(token)
        try:
            linked = self.store.link_reusable(*token, want(*CELLS), LEASE_S)
        except LostLeaseError:
            assert job is None
            return
        assert job is not None
        job.lease_until = self.clock.now + LEASE_S
        expected = set()
        for cell in CELLS:
            fitting = [kept for kept in self.records if kept.cell == cell and kept.status in RESULTS]
            if fitting and not (cell in job.links and job.links[cell].status in RESULTS):
                job.links[cell] = fitting[-1]
                expected.add(key_of(cell))
        assert linked == expected

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), state=st.sampled_from(ENDINGS))
    def finish(self, data: st.DataObject, state: JobState) -> None:
        token = self._draw_token(data)
        job = self._owned(token)
        try:
            self.store.finish(*token, state)
        except LostLeaseError:
            assert job is None
            return
        assert job is not None
        job.leave(state, self.clock.now)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), crashed=st.booleans(), delay_s=st.sampled_from([0, DELAY_S]))
    def release(self, data: st.DataObject, crashed: bool, delay_s: float) -> None:
        self._release(self._draw_token(data), crashed=crashed, delay_s=delay_s)

    def _release(self, token: tuple[str, int], *, crashed: bool, delay_s: float) -> None:
        job = self._owned(token)
        try:
            self.store.release(*token, crashed=crashed, delay_s=delay_s)
        except LostLeaseError:
            assert job is None
            return
        assert job is not None
        job.crashes += crashed
        if job.requested is Request.CANCEL:
            job.leave(JobState.CANCELLED, self.clock.now)
        elif job.requested is Request.PAUSE:
            job.leave(JobState.PAUSED, self.clock.now)
        elif job.crashes >= MAX_CRASHES:
            job.leave(JobState.FAILED, self.clock.now)
        else:
            job.leave(JobState.QUEUED, self.clock.now)
            job.run_after = self.clock.now + delay_s

    @rule()
    def preempt(self) -> None:
        now = self.clock.now
        alive = [job for job in self.jobs if job.state is JobState.RUNNING and job.lease_until >= now]
        due = [job.priority for job in self.jobs if job.state is JobState.QUEUED and job.run_after <= now]
        lower = [job for job in alive if due and job.priority < max(due)]
        asked = self.store.preempt_candidate(60)
        if not lower or any(job.requested for job in alive):
            assert asked is None
            return
        assert asked is not None
        job = self.known[asked.id]
        assert job in lower
        assert job.priority == min(other.priority for other in lower)
        job.requested = Request.PREEMPT

    # what must hold after every step

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        jobs = self.store.jobs(JobQuery(limit=100))
        assert [job.id for job in jobs] == [job.id for job in reversed(self.jobs)]
        for job in jobs:
            known = self.known[job.id]
            assert (job.state, job.requested, job.attempt) == (known.state, known.requested, known.attempt)
            assert (job.crashes, job.retried_after) == (known.crashes, known.retried_after)
            assert (job.lease_until is not None) == (job.owner is not None) == (known.state is JobState.RUNNING)
            if job.lease_until is not None:
                assert abs(job.lease_until - known.lease_until) < 0.01
            # a look at all records after every step would be most of the time; at the end all are looked at
            model = (dict(known.links), known.retried_after)
            if self.seen.get(job.id) != model:
                self.seen[job.id] = model
                self._check_records(known)

    @invariant()
    def every_end_is_told_once(self) -> None:
        told: dict[str, list[str]] = {job.id: [] for job in self.jobs}
        for delivery in reversed(self.store.deliveries(self.webhook.id, limit=1000)):
            told.setdefault(json.loads(delivery.body)["data"]["id"], []).append(delivery.event)
        assert {job.id: told[job.id] for job in self.jobs} == {job.id: job.told for job in self.jobs}

    def _check_records(self, job: KnownJob) -> None:
        found = {item.record.id: (item.attempt, item.reused) for item in self.store.records(job.id)}
        assert found == {kept.record.id: (kept.attempt, kept.job_id != job.id) for kept in job.links.values()}
        fresh = {cell for cell, kept in job.links.items() if kept.job_id != job.id or kept.attempt > job.retried_after}
        statuses = {cell: kept.status for cell, kept in job.links.items()}
        done = {cell for cell, status in statuses.items() if status in RESULTS}
        done |= {cell for cell, status in statuses.items() if status is Status.TIMED_OUT} & fresh
        failed = {cell for cell, status in statuses.items() if status is Status.FAILED} & fresh
        assert self.store.done_keys(job.id) == set(map(key_of, done))
        assert self.store.failed_keys(job.id) == set(map(key_of, failed))
        progress = self.store.progress(job.id)
        counted = {status: getattr(progress, str(status)) for status in Status}
        assert counted == {status: list(statuses.values()).count(status) for status in Status}
        assert progress.reused == sum(kept.job_id != job.id for kept in job.links.values())
