"""Verdicts: what an interval says of a change, measured against a margin."""

from enum import StrEnum


class Verdict(StrEnum):
    """What is to be said of a measure that was taken before and after a change.

    Attributes:
        REGRESSED: the whole interval of its worsening lies beyond the margin.
        IMPROVED: the whole interval lies beyond the margin on the other side.
        SAME: the whole interval lies within the margin.
        UNDECIDED: none of these; more seeds would tell.
        NOT_TESTED: there is no honest interval, or no direction that is worse.
    """

    REGRESSED = "regressed"
    IMPROVED = "improved"
    SAME = "same"
    UNDECIDED = "undecided"
    NOT_TESTED = "not_tested"


def verdict_of(low: float, high: float, margin: float) -> Verdict:
    """Return the verdict on a worsening: a difference with the sign by which more of it is worse.

    Args:
        low: lower end of its interval.
        high: upper end.
        margin: not negative; what is within it does not matter.
    """
    if not (low <= high and margin >= 0):
        raise ValueError(f"low <= high and margin >= 0 must hold, but got low={low}, high={high}, margin={margin}.")
    if low > margin:
        return Verdict.REGRESSED
    if high < -margin:
        return Verdict.IMPROVED
    return Verdict.SAME if -margin <= low and high <= margin else Verdict.UNDECIDED
