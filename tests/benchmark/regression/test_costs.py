"""Time and memory of a cell alone are told before and after, and never judged."""

from dataclasses import replace

import pytest

from benchmark.probes import Probe
from benchmark.regression import Side, Verdict, compare, worst_change
from benchmark.regression.costs import CELL_BYTES, CELL_S
from benchmark.regression.rendering import row_of
from tests.benchmark.regression.simulated import side, spec
from tests.service.filling import completed, diverged, records_by_key

N_STEPS = 16  # of a completed cell, as it is made up


def probed(of: Side, step_s: float, n_bytes: int, device: str = "cpu") -> Side:
    """Return a side whose cells of msam took this."""
    keys = [grid.setting.key for grid in of.spec.grids if grid.optimizer == "msam"]
    return replace(of, probes={key: Probe(step_s, n_bytes, device) for key in keys})


def test_a_cell_takes_its_steps_times_the_seconds_of_one() -> None:
    of = side(spec())
    found = compare(probed(of, 0.5, 4_000_000), probed(of, 0.75, 5_000_000))
    seconds, n_bytes = (
        next(one for one in found.measures if one.name == name and one.optimizer == "msam")
        for name in (CELL_S, CELL_BYTES)
    )
    assert (seconds.before, seconds.after, seconds.difference) == (N_STEPS * 0.5, N_STEPS * 0.75, N_STEPS * 0.25)
    assert (n_bytes.before, n_bytes.after, n_bytes.difference) == (4e6, 5e6, 1e6)
    for one in (seconds, n_bytes):
        assert (one.verdict, one.low, one.reason) == (Verdict.NOT_TESTED, None, "one short probe has no interval")
    assert row_of(seconds)[3:] == ("time a cell", "8 s", "12 s", "+50%", "-", "one short probe has no interval")
    assert row_of(n_bytes)[3:7] == ("memory a cell", "4 MB", "5 MB", "+25%")
    assert found.verdict is Verdict.SAME


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (False, True, "the baseline was not probed when it began"),
        (True, False, "the candidate was not probed when it began"),
    ],
)
def test_what_was_not_probed_is_said(before: bool, after: bool, reason: str) -> None:
    of = side(spec())
    found = compare(*(probed(of, 1.0, 1) if is_probed else of for is_probed in (before, after)))
    for one in (one for one in found.measures if one.name in (CELL_S, CELL_BYTES) and one.optimizer == "msam"):
        assert (one.before is not None, one.after is not None) == (before, after)
        assert (one.difference, one.reason) == (None, reason)


def test_devices_that_differ_are_said() -> None:
    of = side(spec())
    found = compare(probed(of, 1.0, 1), probed(of, 0.1, 1, "cuda"))
    reasons = {one.reason for one in found.measures if one.name == CELL_S and one.optimizer == "msam"}
    assert reasons == {"the baseline was probed on cpu, the candidate on cuda"}


def test_where_no_cell_is_completed_its_seconds_are_not_known() -> None:
    of = spec()
    lost = records_by_key(of, lambda cell: diverged(cell) if cell.optimizer == "msam" else completed(cell))
    both = probed(Side(of, lost), 1.0, 8)
    told = {one.name: one.before for one in compare(both, both).measures if one.optimizer == "msam"}
    assert (told[CELL_S], told[CELL_BYTES]) == (None, 8.0)


def test_costs_are_no_part_of_what_limits_are_made_of() -> None:
    of = side(spec())
    assert worst_change(probed(of, 1.0, 1), probed(of, 100.0, 100)) == worst_change(of, of) == 0.0
