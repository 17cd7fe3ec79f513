"""Radius-matched controls: SAM at the radius that M-SAM had in the same cell."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark import Diagnostics, Outcome, PackPlace, RayOptions, Record, Spec, Status, run
from benchmark.batches import batches_of
from benchmark.execution import Execution, cell_fingerprint, failed_record, train_cells
from benchmark.matching import give_up, match
from benchmark.running import _Memory
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Cell, expand
from benchmark.tasks import load_task
from benchmark.training import train
from optimizers import optimizer_info
from tests.benchmark.toys import CPU, make_spec, toy_document

MSAM = {"name": "msam", "space": {"rho": {"values": [0.1, 1.0]}}}
CONTROL = "msam-radius-matched"


def controlled(**changes: Any) -> Spec:
    """Two rates, two radii and two seeds of GD, M-SAM and its control, four steps each."""
    defaults: dict[str, Any] = {"controls": ["radius_matched"], "optimizers": [MSAM]}
    return make_spec(**{**defaults, "space": {"lr": {"values": [0.05, 0.2]}}, **changes})


def cells_of(spec: Spec, optimizer: str) -> list[Cell]:
    return [cell for cell in expand(spec) if cell.optimizer == optimizer]


def trained(cells: Sequence[Cell], execution: Execution = "sequential", **limits: float) -> dict[str, Record]:
    """Train cells here."""
    places = [PackPlace("here", len(cells), position) for position in range(len(cells))]
    records = train_cells(cells, places, device=CPU, limit_s=limits.get("limit_s", 60), execution=execution)
    return {record.config_key: record for record in records}


def test_a_control_has_the_points_and_seeds_of_its_partner() -> None:
    spec = controlled()
    assert [grid.optimizer for grid in spec.grids] == ["gd", "msam", CONTROL]
    assert spec.n_cells == (2 + 4 + 4) * 2
    partners, controls = cells_of(spec, "msam"), cells_of(spec, CONTROL)
    for partner, control in zip(partners, controls, strict=True):
        assert control.hyperparameters == partner.hyperparameters
        assert control.seed == partner.seed
        assert control.partner == partner.key
        assert (control.setting.rule, control.setting.base) == ("sam", "sgd")
    assert all(cell.partner is None for cell in expand(spec) if cell.optimizer != CONTROL)
    rules = [optimizer_info(name) for name in ("sam", "msam")]
    assert rules[0].hyperparameters.keys() == rules[1].hyperparameters.keys()


def test_a_control_changes_no_key_but_has_one_of_its_own() -> None:
    """Records are found by these; that of a control holds its partner's."""
    spec = controlled(optimizers=[{**MSAM, "name": "sam"}, MSAM])
    without = {cell.key for cell in expand(controlled(optimizers=[{**MSAM, "name": "sam"}, MSAM], controls=[]))}
    with_them = {cell.key: cell for cell in expand(spec)}
    assert len(with_them) == spec.n_cells
    assert without == {key for key, cell in with_them.items() if cell.optimizer != CONTROL}
    first = cells_of(spec, CONTROL)[0]
    assert first.key == "e1566b9a8c6266a152ec7eb7ad6892a8"
    assert replace(first, radius=0.25).key == first.key


def test_every_msam_has_a_control_of_its_own() -> None:
    """Also where their points are the same but for what the control does not have: a warm-up."""
    warm = {**MSAM, "label": "warm", "fixed": {"rho_warmup": 0.5}}
    spec = controlled(optimizers=[MSAM, warm])
    assert [grid.optimizer for grid in spec.grids] == ["gd", "msam", CONTROL, "warm", "warm-radius-matched"]
    assert len({cell.key for cell in expand(spec)}) == spec.n_cells


