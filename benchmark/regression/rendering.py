"""A comparison for people: rows of words, and a Markdown report that fits a comment on a pull request."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from benchmark.regression.changes import Change
from benchmark.regression.comparison import WORST_FIRST, Comparison
from benchmark.regression.costs import CELL_BYTES, CELL_S
from benchmark.regression.measuring import EDGE, PLACES
from benchmark.regression.verdicts import Verdict
from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.rendering.escaping import markdown
from benchmark.robustness.rendering.numbers import DECIMALS, UNDEFINED, decimals_of, plain

MAX_CHARACTERS = 60_000  # GitHub takes 65,536 in a comment
MAX_CHANGED = 30
MAX_NAMED = 5
ORDER = (*WORST_FIRST, Verdict.NOT_TESTED)
USERS_WORDS = frozenset({"task", "optimizer", "note"})
COLUMNS = ("verdict", "task", "optimizer", "measure", "before", "after", "change", "margin", "note")
WORDS = {
    Verdict.REGRESSED: "regressed",
    Verdict.UNDECIDED: "undecided",
    Verdict.IMPROVED: "improved",
    Verdict.SAME: "the same",
    Verdict.NOT_TESTED: "not tested",
}
HEADLINES = WORDS | {Verdict.SAME: "nothing changed", Verdict.NOT_TESTED: "nothing could be tested"}
_COSTS = {CELL_S: ("time a cell", 1.0, " s"), CELL_BYTES: ("memory a cell", 1e-6, " MB")}
_DECADES = {EDGE: "divergence edge", **{name: f"best {axis}" for name, axis in PLACES.items()}}  # values are log10


def title_of(name: str) -> str:
    """Return what people call a measure of a comparison."""
    if name in _COSTS:
        return _COSTS[name][0]
    return _DECADES.get(name) or BY_NAME[name].title


def changed(comparison: Comparison) -> list[Change]:
    """Return what is not the same: what regressed, then what is undecided, then what improved."""
    return [change for verdict in ORDER[:3] for change in comparison.with_verdict(verdict)]


def row_of(change: Change) -> tuple[str, ...]:
    """Return the texts of a change, one a column of `COLUMNS`."""
    factor, unit, _ = _form(change.name)
    margin = UNDEFINED if change.margin is None else f"{plain(factor * change.margin)}{unit}"
    ends = (_value(change, change.before), _value(change, change.after))
    told = (WORDS[change.verdict], change.task, change.optimizer, title_of(change.name))
    return (*told, *ends, _difference(change), margin, _note(change))


def summary(comparison: Comparison) -> str:
    """Return in a sentence how many measures are what."""
    counts = Counter(change.verdict for change in comparison.measures)
    told = ", ".join(f"{counts[verdict]} {WORDS[verdict]}" for verdict in ORDER if counts[verdict])
    return f"{len(comparison.measures)} measures over {comparison.n_seeds} seeds: {told}."


def render_report(comparison: Comparison, *, baseline: str, candidate: str, notes: Sequence[str] = ()) -> str:
    """Return a comparison as Markdown, with texts of users escaped: what changed first, all else folded away.

    Args:
        comparison: what changed.
        baseline: what was, for people.
        candidate: what is, for people.
        notes: what a reader must know of the two.

    Returns:
        At most 60,000 characters, however much is compared, where names and notes are of ordinary length; what has no
        room is counted.
    """
    found = changed(comparison)
    head = [
        f"### Rhobust: {HEADLINES[comparison.verdict]}",
        *([_named(comparison)] if comparison.with_verdict(Verdict.REGRESSED) else []),
        f"{markdown(candidate)} against {markdown(baseline)}, paired by configuration and seed. {summary(comparison)}",
        *(f"**Note:** {markdown(note)}." for note in notes),
    ]
    if not comparison.is_calibrated:
        head.append("*Not calibrated:* margins are tolerances, not what harmless numerical changes do.")
    blocks = ["\n\n".join(head)]
    room = MAX_CHARACTERS - len(blocks[0])
    if found:
        table = _table(COLUMNS, map(row_of, found[:MAX_CHANGED]), room // 2)
        more = [f"... and {len(found) - MAX_CHANGED} more below."] if len(found) > MAX_CHANGED else []
        blocks += ["\n\n".join([table, *more])]
    method = _folded("Pairs and method", "\n\n".join([_pairs(comparison, room // 8), _method(comparison)]))
    room = MAX_CHARACTERS - sum(map(len, [*blocks, method])) - 200
    ordered = [change for verdict in ORDER for change in comparison.with_verdict(verdict)]
    every = _folded(f"All {len(ordered)} measures", _table(COLUMNS, map(row_of, ordered), room))
    return "\n\n".join([*blocks, every, method]) + "\n"


def _named(comparison: Comparison) -> str:
    """Return what regressed, optimizer by optimizer."""
    by_row: dict[tuple[str, str], list[str]] = {}
    for change in comparison.with_verdict(Verdict.REGRESSED):
        by_row.setdefault((change.task, change.optimizer), []).append(title_of(change.name))
    lines = [
        f"- **{markdown(optimizer)}** on {markdown(task)} is harder to tune: {', '.join(titles)}"
        for (task, optimizer), titles in by_row.items()
    ]
    more = [f"- ... and {len(lines) - MAX_NAMED} more"] if len(lines) > MAX_NAMED else []
    return "\n".join([*lines[:MAX_NAMED], *more])


def _pairs(comparison: Comparison, room: int) -> str:
    columns = ("task", "optimizer", "pairs", "identical", "mean difference", "candidate worse in")
    rows = (
        (
            one.task,
            one.optimizer,
            str(one.n),
            str(one.n_identical),
            UNDEFINED if one.mean_difference is None else f"{one.mean_difference:+.3g}",
            UNDEFINED if one.worse_share is None else f"{100 * one.worse_share:.0f}%",
        )
        for one in comparison.pairs
    )
    return _table(columns, rows, room)


def _method(comparison: Comparison) -> str:
    levels = sorted({change.level for change in comparison.measures if change.verdict in WORST_FIRST and change.level})
    lines = [
        "scores are normalised: 0 is the floor of the task, 1 the reference of the baseline",
        f"correction for many measures: {comparison.correction}",
        *([f"intervals of {', '.join(f'{100 * level:.4g}%' for level in levels)}"] if levels else []),
        "regressed: the whole interval of the worsening lies beyond the margin; undecided: it holds an end of it",
    ]
    return "\n".join(f"- {markdown(line)}." for line in lines)


def _form(name: str) -> tuple[float, str, int]:
    """Return factor, unit and decimals of a difference of a measure."""
    if name in _COSTS:
        return *_COSTS[name][1:], DECIMALS["score"]
    unit = "decades" if name in _DECADES else BY_NAME[name].unit
    factor, sign = {"share": (100.0, "%"), "decades": (1.0, " decades")}.get(unit, (1.0, ""))
    return factor, sign, DECIMALS.get(unit, DECIMALS["score"])


def _value(change: Change, value: float | None) -> str:
    if value is None:
        return UNDEFINED
    if change.name in _DECADES:  # of these a reader wants the learning rate itself
        return plain(10**value)
    factor, unit, decimals = _form(change.name)
    return f"{plain(factor * value)}{unit}" if change.name in _COSTS else f"{factor * value:.{decimals}f}{unit}"


def _difference(change: Change) -> str:
    if change.difference is None:
        return UNDEFINED
    if change.name in _COSTS and change.before:
        return f"{100 * change.difference / change.before:+.0f}%"
    factor, unit, decimals = _form(change.name)
    if change.low is None or change.high is None:
        return f"{factor * change.difference:+.{decimals}f}{unit}"
    shown = decimals_of(factor * (change.high - change.low) / 2, decimals)
    ends = f"[{factor * change.low:.{shown}f}, {factor * change.high:.{shown}f}]"
    return f"{factor * change.difference:+.{shown}f} {ends}{unit}"


def _note(change: Change) -> str:
    if change.n_seeds_needed is not None:
        return f"{change.n_seeds_needed} seeds would decide"
    return change.reason or ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], room: int) -> str:
    """Return as many rows as there is room for, and how many there are beside them."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    room -= sum(len(line) + 1 for line in lines)
    left_out = 0
    for line in _lines(columns, rows):
        if left_out or len(line) + 1 > room:
            left_out += 1
            continue
        lines.append(line)
        room -= len(line) + 1
    table = "\n".join(lines)
    return f"{table}\n\n... and {left_out:,} more, for which there is no room." if left_out else table


def _lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        texts = [
            markdown(text) if name in USERS_WORDS else text for name, text in zip(columns, row, strict=True)
        ]  # a number that begins with a sign is none to escape
        yield "| " + " | ".join(texts) + " |"


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"
