"""What a plan can tell before anything runs."""

from collections.abc import Mapping
from typing import Any

import pytest

from benchmark import PackPlace, Spec
from benchmark.choice import StepTiming, choose_execution, device_name, timing_key
from benchmark.execution import cell_fingerprint, train_cell
from benchmark.fingerprint import own_making
from benchmark.packs import in_order, plan_packs
from benchmark.spec import expand
from service.estimates import (
    ADAPTIVE,
    CONTROLS,
    NO_DISPATCHER,
    NO_PAST,
    NOT_MEASURED,
    NOT_TIMED,
    ON_A_CLUSTER,
    ON_A_GPU,
    OTHER_SOURCE,
    estimate,
)
from service.store import PlacedRecord, Store
from tests.benchmark.toys import CPU
from tests.service.filling import LEASE_S, small_spec, submit

N_CPUS = 2


def spec_of(**changes: Any) -> Spec:
    return Spec.from_mapping(small_spec(**changes))


def many(**changes: Any) -> Spec:
    """A spec whose settings have enough cells to be fused."""
    return spec_of(**{"space": {"lr": {"log": [0.01, 0.1], "n": 8}}, **changes})


def report(store: Store, **changes: Any) -> None:
    resources: Mapping[str, Any] = {
        "cpus": N_CPUS,
        "ray_address": None,
        "devices": {"cpu": device_name(CPU)},
        "made_by": own_making(),
    }
    store.report_dispatcher("one", "host", 1, "0.1", {**resources, **changes})


def train(store: Store, spec: dict[str, Any], n: int | None = None) -> None:
    """Train the first cells of a spec for real, one after another."""
    job = submit(store, spec)
    claimed = store.claim("one", LEASE_S, only=job.id)
    assert claimed is not None
    cells = list(expand(Spec.from_mapping(spec)))[:n]
    made_by = {made.key: made.to_dict() for made in (cell_fingerprint(cell, CPU) for cell in cells)}
    store.register({cell.setting.key: cell.setting.to_dict() for cell in cells}, made_by)
    records = [
        PlacedRecord(train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60), cell.task, cell.optimizer)
        for cell in cells
    ]
    store.write_records(job.id, claimed.attempt, records, LEASE_S)


def test_without_a_dispatcher_only_the_price_is_known(store: Store) -> None:
    found = estimate(spec_of(), store)
    assert [one.n_cells for one in found.prices] == [4, 8, 8]
    assert (found.reused, found.packs, found.execution, found.elapsed_s) == (None, None, None, None)
    assert found.reasons == [NO_DISPATCHER]


def test_what_was_never_run_has_no_time(store: Store) -> None:
    report(store)
    found = estimate(spec_of(), store)
    assert found.execution == {"digits-mlp": dict.fromkeys(("gd", "sam", "msam"), "sequential")}
    assert (found.reused, found.packs, found.elapsed_s) == (0, 20, None)
    assert found.reasons == [NO_PAST]


def test_what_is_recorded_is_reused_and_tells_how_long_the_rest_takes(store: Store) -> None:
    report(store)
    train(store, small_spec(), 12)
    whole = estimate(spec_of(), store)
    assert (whole.reused, whole.packs) == (12, 8)
    assert whole.reasons == [NO_PAST]  # no cell of msam was trained, and eight are left of it
    train(store, small_spec())
    done = estimate(spec_of(), store)
    assert (done.reused, done.packs, done.elapsed_s, done.reasons) == (20, 0, 0.0, [])
    longer = estimate(spec_of(budget={"epochs": 10}), store)
    longest = estimate(spec_of(budget={"epochs": 20}), store)
    assert longer.reused == 0
    assert longer.elapsed_s is not None
    assert longest.elapsed_s == pytest.approx(2 * longer.elapsed_s)
    assert 0 < longer.elapsed_s < 60
    anew = estimate(spec_of(reuse=False), store)
    assert (anew.reused, anew.packs) == (0, 20)
    alone = estimate(spec_of(budget={"epochs": 10}, resources={"max_concurrent": 1}), store)
    assert alone.elapsed_s == pytest.approx(N_CPUS * longer.elapsed_s)


def test_a_timing_decides_the_execution_and_stands_in_for_records(store: Store) -> None:
    report(store)
    spec = many()
    before = estimate(spec, store)
    assert before.execution == {}
    assert before.reasons == [NOT_MEASURED]
    assert (before.reused, before.packs, before.elapsed_s) == (None, None, None)
    keys = {grid.optimizer: timing_key(grid.setting, device_name(CPU)) for grid in spec.grids}
    timings = {keys["gd"]: StepTiming(0.5, 0.1), keys["sam"]: StepTiming(0.1, 0.3), keys["msam"]: StepTiming(0.1, 0.2)}
    store.remember_timings(timings)
    after = estimate(spec, store)
    assert after.execution == {"digits-mlp": {"gd": "sequential", "sam": "fused", "msam": "fused"}}
    steps = {one.optimizer: one.steps for one in after.prices}
    total = 0.1 * steps["gd"] + 0.1 * steps["sam"] + 0.1 * steps["msam"]
    assert after.elapsed_s == pytest.approx(total / N_CPUS)
    assert after.reasons == []
    assert after.packs is not None
    forced = estimate(many(resources={"pack": "sequential"}), store)
    assert forced.elapsed_s == pytest.approx((0.1 * steps["gd"] + 0.3 * steps["sam"] + 0.2 * steps["msam"]) / N_CPUS)