@pytest.mark.parametrize("warmup", [0.0, 0.75])
def test_the_radius_is_the_mean_length_of_the_partners_perturbations(warmup: float) -> None:
    """By a loop of its own: delta = rho_t / sqrt(1 + ||g||^2), with rho_t = rho min(1, (t + 1) / (warmup T))."""
    spec = controlled(optimizers=[{**MSAM, "fixed": {"rho_warmup": warmup}}], base={"name": "sgd", "momentum": 0.0})
    for partner, control in zip(cells_of(spec, "msam"), cells_of(spec, CONTROL), strict=True):
        (matched,) = match([control], trained([partner])).ready
        values = {name: float(value) for name, value in partner.hyperparameters.items()}
        task = load_task("digits-mlp", partner.setting.task_params)
        with seeded_torch(partner.seed, Stream.INIT):
            model = task.model(partner.seed)
        batches, lengths, n_steps = batches_of(task.data(partner.seed, CPU).train, 256, partner.seed), [], 4
        for step in range(n_steps):
            batch, parameters = next(batches), list(model.parameters())
            gradients = torch.autograd.grad(task.loss(model, batch), parameters)
            norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
            rho = values["rho"] * (min(1.0, (step + 1) / (warmup * n_steps)) if warmup else 1.0)
            lengths.append(rho / math.sqrt(1 + norm**2))
            start = [p.detach().clone() for p in parameters]
            with torch.no_grad():
                for p, g in zip(parameters, gradients, strict=True):
                    p.add_(g, alpha=lengths[-1] / norm)
            gradients = torch.autograd.grad(task.loss(model, batch), parameters)
            with torch.no_grad():
                for p, theta, g in zip(parameters, start, gradients, strict=True):
                    p.copy_(theta - values["lr"] * g)
        assert matched.radius is not None
        assert matched.radius == pytest.approx(sum(lengths) / n_steps, rel=1e-5)
        assert 0 < matched.radius < values["rho"]


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["sequential", "fused"])
def test_a_control_is_sam_at_that_radius_from_the_first_step(execution: Execution) -> None:
    spec = controlled(optimizers=[{**MSAM, "fixed": {"rho_warmup": 0.5}}])
    partners = trained(cells_of(spec, "msam"), execution)
    matched = match(expand(spec), partners).ready
    assert len({cell.radius for cell in matched}) == len(matched) == 8
    for cell, record in zip(matched, trained(matched, execution).values(), strict=True):
        mean = partners[cell.partner or ""].outcome.diagnostics.mean_delta
        assert mean is not None
        assert cell.radius == pytest.approx(mean, rel=1e-11)
        assert record.hyperparameters == {**cell.hyperparameters, "radius": cell.radius}
        values = {**cell.hyperparameters, "rho": mean, "rho_warmup": 0.0}
        task = load_task("digits-mlp", cell.setting.task_params)
        sam = train(task, cell.setting, values, cell.seed, device=CPU, limit_s=60)
        assert record.outcome.metrics == pytest.approx(sam.metrics, rel=1e-4)
        assert record.outcome.diagnostics.mean_delta == pytest.approx(mean, rel=1e-5)
        rho = float(cell.hyperparameters["rho"])  # of the axis, as in the row of its partner
        assert record.outcome.diagnostics.delta_over_rho == pytest.approx(mean / rho, rel=1e-5)
        assert record.outcome.cost.gradient_evaluations == 2 * record.outcome.cost.steps


def test_fused_and_sequential_controls_are_the_same() -> None:
    spec = controlled()
    matched = match(expand(spec), trained(cells_of(spec, "msam"))).ready
    together, alone = trained(matched, "fused"), trained(matched)
    for key, record in alone.items():
        assert together[key].outcome.metrics == pytest.approx(record.outcome.metrics, rel=1e-4)
        for name, series in record.outcome.curve.items():
            assert together[key].outcome.curve[name] == pytest.approx(series, rel=1e-4)
        assert together[key].hyperparameters == record.hyperparameters


def toys(call: int) -> tuple[Cell, Cell]:
    """M-SAM whose loss is not finite in the n-th pass, and its control."""
    faults = {"toy": {"fault": "nan_loss", "call": call}}
    msam = {"name": "msam", "fixed": {"rho": 0.5}}
    document = toy_document(faults, controls=["radius_matched"], optimizers=[msam], gd=False, seeds={"count": 1})
    partner, control = expand(Spec.from_mapping(document))
    return partner, control


def test_a_partner_that_diverged_gives_the_radius_that_it_had_before() -> None:
    partner, control = toys(call=5)  # the first pass of the third step
    records = trained([partner])
    (record,) = records.values()
    assert (record.outcome.status, record.outcome.diverged_at_step) == (Status.DIVERGED, 3)
    (matched,) = match([control], records).ready
    assert matched.radius is not None
    assert 0 < matched.radius < 0.5
    ((_, control_record),) = trained([matched]).items()
    assert control_record.hyperparameters["radius"] == matched.radius


