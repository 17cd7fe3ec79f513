"""Lists of jobs: what is found, in which order, and how they go on."""

import re

import pytest
from sqlalchemy import text

from service.states import JobState
from service.store import InvalidValueError, Job, JobOrder, JobPosition, JobQuery, NewJob, Store
from service.store.listing import _parts
from service.store.tables import facet, job
from tests.service.store.samples import TTL_S, new_job, queue


@pytest.fixture
def jobs(store: Store) -> list[Job]:
    """Three jobs of two submitters, the last of which is cancelled."""
    made = [
        store.submit(NewJob(name=name, spec={"tasks": [task]}, n_cells=1, tags=tags, submitted_by=by))[0]
        for name, task, tags, by in [
            ("SAM 100%", {"name": "digits-mlp"}, ("nightly", "a"), "ann"),
            ("sam_vs_msam", {"name": "digits-mlp", "label": "small"}, ("nightly",), "bob"),
            ("other", {"name": "cifar"}, (), "ann"),
        ]
    ]
    store.cancel(made[2].id)
    return made


def test_jobs_are_found_newest_first(store: Store, jobs: list[Job]) -> None:
    def names(**filters: object) -> list[str]:
        return [job.name for job in store.jobs(JobQuery(**filters))]  # type: ignore[arg-type]  # each value fits its name

    assert names() == ["other", "sam_vs_msam", "SAM 100%"]
    assert names(states=[JobState.CANCELLED]) == ["other"]
    assert names(states=[JobState.CANCELLED, JobState.QUEUED]) == names()
    assert names(states=[JobState.FAILED, JobState.PAUSED]) == []
    assert names(tags=["nightly"]) == ["sam_vs_msam", "SAM 100%"]
    assert names(tags=["nightly", "a"]) == ["SAM 100%"]
    assert names(tags=["night"]) == []
    assert names(task="digits-mlp", tags=["a"]) == ["SAM 100%"]
    assert names(task="small") == ["sam_vs_msam"]
    assert names(task="nightly") == [], "a tag is no task"
    assert names(submitted_by="ann") == ["other", "SAM 100%"]
    assert names(submitted_by="ann", states=[JobState.QUEUED]) == ["SAM 100%"]
    assert names(text="sAm") == ["sam_vs_msam", "SAM 100%"]
    assert names(text="%") == ["SAM 100%"]
    assert names(text="m_v") == ["sam_vs_msam"]
    assert names(text=jobs[2].id[:8]) == ["other"]


@pytest.fixture
def many(store: Store) -> list[Job]:
    """Jobs of a few priorities and names, some of which have finished, in another order than they were made."""
    made = [store.submit(new_job(f"job {n % 3}", priority=n % 4 - 2))[0] for n in range(12)]
    for number in (7, 1, 10, 4, 3):
        store.cancel(made[number].id)
    return [store.job(one.id) for one in made]


def expected(jobs: list[Job], order: JobOrder) -> list[str]:
    """Return the ids in an order, as Python sorts them."""
    if order.column == "created_at":
        return [one.id for one in sorted(jobs, key=lambda one: one.seq, reverse=order.is_descending)]
    has_value = [one for one in jobs if getattr(one, order.column) is not None]
    rest = [one for one in jobs if getattr(one, order.column) is None]
    sort = lambda one: (getattr(one, order.column), one.seq)  # noqa: E731
    found = sorted(has_value, key=sort, reverse=order.is_descending)
    return [one.id for one in found + sorted(rest, key=lambda one: one.seq, reverse=order.is_descending)]


@pytest.mark.parametrize("order", list(JobOrder))
def test_a_list_has_every_job_once_in_every_order(store: Store, many: list[Job], order: JobOrder) -> None:
    assert [one.id for one in store.jobs(JobQuery(order=order))] == expected(many, order)
    for size in (1, 5):
        found, after = [], None
        while page := store.listed(JobQuery(order=order, limit=size, after=after)):
            found += page
            after = page[-1].position
        assert [one.id for one in found] == expected(many, order)
    wanted = [one for one in many if one.state is JobState.QUEUED]
    assert [one.id for one in store.jobs(JobQuery(states=[JobState.QUEUED], order=order))] == expected(wanted, order)


