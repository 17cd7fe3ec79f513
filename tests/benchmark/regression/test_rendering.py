"""A report says what changed first, is plain Markdown whatever the labels are, and fits a comment of GitHub."""

from dataclasses import replace
from typing import Any

import pytest

from benchmark.regression import Change, Comparison, Limits, Pairs, Verdict, compare, render_report
from benchmark.regression.rendering import COLUMNS, MAX_CHARACTERS, changed, row_of, summary, title_of
from tests.benchmark.regression.simulated import TASK, side, spec

MAX_COMMENT = 65_536
HARMLESS = Limits(1.0, 0.05, 1, tuple([1.0] * 19))


def change(verdict: Verdict = Verdict.SAME, **values: Any) -> Change:
    own: dict[str, Any] = {
        "task": TASK,
        "optimizer": "sam",
        "name": "grid_mean",
        "before": 0.9,
        "after": 0.8,
        "difference": -0.1,
    }
    own |= {"low": -0.15, "high": -0.05, "level": 0.95, "margin": 0.01}
    return replace(Change("", "", ""), **{**own, **values}, verdict=verdict)


def comparison(*changes: Change) -> Comparison:
    return Comparison((Pairs(TASK, "sam", 90, 12, -0.1, 0.75),), changes, 10, is_calibrated=True, correction="a word")


def report(of: Comparison) -> str:
    return render_report(of, baseline="main (job 1)", candidate="pr (job 2)")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_worse_optimizer_is_named_first() -> None:
    before = side(spec())
    found = compare(before, side(spec(), shift=-0.1), limits=HARMLESS)
    text = report(found)
    lines = text.splitlines()
    assert lines[0] == "### Rhobust: regressed"
    assert lines[2].startswith(f"- **msam** on {TASK} is harder to tune: best, grid mean, IQM")
    assert "pr (job 2) against main (job 1), paired by configuration and seed." in text
    head, _, rest = text.partition("<details>")
    rows = [cells(line) for line in head.splitlines() if line.startswith("| ")]
    assert rows[0] == list(COLUMNS)
    verdicts = [row[0] for row in rows[2:]]
    assert verdicts.count("regressed") == len(found.with_verdict(Verdict.REGRESSED)) > 3
    assert verdicts == sorted(verdicts)  # regressed, then undecided
    assert {row[2] for row in rows[2:]} == {"msam"}
    assert "| the same | digits-mlp | sam |" in rest
    assert "Not calibrated" not in text
    assert text.count("<details>") == text.count("</details>") == 2


def test_nothing_changed_has_no_table_above_the_fold() -> None:
    before = side(spec())
    text = report(compare(before, before))
    assert text.startswith("### Rhobust: nothing changed\n")
    assert "|" not in text.partition("<details>")[0]
    assert "*Not calibrated:*" in text
    assert "| digits-mlp | msam | 90 | 90 | +0 | 50% |" in text


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (change(), ("0.900", "0.800", "-0.100 [-0.150, -0.050]", "0.01", "")),
        (change(name="good_share", margin=0.125), ("90.0%", "80.0%", "-10.0 [-15.0, -5.0]%", "12.5%", "")),
        (
            change(name="rho_width_max"),
            ("0.90 decades", "0.80 decades", "-0.100 [-0.150, -0.050] decades", "0.01 decades", ""),
        ),
        (
            change(name="divergence_edge", before=-0.5, after=-1.0, difference=-0.5, low=None, high=None, margin=None),
            ("0.3162", "0.1", "-0.50 decades", "-", ""),
        ),
        (
            change(Verdict.UNDECIDED, n_seeds_needed=14),
            ("0.900", "0.800", "-0.100 [-0.150, -0.050]", "0.01", "14 seeds would decide"),
        ),
        (
            Change(TASK, "sam", "p10", reason="an interval needs 10 seeds, there are 3"),
            ("-", "-", "-", "-", "an interval needs 10 seeds, there are 3"),
        ),
    ],
)
def test_a_row_has_the_unit_of_its_measure(one: Change, shown: tuple[str, ...]) -> None:
    assert row_of(one)[4:] == shown


def test_changes_come_worst_first() -> None:
    found = comparison(change(Verdict.IMPROVED), change(), change(Verdict.UNDECIDED), change(Verdict.REGRESSED))
    assert [one.verdict for one in changed(found)] == [Verdict.REGRESSED, Verdict.UNDECIDED, Verdict.IMPROVED]
    assert summary(found) == "4 measures over 10 seeds: 1 regressed, 1 undecided, 1 improved, 1 the same."


def test_labels_do_nothing_in_markdown() -> None:
    evil = "a|b<script>`*_x_*`\n# [c](http://d)"
    text = report(comparison(change(Verdict.REGRESSED, optimizer=evil, task=evil)))
    rows = [line for line in text.splitlines() if line.startswith("| regressed")]
    assert len(rows) == 2
    assert "<script>" not in text
    assert r"a\|b\<script\>\`\*\_x\_\*\` # \[c\](http://d)" in rows[0]
    told = render_report(comparison(), baseline="<b>", candidate="*", notes=["<i>"])
    assert "\\<b\\>" in told
    assert "**Note:** \\<i\\>." in told


@pytest.mark.parametrize("verdict", [Verdict.REGRESSED, Verdict.SAME])
def test_a_report_fits_a_comment_whatever_is_compared(verdict: Verdict) -> None:
    label = "_" * 200
    many = [change(verdict, optimizer=f"{number}{label}", task=label, reason="x" * 300) for number in range(2_000)]
    found = replace(comparison(*many), pairs=tuple(Pairs(label, f"{n}{label}", 1, 1, 0.0, 0.5) for n in range(2_000)))
    text = report(found)
    assert len(text) <= MAX_CHARACTERS < MAX_COMMENT
    assert "more, for which there is no room." in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert len(text) > MAX_CHARACTERS // 2  # it says what there is room for


def test_every_measure_of_a_comparison_has_a_title() -> None:
    before = side(spec())
    assert all(title_of(one.name) for one in compare(before, before).measures)
