"""Performance profiles as a figure of lines, a panel a task."""

from collections.abc import Sequence

from benchmark.errors import TableError
from benchmark.figures.lines import Line, LineFigure, LinePanel, bands_note
from benchmark.figures.styles import numbered
from benchmark.robustness.intervals import MIN_BOOTSTRAP_SEEDS
from benchmark.robustness.profiles import Profile


def prepare_profiles(profiles: Sequence[Profile], rows: str = "") -> LineFigure:
    """Return what to draw of profiles: the share of runs that reach a normalised score, a line an optimizer.

    Args:
        profiles: of one or several tasks.
        rows: what is to be said of single lines.

    Raises:
        TableError: where there is no profile.
    """
    if not profiles:
        raise TableError("a figure of profiles needs a complete configuration, but no optimizer has one.")
    tasks = dict.fromkeys(profile.task for profile in profiles)
    styles = numbered(one.optimizer for one in profiles)
    panels = tuple(
        LinePanel(
            title=task,
            x_title="normalised score tau",
            y_title="share of runs with z >= tau",
            lines=tuple(_line(one, styles[one.optimizer]) for one in profiles if one.task == task),
        )
        for task in tasks
    )
    bands = (None if one.band is None else (one.band.level, one.band.method) for one in profiles)
    note = " ".join(filter(None, (bands_note(bands, MIN_BOOTSTRAP_SEEDS), rows)))
    return LineFigure("Performance profiles", panels, note)


def _line(profile: Profile, style: int) -> Line:
    band = profile.band
    low, high = (None, None) if band is None else (band.low, band.high)
    return Line(profile.optimizer, style, profile.levels, profile.share, low, high, has_points=False)
