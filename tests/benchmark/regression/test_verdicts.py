"""The rule of verdicts at and around its margins."""

import math

import pytest

from benchmark.regression import Verdict, verdict_of


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (0.2, 0.4, 0.1, Verdict.REGRESSED),
        (0.1, 0.4, 0.1, Verdict.UNDECIDED),  # an end on the margin is not beyond it
        (-0.4, -0.2, 0.1, Verdict.IMPROVED),
        (-0.4, -0.1, 0.1, Verdict.UNDECIDED),
        (-0.1, 0.1, 0.1, Verdict.SAME),
        (-0.2, 0.05, 0.1, Verdict.UNDECIDED),
        (-0.2, 0.2, 0.1, Verdict.UNDECIDED),
        (0.0, 0.0, 0.0, Verdict.SAME),
        (1e-9, 1e-9, 0.0, Verdict.REGRESSED),
        (-1e-9, -1e-9, 0.0, Verdict.IMPROVED),
        (-math.inf, math.inf, 0.1, Verdict.UNDECIDED),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, margin: float, verdict: Verdict) -> None:
    assert verdict_of(low, high, margin) is verdict
    mirrored = {Verdict.REGRESSED: Verdict.IMPROVED, Verdict.IMPROVED: Verdict.REGRESSED}
    assert verdict_of(-high, -low, margin) is mirrored.get(verdict, verdict)


@pytest.mark.parametrize(
    ("low", "high", "margin"), [(1.0, 0.0, 0.1), (0.0, 1.0, -0.1), (math.nan, 1.0, 0.1), (0.0, 1.0, math.nan)]
)
def test_what_is_no_interval_or_no_margin_is_refused(low: float, high: float, margin: float) -> None:
    with pytest.raises(ValueError, match=r"low <= high and margin >= 0 must hold, but got"):
        verdict_of(low, high, margin)
