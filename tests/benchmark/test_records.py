import json
import math
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Status

COST = Cost(10, 20, 0.5, False, "sequential", "cpu")
COMPLETED = Outcome(
    Status.COMPLETED,
    {"train_loss": 0.5, "val_accuracy": 0.9},
    {"step": (5.0, 10.0), "val_accuracy": (0.5, 0.9)},
    COST,
    Diagnostics(1.5, None),
)
RECORD = Record("key", "print", "setting", {"lr": 0.1, "nesterov": True, "k": 3}, 7, COMPLETED, PackPlace("p", 4, 2))


@pytest.mark.parametrize(
    ("status", "is_result"),
    [(Status.COMPLETED, True), (Status.DIVERGED, True), (Status.TIMED_OUT, False), (Status.FAILED, False)],
)
def test_only_completed_and_diverged_are_results(status: Status, is_result: bool) -> None:
    assert status.is_result is is_result


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": Status.DIVERGED}, "must be given for a diverged run.*diverged_at_step=None"),
        ({"diverged_at_step": 3}, "and for no other, but got status=completed, diverged_at_step=3"),
        ({"status": Status.TIMED_OUT, "collapsed": True}, "only a completed run can be collapsed"),
        ({"curve": {"step": (1.0,), "loss": ()}}, r"one length, but got \{'step': 1, 'loss': 0\}"),
        ({"metrics": {"val_accuracy": math.nan}}, "must be finite, but got .*nan"),
        ({"metrics": {"val_accuracy": math.inf}}, "must be finite, but got .*inf"),
    ],
)
def test_an_impossible_outcome_cannot_be_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(COMPLETED, **changes)


@pytest.mark.parametrize(
    "outcome",
    [
        COMPLETED,
        replace(COMPLETED, collapsed=True),
        replace(COMPLETED, status=Status.DIVERGED, metrics={}, diverged_at_step=4),
        Outcome(Status.FAILED, {}, {}, COST, Diagnostics(None, None), error="RuntimeError: no"),
    ],
)
def test_a_record_survives_json(outcome: Outcome) -> None:
    record = replace(RECORD, outcome=outcome)
    assert Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record


@given(st.lists(st.floats(), max_size=5))
def test_what_json_cannot_hold_of_a_curve_becomes_nan(series: list[float]) -> None:
    record = replace(RECORD, outcome=replace(COMPLETED, curve={"val_loss": tuple(series)}))
    back = Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))).outcome.curve["val_loss"]
    expected = [value if math.isfinite(value) else math.nan for value in series]
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(back, expected, strict=True))


def test_every_record_has_an_id_of_its_own() -> None:
    ids = {Record("k", "f", "s", {}, 0, COMPLETED, PackPlace("p", 1, 0)).id for _ in range(100)}
    assert len(ids) == 100


def test_an_id_begins_with_the_time_so_that_an_index_grows_at_its_end() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(Record("k", "f", "s", {}, 0, COMPLETED, PackPlace("p", 1, 0)).id)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
