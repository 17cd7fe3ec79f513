"""Borders: where the best configuration lies at an end of an axis, and how the grid should go on there."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.canonical import round_significant
from benchmark.records import Scalar
from benchmark.robustness.rows import Border, End
from benchmark.robustness.scoring import AxisInfo
from benchmark.spec.axes import Axis

N_FURTHER = 2


def borders_of(axes: Sequence[AxisInfo], best: Mapping[str, Scalar]) -> tuple[Border, ...]:
    """Return the ends of the axes of a grid on which its best configuration lies, with the values to go on with.

    Args:
        axes: of the grid; one of a single value, or of true and false, has no ends.
        best: the swept hyperparameters of the best configuration.
    """
    found = []
    for axis in axes:
        if not axis.has_ends:
            continue
        if best[axis.name] == axis.values[0]:
            found.append(border_at(axis, "low"))
        elif best[axis.name] == axis.values[-1]:
            found.append(border_at(axis, "high"))
    return tuple(found)


def border_at(axis: AxisInfo, end: End) -> Border:
    """Return an end of an axis that has two, with the values to go on with."""
    if end == "low" and axis.values[0] <= 0:
        return Border(axis.name, end, (), "", {})
    further, rule = _further(axis, end)
    return Border(axis.name, end, further, rule, _space(axis, further))


def _further(axis: AxisInfo, end: End) -> tuple[tuple[Scalar, ...], str]:
    """Return the next values in the spacing of the axis, and what that spacing is.

    Of an axis of values it is the spacing of the two at that end. Where all values are positive, steps that would leave
    the positive numbers become halves.
    """
    last, before = (axis.values[0], axis.values[1]) if end == "low" else (axis.values[-1], axis.values[-2])
    n_gaps = len(axis.values) - 1
    numbers = range(1, N_FURTHER + 1)
    is_positive = axis.values[0] > 0
    if axis.scale == "log" or (axis.scale == "values" and is_positive):
        ratio = last / before if axis.scale == "values" else (axis.values[-1] / axis.values[0]) ** (1 / n_gaps)
        if axis.scale == "log" and end == "low":
            ratio = 1 / ratio
        found, rule = [last * ratio**number for number in numbers], "same ratio"
    else:
        step = last - before if axis.scale == "values" else (axis.values[-1] - axis.values[0]) / n_gaps
        if axis.scale == "linear" and end == "low":
            step = -step
        found, rule = [last + step * number for number in numbers], "same step"
    if is_positive and min(found) <= 0:
        found, rule = [last / 2**number for number in numbers], "halves"
    if all(isinstance(value, int) for value in axis.values):
        whole = dict.fromkeys(round(value) for value in found)
        beyond = tuple(value for value in whole if (value < last if end == "low" else value > last))
        return tuple(value for value in beyond if value > 0 or not is_positive), rule
    return tuple(round_significant(value) for value in found), rule


def _space(axis: AxisInfo, further: Sequence[Scalar]) -> dict[str, Any]:
    """Return the axis with further values as a spec has it: an interval where that gives every old value again."""
    values = sorted((*axis.values, *further))
    if axis.scale != "values" and not all(isinstance(value, int) for value in values):
        interval = {axis.scale: [values[0], values[-1]], "n": len(values)}
        points = Axis.model_validate(interval).points()
        if set(axis.values) <= set(points):
            return interval
    return {"values": values}
