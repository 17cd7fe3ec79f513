"""Numbers for people: rounded by their interval, so that no digit is shown that the seeds do not know."""

import math

from benchmark.robustness.comparison import Difference
from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.rows import Measure

MAX_DECIMALS = 6
NO_WIDTH = 1e-9
DECIMALS = {"score": 3, "share": 1, "decades": 2}
UNDEFINED = "-"
PARTIAL = "°"  # rests on a part of the grid


def plain(value: float) -> str:
    """Return a number by four significant digits, without an exponent where it can be read without one."""
    return f"{value:.4g}"


def decimals_of(half_width: float, otherwise: int) -> int:
    """Return how many decimals tell what an interval knows: two significant digits of half its width.

    Args:
        half_width: of the interval.
        otherwise: what to return for an interval without width.
    """
    if not half_width > NO_WIDTH:
        return otherwise
    return min(max(1 - math.floor(math.log10(half_width)), 0), MAX_DECIMALS)


def value_and_interval(name: str, measure: Measure) -> tuple[str, str | None]:
    """Return a measure and its interval as texts; shares are in per cent.

    A width that goes on beyond the grid is marked as a lower bound.

    Args:
        name: of the measure.
        measure: what it is.
    """
    unit = BY_NAME[name].unit
    if measure.value is None:
        return UNDEFINED, None
    if unit not in DECIMALS:
        return plain(measure.value), None
    factor, sign = (100.0, "%") if unit == "share" else (1.0, "")
    decimals = DECIMALS[unit]
    ends = None
    if measure.low is not None and measure.high is not None:
        decimals = decimals_of((measure.high - measure.low) / 2 * factor, decimals)
        decimals = min(decimals, DECIMALS[unit]) if unit == "share" else decimals
        ends = f"[{_fixed(measure.low * factor, decimals)}, {_fixed(measure.high * factor, decimals)}]"
    part = PARTIAL if "incomplete" in measure.flags else ""
    bound = "≥ " if any(flag.startswith("censored") for flag in measure.flags) else ""
    return f"{bound}{_fixed(measure.value * factor, decimals)}{sign}{part}", ends


def difference_and_interval(difference: Difference) -> str:
    """Return a difference of scores with its sign, and its interval where there is one."""
    if difference.low is None or difference.high is None:
        return f"{difference.value:+.{DECIMALS['score']}f}"
    decimals = decimals_of((difference.high - difference.low) / 2, DECIMALS["score"])
    ends = f"[{_fixed(difference.low, decimals)}, {_fixed(difference.high, decimals)}]"
    return f"{difference.value:+.{decimals}f} {ends}"


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