def test_a_partner_that_diverged_at_once_gives_the_radius_0() -> None:
    """It never perturbed anything; its control is the base alone, and meets the same fault by itself."""
    partner, control = toys(call=1)
    records = trained([partner])
    (record,) = records.values()
    assert (record.outcome.status, record.outcome.diverged_at_step) == (Status.DIVERGED, 1)
    (matched,) = match([control], records).ready
    assert matched.radius == 0.0
    ((_, control_record),) = trained([matched]).items()
    assert control_record.outcome.status is Status.DIVERGED


def test_a_partner_without_a_radius_leaves_its_control_without_one() -> None:
    spec = controlled(gd=False)
    partners, controls = cells_of(spec, "msam"), cells_of(spec, CONTROL)
    place = PackPlace("here", 1, 0)
    late = trained(partners[:1], limit_s=1e-9)
    broken = failed_record(partners[1], place, CPU, "RuntimeError: no luck")
    (done,) = trained([partners[2]]).values()
    old = replace(done, outcome=replace(done.outcome, diagnostics=Diagnostics(1.0, 1.0)))
    records = {**late, **{record.config_key: record for record in (broken, old)}}
    found = match(controls, records)
    assert found.ready == []
    assert found.waiting == controls[3:]
    assert [cell for cell, *_ in found.unmatched] == controls[:3]
    sink = _Memory(lambda n: None)
    give_up(found.unmatched, sink, CPU, {controls[0].setting.key: "sequential"})
    assert [record.config_key for record in sink.records] == [cell.key for cell in controls[:3]]
    assert [record.outcome.status for record in sink.records] == [Status.TIMED_OUT, Status.FAILED, Status.FAILED]
    for record, words in zip(sink.records, ("limits.cell_s was used up", "no luck", "older version"), strict=True):
        assert "the M-SAM cell whose radius this control takes" in (record.outcome.error or "")
        assert words in (record.outcome.error or "")
        assert "radius" not in record.hyperparameters
        assert record.fingerprint == cell_fingerprint(controls[0], CPU).key


def test_the_mean_is_over_every_step_and_0_without_rho_to_go_by() -> None:
    still, *_ = cells_of(controlled(optimizers=[{"name": "msam", "fixed": {"rho": 0.0}}]), "msam")
    gd, *_ = cells_of(controlled(), "gd")
    outcomes: list[Outcome] = [record.outcome for record in trained([still]).values()]
    assert outcomes[0].diagnostics.mean_delta == 0.0
    assert outcomes[0].diagnostics.delta_over_rho is None
    assert [record.outcome.diagnostics.mean_delta for record in trained([gd]).values()] == [None]


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["sequential", "fused"])
@pytest.mark.long
def test_the_second_wave_on_ray(pack: str) -> None:
    spec = controlled(resources={"pack": pack}, optimizers=[{**MSAM, "name": "sam"}, MSAM])
    counts: list[int] = []
    records = run(spec, options=RayOptions(n_cpus=2), on_progress=counts.append)
    assert len(records) == counts[-1] == spec.n_cells
    by_key = {record.config_key: record for record in records.records}
    order = [record.config_key for record in records.records]
    for cell in cells_of(spec, CONTROL):
        partner = by_key[cell.partner or ""]
        radius = by_key[cell.key].hyperparameters["radius"]
        assert radius == pytest.approx(partner.outcome.diagnostics.mean_delta, rel=1e-11)
        assert order.index(partner.config_key) < order.index(cell.key)
    table = records.table()
    assert table.complete
    row = table.row("digits-mlp", CONTROL)
    assert row.ranked
    assert [axis.name for axis in row.grid.axes] == ["lr", "rho"]
    partner_row = table.row("digits-mlp", "msam")
    for name in ("gradient_evaluations", "delta_over_rho"):
        assert row.measures[name].value == pytest.approx(partner_row.measures[name].value, rel=0.05)
    frame = records.to_pandas()
    of_control = frame[frame["optimizer"] == CONTROL]
    assert of_control["radius"].notna().all()
    assert frame["radius"].notna().sum() == len(of_control) == 8
    assert of_control["radius"].to_numpy() == pytest.approx(
        frame.loc[frame["optimizer"] == "msam", "mean_delta"].to_numpy(), rel=1e-11
    )
