"""The table as text: readable, rounded by its intervals, and harmless whatever labels it holds."""

import csv
import io
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark.robustness import (
    RobustnessTable,
    TaskScoring,
    render_csv,
    render_html,
    render_json,
    render_latex,
    render_markdown,
    render_parquet,
    render_rich,
    robustness_table,
)
from benchmark.robustness.rendering import escaping
from benchmark.robustness.rendering.numbers import decimals_of, value_and_interval
from benchmark.robustness.rows import Measure
from tests.benchmark.robustness.runs import ACCURACY, TABLE_3_SCORING, frame_of, noisy_scores, table_3

NASTY = "=cmd|' /C calc'!A0 [red]\x1b[31m<b>|`$\\x_{1}%&#~^\n"


def text_of(table: RobustnessTable, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render_rich(table))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# the commands that a table may use: plain LaTeX, and booktabs
COMMANDS = {
    *("begin", "end", "centering", "footnotesize", "scriptsize", "setlength", "tabcolsep", "caption", "textbf"),
    *("toprule", "midrule", "bottomrule", "addlinespace", "noindent", "par", "geq", "circ"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
}


def check_latex(text: str) -> None:
    """Fail where LaTeX would: an environment or brace left open, an unknown command, a bare special character."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    open_environments: list[str] = []
    depth, in_math = 0, False
    parts = re.findall(r"\\(?:begin|end)\{\w+\*?\}|\\[a-zA-Z]+|\\.|[{}$&%#_^~]", "\n".join(lines))
    for part in parts:
        if match := re.fullmatch(r"\\(begin|end)\{(\w+)\}", part):
            if match[1] == "begin":
                open_environments.append(match[2])
            else:
                assert open_environments, part
                assert open_environments.pop() == match[2], part
        elif re.fullmatch(r"\\[a-zA-Z]+", part):
            assert part[1:] in COMMANDS, part
        elif part in "{}":
            depth += 1 if part == "{" else -1
            assert depth >= 0, "a brace is closed that is not open"
        elif part == "$":
            in_math = not in_math
        elif part == "^" and in_math:
            pass
        elif part == "&":
            assert open_environments[-1:] == ["tabular"], "an ampersand outside a table"
        else:
            assert len(part) == 2, f"a bare {part}"
    assert (open_environments, depth, in_math) == ([], 0, False)


@pytest.fixture(scope="module")
def table() -> RobustnessTable:
    return robustness_table(frame_of(noisy_scores(5)), ACCURACY, fingerprints=["abc"])


@pytest.fixture(scope="module")
def nasty() -> RobustnessTable:
    scoring = replace(ACCURACY, task=NASTY, metric="acc_%")
    return robustness_table(frame_of({NASTY: noisy_scores(2)["sam"]}, scoring=scoring), scoring)


class TestNumbers:
    @pytest.mark.parametrize(
        ("half", "decimals"),
        [
            (0.0123, 3),
            (0.036, 3),
            (0.5, 2),
            (0.0996, 3),
            (2.0, 1),
            (40.0, 0),
            (400.0, 0),
            (1e-9, 6),
            (0.0, 3),
            (1.0, 1),
        ],
    )
    def test_decimals(self, half: float, decimals: int) -> None:
        expected = 3 if half <= 1e-9 else decimals
        assert decimals_of(half, otherwise=3) == expected

    @pytest.mark.parametrize(
        ("name", "measure", "expected"),
        [
            ("grid_mean", Measure(0.71234, low=0.69, high=0.735), ("0.712", "[0.690, 0.735]")),
            ("grid_mean", Measure(0.71234, low=0.31, high=1.11), ("0.71", "[0.31, 1.11]")),
            ("grid_mean", Measure(0.71234), ("0.712", None)),
            ("grid_mean", Measure(-0.0001), ("0.000", None)),
            ("good_share", Measure(1 / 12), ("8.3%", None)),
            ("good_share", Measure(0.5, low=0.3, high=0.7), ("50%", "[30, 70]")),
            ("rho_width_max", Measure(1.25, flags=("censored_high",)), ("≥ 1.25", None)),
            ("gradient_evaluations", Measure(1360.0), ("1360", None)),
            ("best", Measure(reason="no"), ("-", None)),
        ],
    )
    def test_value_and_interval(self, name: str, measure: Measure, expected: tuple[str, str | None]) -> None:
        assert value_and_interval(name, measure) == expected


class TestTerminal:
    def test_it_fits_into_a_hundred_columns(self, table: RobustnessTable) -> None:
        for n_seeds in (1, 5, 10):
            lines = text_of(robustness_table(frame_of(noisy_scores(n_seeds)), ACCURACY)).splitlines()
            assert max(map(len, lines)) <= 100
        text = text_of(table)
        assert "…" not in text
        for word in ("gd", "sam", "msam", "best", "grid mean", "good share", "diverged / ", "rho width"):
            assert word in text, word

    def test_it_states_how_it_was_made(self, table: RobustnessTable) -> None:
        text = re.sub(r"\s+", " ", text_of(table))
        for part in (
            "5 seeds; equal steps; grid lr 0.01 to 1 (3 log) x rho 0.01 to 10 (4 log); picked by validation, reported",
            f"floor 0.1, y_ref {table.tasks[0].y_ref:.4g} (the best validation mean of this table).",
            "within 0.05 (raw) of y_ref.",
            "A diverged run scores the floor; a collapsed run keeps its score and counts as failed; one that timed out",
            "Intervals: 95% t-interval over seeds; an interval needs 10 seeds, there are 5; no interval for shares of",
            "* better than each other ranked row, each measure by itself: the intervals of the paired differences",
            "Fingerprint abc.",
            "gd has no rho and is constant along it",
        ):
            assert part in text, part

    def test_long_labels_fold(self) -> None:
        scores = noisy_scores(2)["sam"]
        text = text_of(robustness_table(frame_of({"a-very-long-label-" * 6: scores}), ACCURACY))
        assert max(map(len, text.splitlines())) <= 100

    def test_it_says_incomplete_and_which(self) -> None:
        text = re.sub(r"\s+", " ", text_of(robustness_table(frame_of(noisy_scores(2)).drop(index=20), ACCURACY)))
        assert "Incomplete: 1 cells of the table are missing, first sam, lr 0.1, rho 10, seed 0 (missing)." in text
        assert "sam is not ranked: 1 of 24 cells are missing." in text

    def test_labels_are_no_markup_and_steer_no_terminal(self, nasty: RobustnessTable) -> None:
        text = text_of(nasty)
        assert "\x1b" not in text
        assert "[red]" in re.sub(r"\s+", "", text)


class TestMarkdown:
    def test_tables_are_regular(self, table: RobustnessTable, nasty: RobustnessTable) -> None:
        for each in (table, nasty):
            blocks = [block for block in render_markdown(each).split("\n\n") if block.startswith("|")]
            assert blocks
            for block in blocks:
                counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
                assert len(counts) == 1, block

    def test_html_is_escaped(self, nasty: RobustnessTable) -> None:
        assert not re.search(r"(?<!\\)<b", render_markdown(nasty))

    @pytest.mark.parametrize(
        ("text", "escaped"),
        [
            ("a|b", r"a\|b"),
            ("# x", "&#35; x"),
            ("1. x", "&#49;. x"),
            ("*a*_b_", r"\*a\*\_b\_"),
            ("digits-mlp", "digits-mlp"),
        ],
    )
    def test_escaping(self, text: str, escaped: str) -> None:
        assert escaping.markdown(text) == escaped


class TestLatex:
    def test_structure(self, table: RobustnessTable, nasty: RobustnessTable) -> None:
        for each in (table, nasty):
            text = render_latex(each)
            for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
                assert text.count(rule) == text.count(r"\begin{tabular}") == text.count(r"\end{table}")
            bare = re.sub(r"\\[{}\\&%]", "", text)
            assert bare.count("{") == bare.count("}")
            for columns, body in re.findall(r"\\begin\{tabular\}\{l(r+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
                rows = [line for line in body.splitlines() if line.endswith(r"\\")]
                assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns)}

    def test_it_is_balanced(self, table: RobustnessTable, nasty: RobustnessTable) -> None:
        for each in (table, nasty):
            check_latex(render_latex(each))

    @pytest.mark.parametrize(
        "broken",
        [r"\begin{table}", r"\begin{a}\begin{b}\end{a}\end{b}", "{", "}", "50%", "a_b", "$x", "x & y", "~", r"\foo"],
    )
    def test_what_does_not_compile_is_seen(self, broken: str) -> None:
        with pytest.raises(AssertionError):
            check_latex(broken)

    def test_intervals_and_raw_scores_stand_below_so_that_columns_fit_on_a_page(self) -> None:
        table = robustness_table(frame_of(noisy_scores(10)), ACCURACY)
        lines = render_latex(table).splitlines()
        cells = [cell.strip() for line in lines if line.endswith(r"\\") for cell in line[:-2].split("&")]
        texts = [re.sub(r"\\(scriptsize|textbf) ?|[{}$]", "", cell) for cell in cells]
        assert max(map(len, texts)) <= len("[0.1234, 0.4567]")
        assert any(text.startswith("[") for text in texts)
        assert any(text.startswith("(") for text in texts)
        upper, lower = (line.split(" & ")[-1] for line in lines[lines.index(r"\toprule") + 1 :][:2])
        assert (upper, lower) == (r"diverged / \\", r"collapsed \\")

    @pytest.mark.parametrize("label", ["[2cm]", "*", "[red]"])
    def test_a_label_is_no_option_of_the_line_above(self, label: str) -> None:
        text = render_latex(robustness_table(frame_of({label: noisy_scores(2)["sam"]}), ACCURACY))
        lines = text.splitlines()
        starts = [below for above, below in itertools.pairwise(lines) if above.endswith((r"\\", r"\midrule"))]
        assert not [line for line in starts if line.startswith(("[", "*"))]
        assert any(line.startswith("{}" + label) for line in lines)

    def test_escaping(self) -> None:
        assert escaping.latex(r"a_b 50% {x} \y ~") == r"a\_b 50\% \{x\} \textbackslash{}y \textasciitilde{}"


class TestCsv:
    def test_it_reads_back_in_full(self, table: RobustnessTable) -> None:
        frame = pd.read_csv(io.StringIO(render_csv(table)))
        row = frame.query("optimizer == 'sam' and measure == 'grid_mean'").iloc[0]
        measure = table.row("digits", "sam").measures["grid_mean"]
        assert (row["value"], row["low"], row["high"]) == (measure.value, measure.low, measure.high)
        assert (row["metric"], row["n_seeds"], row["tolerance"]) == ("accuracy", 5, 0.05)
        assert row["grid"] == "grid lr 0.01 to 1 (3 log) x rho 0.01 to 10 (4 log)"
        assert row["failures"].startswith("A diverged run scores the floor; a collapsed run keeps its score")
        assert row["version"] == table.version
        assert len(frame) == 3 * len(table.rows[0].measures)

    def test_formulas_are_defused(self, nasty: RobustnessTable) -> None:
        rows = list(csv.reader(io.StringIO(render_csv(nasty))))
        assert {row[1][:2] for row in rows[1:]} == {"'="}
        assert len({len(row) for row in rows}) == 1

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\0"])
    def test_every_start_of_a_formula(self, start: str) -> None:
        assert escaping.csv_text(f"{start}1") == f"'{start}1"
        assert escaping.csv_text(f"a{start}") == f"a{start}"


class TestLongForm:
    def test_parquet_reads_back_with_its_types(self, table: RobustnessTable, nasty: RobustnessTable) -> None:
        for each in (table, nasty):
            frame = pd.read_parquet(io.BytesIO(render_parquet(each)))
            pd.testing.assert_frame_equal(frame, each.to_pandas())
            assert len(frame) == len(each.rows) * len(each.rows[0].measures)
        assert set(frame["task"]) == {NASTY}, "nothing is put before a text where no spreadsheet reads it"

    def test_csv_reads_back_to_the_same_frame(self, table: RobustnessTable) -> None:
        expected = table.to_pandas()
        back = pd.read_csv(io.StringIO(render_csv(table)), keep_default_na=False, na_values=[""])
        for name in expected:
            assert back[name].isna().tolist() == expected[name].replace("", None).isna().tolist(), name
            known = expected[name].replace("", None).notna()
            assert back[name][known].tolist() == expected[name][known].tolist(), name

    def test_a_measure_is_a_row(self, table: RobustnessTable) -> None:
        frame = table.to_pandas()
        values = [measure.value for row in table.rows for measure in row.measures.values()]
        assert [None if np.isnan(value) else value for value in frame["value"]] == values
        assert frame["rank"].dtype == "Int64"
        assert set(frame["view"]) == {"equal_steps"}


class TestHtml:
    def test_tables_are_regular_and_texts_harmless(self, table: RobustnessTable, nasty: RobustnessTable) -> None:
        for each in (table, nasty):
            text = render_html(each)
            for block in re.findall(r"<table>.*?</table>", text, flags=re.DOTALL):
                rows = re.findall(r"<tr>(.*?)</tr>", block)
                assert len({len(re.findall(r"<t[hd]>", row)) for row in rows}) == 1
            tags = set(re.findall(r"<(/?\w+)", text))
            assert {tag.strip("/") for tag in tags} <= {
                "table",
                "caption",
                "tr",
                "th",
                "td",
                "b",
                "br",
                "small",
                "ul",
                "li",
                "p",
            }
        assert "&lt;b&gt;" in render_html(nasty)

    def test_a_notebook_shows_it(self, table: RobustnessTable) -> None:
        assert table._repr_html_() == render_html(table)


def test_a_table_stands_alone(table: RobustnessTable) -> None:
    """Whatever a paper's reader must know is in every form for people, and in the document."""
    noted = replace(table, notes={"digits": ("Task digits version 7; epochs 3.",)})
    for text in (text_of(noted), render_markdown(noted), render_latex(noted), render_html(noted)):
        words = re.sub(r"\s+", " ", text.replace("\\", ""))
        for part in (
            "5 seeds",
            "equal steps",
            "lr 0.01 to 1 (3 log) x rho 0.01 to 10 (4 log)",
            "0.05 (raw)",
            "floor 0.1",
            "the best validation mean of this table",
            "A diverged run scores the floor",
            "95% t-interval over seeds",
            f"Rhobust {table.version}.",
            "Task digits version 7; epochs 3.",
        ):
            assert part in words.replace("{}", "").replace("_", " "), part
    assert RobustnessTable.from_dict(json.loads(json.dumps(noted.to_dict()))).notes == noted.notes


def test_json_is_the_document(table: RobustnessTable) -> None:
    assert json.loads(render_json(table)) == json.loads(json.dumps(table.to_dict()))


def test_several_tasks_and_phi_are_printed() -> None:
    scorings = [replace(ACCURACY, task=task) for task in ("one", "two", "three")]
    frames = [frame_of({"sam": noisy_scores(2, seed)["sam"]}, scoring=scoring) for seed, scoring in enumerate(scorings)]
    table = robustness_table(pd.concat(frames), scorings)
    for text in (text_of(table), render_markdown(table), render_latex(table)):
        assert "sensitivity across tasks (Phi)" in text
        assert all(task in text for task in ("one", "two", "three"))


def test_a_task_without_split_and_a_given_reference_are_told() -> None:
    text = render_markdown(robustness_table(table_3(), TABLE_3_SCORING, y_ref={"clip": 0.45}))
    assert "no validation split: one score picks and reports" in text
    assert "0.45 (given)" in text
    assert "best on the border of its grid: extend rho upward: add 0.05, 0.06 (same step) by rho: " in text


def test_paired_differences_are_told(table: RobustnessTable) -> None:
    first = table.differences[0]
    words = " ".join(render_markdown(table).split())
    assert "Differences in the grid mean, paired by seed, p by paired t-test over seeds corrected by Holm" in words
    assert f"{first.first} - {first.second} +0.0" in words.replace("\\", "")


def test_what_is_not_decided_says_how_many_seeds_would_do() -> None:
    table = robustness_table(frame_of(noisy_scores(3, noise=0.1)), ACCURACY)
    (one,) = (one for one in table.differences if one.measure == "grid_mean" and not one.is_clear)
    words = " ".join(render_markdown(table).split())
    assert one.n_seeds_needed is not None
    assert "Not decided; so many seeds would see a difference of the tolerance with a power of 80%" in words
    assert f"{one.first} - {one.second} {one.n_seeds_needed}." in words.replace("\\", "")


def test_many_pairs_are_told_of_neighbours_only() -> None:
    rng = np.random.default_rng(0)
    scores = {name: rng.uniform(0.4, 0.9, (3, 4, 3)) for name in "abcde"}
    table = robustness_table(frame_of(scores), ACCURACY)
    words = " ".join(render_markdown(table).split()).replace("\\", "")
    order = [row.optimizer for row in table.rows]
    assert "corrected by Holm over 10 pairs" in words
    assert f"{order[0]} - {order[1]} " in words
    assert f"{order[0]} - {order[2]} " not in words


def test_ranks_are_told_with_those_that_are_not_ruled_out() -> None:
    table = robustness_table(frame_of(noisy_scores(3, noise=0.1)), ACCURACY)
    for text in (render_markdown(table), render_latex(table), text_of(table)):
        assert "rank" in text
        assert "1 [1-2]" in text
    alone = robustness_table(frame_of({"sam": noisy_scores(3)["sam"]}), ACCURACY)
    assert "rank" not in render_markdown(alone).split("Scores are")[0]


def test_a_mixed_table_says_so() -> None:
    frame = frame_of(noisy_scores(2))
    mixed = robustness_table(frame, ACCURACY, fingerprints=["abc", "def"], mixed=True)
    assert "Mixed: runs of one kind were trained under different fingerprints." in render_markdown(mixed)
    plain = render_markdown(robustness_table(frame, ACCURACY, fingerprints=["abc", "def"]))
    assert "Fingerprints abc, def." in plain
    assert "Mixed" not in plain


def test_columns_that_nobody_has_are_left_out(table: RobustnessTable) -> None:
    assert "gradient norm" not in render_markdown(table)
    scoring = TaskScoring("digits", "accuracy", "maximize", 0.05, 0.1)
    empty = robustness_table(frame_of({"sam": np.full((3, 4, 1), np.nan)}), scoring)
    assert "raw 0.1" in text_of(empty)


def test_sharpness_has_a_panel_where_it_was_measured() -> None:
    """Medians over the completed runs, in a panel of its own; no column where nothing was measured."""
    runs = pd.DataFrame(
        {
            "optimizer": ["gd"] * 3,
            "lr": [0.1, 0.2, 0.4],
            "seed": 0,
            "accuracy": [0.5, 0.6, 0.7],
            "sharpness_lambda_max": [1.5, 4.25, np.nan],
        }
    )
    table = robustness_table(runs, TaskScoring("mine", "accuracy", "maximize", tolerance=0.01, floor=0.1))
    measures = table.rows[0].measures
    assert measures["sharpness_lambda_max"].value == 2.875
    assert measures["sharpness_trace"].reason == "no completed run recorded it"
    text = render_markdown(table)
    assert "lambda max" in text
    assert "2.875" in text
    assert "SAM sharpness" not in text