def test_a_probe_of_a_cell_alone_says_nothing_of_cells_that_are_trained_together(store: Store) -> None:
    report(store)
    for pack, reason in (("auto", NOT_MEASURED), ("fused", NO_PAST)):
        spec = many(resources={"pack": pack})
        store.remember_timings(
            {timing_key(grid.setting, device_name(CPU)): StepTiming(None, 0.1) for grid in spec.grids}
        )
        found = estimate(spec, store)
        assert found.elapsed_s is None
        assert reason in found.reasons


def test_optimizers_that_share_a_rule_share_its_execution(store: Store) -> None:
    """Ten cells each are too few to be fused, twenty are not."""
    report(store)
    warm = {"label": "sam-warm", "name": "sam", "fixed": {"rho": 0.1, "rho_warmup": 0.3}}
    optimizers = [{"name": "sam", "fixed": {"rho": 0.1}}, warm]
    spec = many(optimizers=optimizers, gd=False, space={"lr": {"log": [0.01, 0.1], "n": 5}})
    store.remember_timings({timing_key(spec.grids[0].setting, device_name(CPU)): StepTiming(0.1, 0.3)})
    assert estimate(spec, store).execution == {"digits-mlp": {"sam": "fused", "sam-warm": "fused"}}


@pytest.mark.parametrize("pack", ["auto", 5, "sequential"])
def test_the_plan_is_what_the_driver_does(store: Store, pack: str | int) -> None:
    report(store, cpus=16)
    names = ({"name": "sam"}, {"name": "msam"}, {"label": "sam-warm", "name": "sam", "fixed": {"rho_warmup": 0.3}})
    optimizers = [{**entry, "space": {"rho": {"values": [0.1, 0.2]}}} for entry in names]
    spec = many(optimizers=optimizers, space={"lr": {"log": [0.01, 0.1], "n": 5}}, resources={"pack": pack})
    timings = {
        timing_key(grid.setting, device_name(CPU)): StepTiming(0.001, 0.3 if grid.optimizer != "msam" else 0.0001)
        for grid in spec.grids
    }
    store.remember_timings(timings)
    cells = list(expand(spec))
    choice = choose_execution(spec, cells, CPU, timings=timings)
    fused = {key for key, execution in choice.executions.items() if execution == "fused"}
    assert len(fused) == (0 if pack == "sequential" else 1)
    found = estimate(spec, store)
    assert found.execution == {
        "digits-mlp": {grid.optimizer: choice.executions[grid.setting.key] for grid in spec.grids}
    }
    size = pack if isinstance(pack, int) else None
    most = {key: choice.footprints[key].most_cells(10**12) for key in fused}
    packs = plan_packs(in_order(cells, fused), n_workers=16, size=size, fused=fused, most=most)
    assert found.packs == len(packs)
    assert found.elapsed_s is not None


def test_controls_are_packs_of_their_own_and_not_known_to_be_reused(store: Store) -> None:
    """They wait for their partners, so no pack holds both them and the SAM with which they share a setting."""
    report(store)
    spec = spec_of(controls=["radius_matched"], resources={"pack": 3})
    store.remember_timings({timing_key(grid.setting, device_name(CPU)): StepTiming(0.3, 0.1) for grid in spec.grids})
    found = estimate(spec, store)
    assert [(one.optimizer, one.wave) for one in found.prices][-1] == ("msam-radius-matched", 2)
    assert found.packs == 2 + 3 + 3 + 3  # 4, 8, 8 and 8 cells in threes; 16 in one wave would be 6
    assert (found.reused, CONTROLS in found.reasons) == (None, True)


def test_fewer_packs_than_workers_take_as_long_as_one(store: Store) -> None:
    report(store, cpus=16)
    spec = many(optimizers=[{"name": "sam", "fixed": {"rho": 0.1}}], gd=False, resources={"pack": "fused"})
    assert NOT_TIMED in estimate(spec, store).reasons
    store.remember_timings({timing_key(spec.grids[0].setting, device_name(CPU)): StepTiming(0.001, 0.3)})
    found = estimate(spec, store)
    assert found.packs == 1
    assert found.elapsed_s == pytest.approx(0.001 * found.prices[0].steps)


def test_a_gpu_says_how_much_it_takes_when_the_job_begins(store: Store) -> None:
    report(store, devices={"cpu": device_name(CPU), "cuda": "a GPU"})
    found = estimate(spec_of(), store)
    assert (found.packs, found.elapsed_s) == (None, None)
    assert ON_A_GPU in found.reasons
    on_the_cpu = estimate(spec_of(resources={"gpus_per_pack": 0}), store)
    assert on_the_cpu.packs == 20


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"made_by": {**own_making(), "source": "another"}}, OTHER_SOURCE),
        ({"ray_address": "127.0.0.1:6379"}, ON_A_CLUSTER),
        ({"devices": {}}, ON_A_CLUSTER),
    ],
)
def test_what_a_dispatcher_does_not_tell_is_not_made_up(store: Store, changes: dict[str, Any], reason: str) -> None:
    report(store, **changes)
    found = estimate(spec_of(), store)
    assert found.reused is None
    assert reason in found.reasons


def test_an_adaptive_search_has_a_price_and_no_cells_to_reuse(store: Store) -> None:
    report(store)
    spec = spec_of(
        optimizers=[{"name": "sam", "space": {"rho": {"log": [0.01, 1.0]}}}],
        space={"lr": {"log": [0.01, 1.0]}},
        search={"method": "tpe", "n_configurations": 7},
    )
    found = estimate(spec, store)
    assert [one.n_cells for one in found.prices] == [14, 14]
    assert (found.reused, found.packs) == (None, 14)
    assert ADAPTIVE in found.reasons
