"""Jobs are really trained again, pack by pack, and what comes of it is the same to the last bit.

Most of it without Ray, by the driver in this process, which trains the packs that it planned one after another; what
Ray adds is tried once.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
import torch

from benchmark import PackPlace, RayOptions, Record, Spec, Status
from benchmark.adaptive import AdaptiveSearch
from benchmark.execution import Execution, cell_fingerprint, train_cells
from benchmark.packs import Pack
from benchmark.rayenv import prepare_ray_environment
from benchmark.regression import Sameness
from benchmark.sink import Sink
from benchmark.spec import Cell, expand
from service.jobs import Dispatcher, driver
from service.jobs.child import DriverExit, Orders
from service.jobs.settling import Ended, Ending, settle
from service.repeated import RerunAnswer, rerun_answer
from service.rerunning import new_rerun
from service.results import job_table
from service.settings import Settings
from service.states import JobState
from service.store import Job, PlacedRecord, Store
from tests.service.filling import LEASE_S, small_spec, submit

CPU = torch.device("cpu")
JOB_S = 240.0
DIVERGING_LR = 1e38
FUSED = small_spec(
    optimizers=[{"name": "sam", "space": {"rho": {"values": [0.1]}}}],
    gd=False,
    space={"lr": {"values": [0.05, 0.1, DIVERGING_LR]}},
    seeds={"count": 14},
    resources={"pack": "fused"},
)
N_FUSED = 42


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store that other processes may use as well."""
    with Store.open(database_url) as opened:
        yield opened


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have packs trained here, one after another, where Ray Tune would train them."""
    prepare_ray_environment(RayOptions())
    from benchmark import raysession, raytune

    monkeypatch.setattr(raysession, "ray_session", lambda _: contextlib.nullcontext(raysession.Session()))
    monkeypatch.setattr(raytune, "gpus_per_pack", lambda *_: 0.0)
    monkeypatch.setattr(raytune, "n_workers", lambda *_, **__: 2)
    monkeypatch.setattr(raytune, "train_packs", train_packs_here)


def train_packs_here(
    cells: Sequence[Cell],
    packs: Sequence[Pack],
    spec: Spec,
    sink: Sink,
    executions: Mapping[str, Execution],
    _: object,
    searches: Sequence[AdaptiveSearch] = (),
    __: object = None,
    *,
    gpus: float,
    company: frozenset[int] = frozenset(),
    owner: str = "",
) -> None:
    """Do what Ray Tune does with packs, searches included."""
    from benchmark.raysearch import TpeSearch

    def train(own: Sequence[Cell], kept: Sequence[int]) -> list[Record]:
        execution = executions[own[0].setting.key]
        pack = os.urandom(4).hex()
        places = [PackPlace(pack, len(own), position) for position in range(len(own))]
        trained = train_cells(
            own, places, device=CPU, limit_s=spec.limits.cell_s, execution=execution, sharpness=spec.sharpness
        )
        sink.on_fingerprint(cell_fingerprint(own[0], CPU, execution))
        sink.on_records([trained[position] for position in kept])
        return trained

    assert gpus == 0
    for pack in packs:
        kept = [place - pack.start for place in range(pack.start, pack.stop) if place not in company]
        train(cells[pack.start : pack.stop], kept)
    for search in map(TpeSearch, searches):
        while search.n_left:
            _, chosen = search.suggest()
            sink.on_cells(chosen)
            for record in train(chosen, range(len(chosen))):
                search.take(record)


def run_plainly(store: Store, url: str, job: Job) -> Job:
    """Run a job to its end with the driver in this process."""
    claimed = store.claim("somebody", LEASE_S, only=job.id)
    assert claimed is not None
    driver._run(Orders(url, job.id, claimed.attempt, LEASE_S, None, 2, os.getpid()), threading.Event())
    ended = Ended(Ending.BY_ITSELF, DriverExit.DONE)
    settle(store, claimed, ended, environment_is_fatal=True, environment_delay_s=0.0)
    return store.job(job.id)


def rerun(store: Store, url: str, job: Job, records: Sequence[str] | None = None) -> tuple[Job, RerunAnswer]:
    """Train a job again, and compare."""
    again, _ = store.submit(new_rerun(store, job.id, records))
    ended = run_plainly(store, url, again)
    assert (ended.state, ended.error) == (JobState.COMPLETED, None)
    return ended, rerun_answer(store, again.id)


def begun(store: Store, job: Job, cells: Sequence[Cell], execution: Execution, spoilt: Status | None = None) -> None:
    """Have a first attempt train some cells in one pack and die; the last of them ends in another way, if any."""
    claimed = store.claim("somebody", LEASE_S, only=job.id)
    assert claimed is not None
    made_by = cell_fingerprint(cells[0], CPU, execution)
    store.register({cells[0].setting.key: cells[0].setting.to_dict()}, {made_by.key: made_by.to_dict()})
    places = [PackPlace("first", len(cells), position) for position in range(len(cells))]
    records = train_cells(cells, places, device=CPU, limit_s=600, execution=execution)
    if spoilt is not None:
        lost = replace(records[-1].outcome, status=spoilt, metrics={}, collapsed=False)
        records[-1] = replace(records[-1], outcome=lost)
    written = [PlacedRecord(record, cells[0].task, cells[0].optimizer) for record in records]
    store.write_records(job.id, claimed.attempt, written, LEASE_S)
    store.set_execution(job.id, claimed.attempt, {cells[0].task: {cells[0].optimizer: execution}})
    store.release(job.id, claimed.attempt, crashed=True)


def records_of(store: Store, job: Job) -> dict[str, Record]:
    return {stored.record.config_key: stored.record for stored in store.iter_records(job.id)}


def all_are_identical(answer: RerunAnswer, n: int) -> bool:
    reasons = {one.repetition.reason for one in answer.records}
    assert (answer.verdict, answer.reason, reasons) == (Sameness.IDENTICAL, None, {None})
    assert answer.to_dict()["counts"] == {"identical": n, "within_noise": 0, "different": 0, "not_compared": 0}
    return True


@pytest.mark.slow
def test_a_fused_job_that_was_interrupted_and_retried_is_trained_again_to_the_last_bit(
    without_ray: None, store: Store, database_url: str
) -> None:
    job = submit(store, FUSED)
    cells = list(expand(Spec.from_mapping(FUSED)))
    first = cells[20:3:-3]  # several seeds and learning rates, in an order of their own
    begun(store, job, first, "fused", spoilt=Status.TIMED_OUT)
    job = run_plainly(store, database_url, job)
    assert (job.state, job.attempt, store.progress(job.id).timed_out) == (JobState.COMPLETED, 2, 1)
    store.retry(job.id)
    job = run_plainly(store, database_url, job)
    progress = store.progress(job.id)
    assert (job.attempt, progress.completed, progress.diverged) == (3, 28, 14)
    before = records_of(store, job)
    sizes = sorted({record.pack.id: record.pack.size for record in before.values()}.values())
    assert sizes == [1, len(first), 18, 18]

    again, answer = rerun(store, database_url, job)
    assert all_are_identical(answer, N_FUSED)
    progress = store.progress(again.id)
    assert (again.n_cells, progress.n_linked, progress.n_missing, progress.reused) == (N_FUSED, N_FUSED, 0, 0)
    assert again.execution == job.execution == {"digits-mlp": {"sam": "fused"}}
    after = records_of(store, again)
    assert after.keys() == before.keys()
    assert {key: one.pack.size for key, one in after.items()} == {key: one.pack.size for key, one in before.items()}
    assert not {record.id for record in after.values()} & {record.id for record in before.values()}
    tables = [job_table(store, one.id) for one in (job, again)]
    assert tables[0].complete
    assert tables[1].rows == tables[0].rows

    part, answer = rerun(store, database_url, job, [before[first[0].key].id])
    assert all_are_identical(answer, 1)
    progress = store.progress(part.id)
    n_own = len(first) - 1  # the one that timed out was trained again in another pack
    assert (part.n_cells, progress.total, progress.n_linked, progress.n_missing) == (n_own, n_own, n_own, 0)
    assert records_of(store, part).keys() == {cell.key for cell in first[:-1]}
    table = job_table(store, part.id)
    assert (table.complete, table.missing.count) == (False, N_FUSED - n_own)


@pytest.mark.slow
def test_what_was_reused_is_the_same_to_the_last_bit_only_beside_those_with_whom_it_was_trained(
    without_ray: None, store: Store, database_url: str
) -> None:
    maker = run_plainly(store, database_url, submit(store, FUSED))
    other = {**FUSED, "seeds": {"count": 6}, "space": {"lr": {"values": [0.1, 0.2]}}}
    for n_between in range(2):  # the second takes what the rerun of the first has trained
        job = run_plainly(
            store, database_url, submit(store, {**other, "space": {"lr": {"values": [0.1, 0.2 + n_between]}}})
        )
        assert (job.state, store.progress(job.id).reused) == (JobState.COMPLETED, 6)
        makers = {stored.job_id for stored in store.iter_records(job.id)} - {job.id}
        assert (makers == {maker.id}) == (n_between == 0)
        again, answer = rerun(store, database_url, job)
        assert all_are_identical(answer, 12)
        assert (again.n_cells, store.progress(again.id).completed) == (12, 12)
        assert job_table(store, again.id).complete


@pytest.mark.slow
def test_controls_sharpness_and_what_was_trained_one_after_another(
    without_ray: None, store: Store, database_url: str
) -> None:
    spec = small_spec(
        controls=["radius_matched"], gd=False, optimizers=small_spec()["optimizers"][2:], sharpness=["sam"]
    )
    for pack, n_in_pack in (("fused", 8), ("sequential", 1)):
        job = run_plainly(store, database_url, submit(store, {**spec, "reuse": False, "resources": {"pack": pack}}))
        _, answer = rerun(store, database_url, job)
        assert all_are_identical(answer, 16)
        radii = {one.cell and one.cell.optimizer: "radius" in one.before.hyperparameters for one in answer.records}
        assert radii == {"msam": False, "msam-radius-matched": True}
        control = next(one for one in answer.records if "radius" in one.before.hyperparameters)
        part, answer = rerun(store, database_url, job, [control.before.id])
        assert all_are_identical(answer, 1)
        assert part.n_cells == n_in_pack, "controls, at the radii that they had, without their partners"


@pytest.mark.slow
def test_an_adaptive_search_is_not_searched_again(without_ray: None, store: Store, database_url: str) -> None:
    spec = small_spec(
        optimizers=[{"name": "sam", "space": {"rho": {"log": [0.01, 1.0]}}}],
        gd=False,
        space={"lr": {"log": [0.01, 1.0]}},
        search={"method": "tpe", "n_configurations": 4},
        resources={"pack": "fused"},
    )
    job = run_plainly(store, database_url, submit(store, spec))
    again, answer = rerun(store, database_url, job)
    assert all_are_identical(answer, 8)
    assert records_of(store, again).keys() == records_of(store, job).keys()


@pytest.mark.slow
def test_a_replay_is_trained_again_as_the_same_replay(without_ray: None, store: Store, database_url: str) -> None:
    new = new_rerun(store, run_plainly(store, database_url, submit(store, FUSED)).id)
    plain, _ = store.submit(replace(new, rerun=None, rerun_of=None, n_cells=N_FUSED, replay=3))
    job = run_plainly(store, database_url, plain)
    again, answer = rerun(store, database_url, job)
    assert again.replay == 3
    assert all_are_identical(answer, N_FUSED)


@pytest.mark.slow
@pytest.mark.long
def test_by_real_drivers_with_ray(store: Store, settings: Settings) -> None:
    job = submit(store, FUSED)
    begun(store, job, list(expand(Spec.from_mapping(FUSED)))[20:3:-3], "fused")
    job = run_here(store, settings, job)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
    again, _ = store.submit(new_rerun(store, job.id))
    again = run_here(store, settings, again)
    assert again.state is JobState.COMPLETED
    assert all_are_identical(rerun_answer(store, again.id), N_FUSED)


def run_here(store: Store, settings: Settings, job: Job) -> Job:
    """Run a job with a real driver and Ray, here, to its end."""
    dispatcher = Dispatcher(store, settings, only=job.id, n_cpus=2)
    timer = threading.Timer(JOB_S, dispatcher.stop)
    timer.start()
    try:
        dispatcher.run()
    finally:
        timer.cancel()
    return store.job(job.id)
