"""One table over several jobs: which rows it has, which cells and seeds count, and when there is none."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmark import Outcome, Spec, TableError
from benchmark.robustness.rendering import render_markdown
from benchmark.several import Source, joined, several_table
from benchmark.spec import Cell
from benchmark.tables import spec_table
from tests.service.filling import completed, failed, records_by_key, small_spec


def source(name: str, outcome_of: Callable[[Cell], Outcome] = completed, **changes: Any) -> Source:
    spec = Spec.from_mapping(small_spec(**changes))
    return Source(name, spec, records_by_key(spec, outcome_of))


def only(*names: str) -> list[dict[str, Any]]:
    return [one for one in small_spec()["optimizers"] if one["name"] in names]


def worse(cell: Cell) -> Outcome:
    outcome = completed(cell)
    return replace(outcome, metrics={name: value - 0.1 for name, value in outcome.metrics.items()})


def test_a_table_of_one_job_is_its_own() -> None:
    one = source("a")
    assert several_table([one]).to_dict() == spec_table(one.spec, one.records).to_dict()


def test_jobs_that_share_out_the_optimizers_give_the_table_of_one_that_has_them_all() -> None:
    parts = [source("a", optimizers=only("gd", "sam")), source("b", optimizers=only("gd", "msam"))]
    whole = source("whole")
    table, expected = several_table(parts), spec_table(whole.spec, whole.records)
    assert table.complete
    assert [row.to_dict() for row in table.rows] == [row.to_dict() for row in expected.rows]
    assert [one.to_dict() for one in table.differences] == [one.to_dict() for one in expected.differences]
    assert "Jobs: a, b." in table.notes["digits-mlp"]


def test_jobs_that_share_out_the_seeds_give_the_table_of_one_that_has_them_all() -> None:
    parts = [source("a", seeds={"count": 2}), source("b", seeds={"count": 3, "base": 2})]
    whole = source("whole", seeds={"count": 5})
    table = several_table(parts)
    assert table.complete
    assert [row.to_dict() for row in table.rows] == [
        row.to_dict() for row in spec_table(whole.spec, whole.records).rows
    ]


def test_only_seeds_that_all_rows_have_count() -> None:
    parts = [source("a", optimizers=only("sam"), seeds={"count": 4}), source("b", optimizers=only("msam"))]
    table = several_table(parts)
    assert table.tasks[0].n_seeds == 2
    assert table.complete
    assert all(row.ranked for row in table.rows)
    assert any("left out: 2, 3" in note for note in table.notes["digits-mlp"])
    alone = spec_table(parts[1].spec, parts[1].records).row("digits-mlp", "msam")
    assert table.row("digits-mlp", "msam").measures["grid_mean"].raw == alone.measures["grid_mean"].raw


def test_no_common_seed_is_an_error_that_says_who_has_which() -> None:
    parts = [
        source("a", optimizers=only("sam"), gd=False),
        source("b", optimizers=only("msam"), gd=False, seeds={"count": 3, "base": 5}),
    ]
    with pytest.raises(TableError, match=r"a seed in common, but on digits-mlp sam has 0, 1, msam has 5 to 7"):
        several_table(parts)


def test_a_label_with_another_setting_or_grid_is_a_row_for_each_job() -> None:
    other_base = source("b", optimizers=only("sam"), base={"name": "sgd", "momentum": 0.5})
    other_grid = source("c", optimizers=[{"name": "sam", "space": {"rho": {"values": [0.1, 1.0, 2.0]}}}])
    table = several_table([source("a", optimizers=only("sam")), other_base, other_grid])
    assert {row.optimizer for row in table.rows} == {"gd@a", "gd@b", "sam@a", "sam@b", "sam@c"}
    text = render_markdown(table)
    assert "other values of rho than the common grid" in text
    assert not table.row("digits-mlp", "sam@c").ranked
    assert table.row("digits-mlp", "sam@b").ranked


def test_what_differs_between_the_jobs_is_told_of_each() -> None:
    half = source("b", optimizers=only("sam"), base={"name": "sgd", "momentum": 0.5})
    table = several_table([source("a", optimizers=only("sam")), half, source("c", optimizers=only("sam"))])
    first, second, jobs, gd, sam = table.notes["digits-mlp"][:5]
    assert first.startswith("In a, c: Task digits-mlp version 1, hidden 8; epochs 1")
    assert second.startswith("In b: Task digits-mlp")
    assert second.endswith("base sgd, momentum 0.5.")
    assert (jobs, gd, sam) == ("Jobs: a, b, c.", "gd@a is of a, c.", "sam@a is of a, c.")


def test_a_cell_of_two_jobs_counts_once_and_the_table_says_which() -> None:
    first, second = source("a"), source("b", worse)
    table = several_table([first, second])
    assert [row.to_dict() for row in table.rows] == [
        row.to_dict() for row in spec_table(first.spec, first.records).rows
    ]
    assert any(
        note.startswith("20 cells are recorded in several jobs") and "20 from a" in note
        for note in table.notes["digits-mlp"]
    )
    swapped = several_table([second, first])
    assert math.isclose(
        swapped.row("digits-mlp", "sam").measures["grid_mean"].raw or 0,
        (table.row("digits-mlp", "sam").measures["grid_mean"].raw or 0) - 0.1,
    )


def test_a_cell_that_failed_in_one_job_is_taken_from_the_other() -> None:
    first = source("a", lambda cell: failed(cell) if cell.optimizer == "gd" else completed(cell))
    table = several_table([first, source("b", worse)])
    assert table.complete
    assert any("4 from b" in note and "16 from a" in note for note in table.notes["digits-mlp"])


def test_a_record_that_both_jobs_use_is_no_matter() -> None:
    one = source("a")
    table = several_table([one, Source("b", one.spec, one.records)])
    assert not any("recorded in several jobs" in note for note in table.notes["digits-mlp"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": [{"name": "digits-mlp", "params": {"hidden": 16}}]}, "params.hidden is 8 in a and 16 in b"),
        ({"budget": {"epochs": 2}}, "budget.epochs is 1 in a and 2 in b"),
        ({"metric": {"name": "accuracy", "tolerance": 0.5}}, "tolerance is 0.01 in a and 0.5 in b"),
        ({"metric": {"name": "loss"}}, "metric is 'accuracy' in a and 'loss' in b"),
    ],
)
def test_a_task_that_is_not_the_same_is_an_error_that_says_what_differs(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        several_table([source("a"), source("b", **changes)])


def test_tasks_under_other_labels_stand_beside_each_other() -> None:
    other = source("b", tasks=[{"name": "digits-mlp", "label": "wide", "params": {"hidden": 16}}])
    table = several_table([source("a"), other])
    assert [task.task for task in table.tasks] == ["digits-mlp", "wide"]
    assert len(table.rows) == 6
    assert "hidden 16" in table.notes["wide"][0]


def test_a_job_cannot_stand_twice() -> None:
    with pytest.raises(TableError, match="jobs that differ, but a stands twice"):
        several_table([source("a"), source("a")])


def test_controls_are_rows_by_their_partner() -> None:
    one = source("a", controls=["radius_matched"])
    control = one.spec.grids[-1]
    assert control.partner is not None
    same = source("b", controls=["radius_matched"])
    other = source("b", controls=["radius_matched"], base={"name": "adam"})
    assert [row.optimizer for row in several_table([one, same]).rows].count(control.optimizer) == 1
    assert f"{control.optimizer}: radius of msam at the same point." in several_table([one, same]).notes["digits-mlp"]
    labels = {row.optimizer for row in several_table([one, other]).rows}
    assert {f"{control.optimizer}@a", f"{control.optimizer}@b"} <= labels


def test_searches_are_a_row_for_each_job() -> None:
    changes: dict[str, Any] = {
        "optimizers": [{"name": "sam"}],
        "gd": False,
        "space": {"lr": {"log": [0.01, 0.1]}, "rho": {"log": [0.1, 1.0]}},
        "search": {"method": "tpe", "n_configurations": 3},
    }
    table = several_table([source("a", **changes), source("b", **changes)])
    assert [row.optimizer for row in table.rows] == ["sam@a", "sam@b"]
    assert table.missing.count == 2 * 3 * 2


def test_apart_each_job_has_rows_of_its_own_with_what_it_recorded_itself() -> None:
    first, second = source("a", optimizers=only("gd", "sam")), source("b", worse, optimizers=only("sam", "msam"))
    table = several_table([first, second], apart=True)
    labels = {row.optimizer for row in table.rows}
    assert labels == {"gd@a", "gd@b", "sam@a", "sam@b", "msam"}
    for job in (first, second):
        own = spec_table(job.spec, job.records).row("digits-mlp", "sam").measures["grid_mean"].raw
        assert table.row("digits-mlp", f"sam@{job.name}").measures["grid_mean"].raw == own
    (found,) = (
        one for one in table.differences if one.measure == "grid_mean" and {one.first, one.second} == {"sam@a", "sam@b"}
    )
    assert found.first == "sam@a"
    assert found.raw == pytest.approx(0.1)
    assert not any("recorded in several jobs" in note for note in table.notes["digits-mlp"])


def test_a_label_without_its_job_stands_for_the_rows_of_all_jobs() -> None:
    found = joined([source("b"), source("a", optimizers=only("gd", "sam"))], apart=True)
    assert found.labels(["sam"]) == ("sam@b", "sam@a")
    assert found.labels(["msam", "sam@a", "sam"]) == ("msam", "sam@a", "sam@b")
    assert found.labels(["smam"]) == ("smam",), "what is unknown is told by the figure"


def test_pairs_are_of_the_same_optimizer_in_two_jobs_unless_rows_are_named() -> None:
    found = joined([source("b"), source("a", optimizers=only("gd", "sam"))], apart=True)
    assert set(found.pairs([])) == {("gd@b", "gd@a"), ("sam@b", "sam@a")}
    assert found.pairs(["sam", "msam2"]) == (("sam@b", "sam@a"),)
    assert found.pairs(["sam@a", "sam@b"]) == ()
    assert found.pairs(["msam", "sam"]) == (), "msam is a row"
    three = joined([source(name, optimizers=only("sam"), gd=False) for name in "abc"], apart=True)
    assert three.pairs([]) == (("sam@a", "sam@b"), ("sam@a", "sam@c"), ("sam@b", "sam@c"))