def test_a_list_goes_on_behind_a_job_that_is_gone(store: Store) -> None:
    jobs = [queue(store, f"job {number}") for number in range(5)]
    first = store.listed(JobQuery(limit=2))
    queue(store, "in between")
    store.cancel(first[-1].id)
    store.delete(first[-1].id)
    second = store.listed(JobQuery(limit=2, after=first[-1].position))
    assert [job.id for job in first + second] == [job.id for job in reversed(jobs[1:])]


@pytest.mark.parametrize("backend", ["sqlite"])  # what is refused does not reach a database
@pytest.mark.parametrize(
    ("order", "value", "seq"),
    [
        (JobOrder.NEWEST, None, 1 << 64),
        (JobOrder.NEWEST, "x", 1),
        (JobOrder.NAME, "a\0b", 1),
        (JobOrder.NAME, None, 1),
        (JobOrder.LOWEST_PRIORITY, 1 << 31, 1),
        (JobOrder.LOWEST_PRIORITY, 0.5, 1),
        (JobOrder.LAST_FINISHED, float("nan"), 1),
    ],
)
def test_a_place_that_no_list_has_is_refused(
    store: Store, backend: str, order: JobOrder, value: float | str | None, seq: int
) -> None:
    with pytest.raises(InvalidValueError, match=r"<= seq <=|has no place behind|must not hold NUL"):
        store.jobs(JobQuery(order=order, after=JobPosition(value, seq)))
    with pytest.raises(InvalidValueError, match="0 <= limit"):
        store.jobs(JobQuery(limit=-1))


def plan(store: Store, statement: object) -> str:
    """Return how the database would go about a statement where its tables are large."""
    database = store._database
    compiled = statement.compile(database.engine, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    with database.read() as connection:
        if database.is_sqlite:
            return "\n".join(row[-1] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
        # through a small table an index is skipped along that a large one would be too long for
        large = "UPDATE pg_class SET reltuples = 1e6, relpages = 1 WHERE relname IN ('job', 'facet')"
        connection.execute(text(large))
        for option in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            connection.execute(text(f"SET LOCAL {option} = off"))
        return "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN {compiled}")))


@pytest.mark.parametrize("order", list(JobOrder))
def test_every_order_reads_along_an_index(store: Store, many: list[Job], order: JobOrder) -> None:
    places = {one.id: one.position for one in store.listed(JobQuery(order=order))}
    for after in (None, places[many[5].id], places[many[1].id]):
        for part in _parts(job.select(), order, after):
            found = plan(store, part.limit(50))
            assert not re.search(r"TEMP B-TREE|Sort|Seq Scan", found), found


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (job.select().where(job.c.state == "failed").order_by(job.c.seq.desc()), "ix_job_state_seq"),
        (job.select().where(job.c.submitted_by == "ann").order_by(job.c.seq.desc()), "ix_job_submitted_by_seq"),
        (
            facet.select().with_only_columns(facet.c.job_seq).where(facet.c.kind == "tag", facet.c.value == "x"),
            "ix_facet_kind_value_job_seq",
        ),
    ],
)
def test_what_jobs_are_found_by_has_an_index(store: Store, many: list[Job], statement: object, index: str) -> None:
    assert index in plan(store, statement)


def test_a_claim_changes_no_list(store: Store, many: list[Job]) -> None:
    """Only what a list is sorted by moves a job in it."""
    before = [one.id for one in store.jobs(JobQuery(order=JobOrder.NAME))]
    assert store.claim("one", TTL_S)
    assert [one.id for one in store.jobs(JobQuery(order=JobOrder.NAME))] == before
