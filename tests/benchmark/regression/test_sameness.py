"""A record and one of the same cell that was trained again: the words of each difference there can be."""

import math
from dataclasses import replace
from typing import Any

import pytest

from benchmark import Cost, Diagnostics, Outcome, PackPlace, Record, Status
from benchmark.regression import Sameness, overall, repetition

SCORES = ("val_accuracy", "test_accuracy")
TOLERANCE = 0.01
IDENTICAL, WITHIN, DIFFERENT = Sameness.IDENTICAL, Sameness.WITHIN_NOISE, Sameness.DIFFERENT


def record(**changes: Any) -> Record:
    outcome = Outcome(
        status=Status.COMPLETED,
        metrics={"train_loss": 0.5, "val_accuracy": 0.9, "test_accuracy": 0.875},
        curve={"step": (8.0, 16.0), "val_loss": (math.nan, 0.25)},
        cost=Cost(16, 32, 0.5, amortised=True, execution="fused", device="cpu"),
        diagnostics=Diagnostics(0.4, 1.0, 0.05),
    )
    own = {name: value for name, value in changes.items() if name in ("fingerprint", "pack")}
    outcome = replace(outcome, **{name: value for name, value in changes.items() if name not in own})
    plain = Record("key", "making", "setting", {"lr": 0.1}, 0, outcome, PackPlace("pack", 8, 3))
    return replace(plain, **own)


def cost(**changes: Any) -> Cost:
    return replace(record().outcome.cost, **changes)


def metrics(**changes: float) -> dict[str, float]:
    return {**record().outcome.metrics, **changes}


DIVERGED: dict[str, Any] = {"status": Status.DIVERGED, "metrics": {}, "diverged_at_step": 7}
ALONE: dict[str, Any] = {"cost": cost(execution="sequential", amortised=False)}


@pytest.mark.parametrize(
    ("before", "again"),
    [
        ({}, {}),
        ({}, {"cost": cost(elapsed_s=9.0)}),
        ({}, {"pack": PackPlace("another", 8, 3)}),
        ({"metrics": metrics(sharpness_sam=0.1)}, {}),
        ({"diagnostics": Diagnostics(0.4, 1.0)}, {}),
        (DIVERGED, DIVERGED),
        (ALONE, {**ALONE, "pack": PackPlace("another", 1, 0)}),
    ],
)
def test_time_and_what_only_one_of_them_measured_are_no_difference(
    before: dict[str, Any], again: dict[str, Any]
) -> None:
    found = repetition(record(**before), record(**again), scores=SCORES, tolerance=TOLERANCE)
    assert (found.verdict, found.reason) == (IDENTICAL, None)
    assert found.differences == ({} if before is DIVERGED else dict.fromkeys(SCORES, 0.0))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fingerprint": "another"}, "another version of the code, its libraries or its data, or another device"),
        ({"pack": PackPlace("another", 7, 3)}, "beside other cells than then"),
        ({"pack": PackPlace("another", 8, 2)}, "beside other cells than then"),
        (ALONE, "beside other cells than then"),
        ({"metrics": metrics(test_accuracy=0.875 + 1e-16 + 0.0625 / 8)}, "test_accuracy is not the same"),
        ({"metrics": metrics(train_loss=math.nextafter(0.5, 1))}, "train_loss is not the same to the last bit"),
        ({"curve": {"step": (8.0, 16.0), "val_loss": (0.0, 0.25)}}, "the curve of val_loss is not the same"),
        ({"curve": {"step": (8.0,), "val_loss": (math.nan,)}}, "the curve of step is not the same"),
        ({"diagnostics": Diagnostics(0.4, 1.0, 0.05000001)}, "the mean norm of the perturbation is not the same"),
        ({"diagnostics": Diagnostics(0.4, None, 0.05)}, "the norm of the perturbation is not the same"),
        ({"collapsed": True}, "collapsed is not the same"),
        ({"cost": cost(steps=17)}, "the number of steps is not the same"),
    ],
)
def test_what_is_not_the_same_to_the_last_bit_is_named(changes: dict[str, Any], reason: str) -> None:
    found = repetition(record(), record(**changes), scores=SCORES, tolerance=TOLERANCE)
    assert found.verdict is WITHIN
    assert reason in str(found.reason)


def test_the_sign_of_a_zero_is_a_bit() -> None:
    minus = repetition(
        record(metrics=metrics(train_loss=0.0)),
        record(metrics=metrics(train_loss=-0.0)),
        scores=SCORES,
        tolerance=TOLERANCE,
    )
    assert minus.verdict is WITHIN


@pytest.mark.parametrize(
    ("before", "again", "reason"),
    [
        ({}, {"metrics": metrics(test_accuracy=0.85)}, "test_accuracy is off by -0.025"),
        ({}, {"metrics": metrics(val_accuracy=0.92, test_accuracy=0.86)}, "val_accuracy is off by +0.02"),
        ({}, DIVERGED, "it was completed and is diverged"),
        (DIVERGED, {}, "it was diverged and is completed"),
    ],
)
def test_a_score_beyond_the_tolerance_and_a_run_that_diverged_are_different(
    before: dict[str, Any], again: dict[str, Any], reason: str
) -> None:
    found = repetition(record(**before), record(**again), scores=SCORES, tolerance=TOLERANCE)
    assert (found.verdict, found.reason) == (DIFFERENT, reason)


def test_a_run_that_diverged_at_another_step_scores_the_same() -> None:
    later = record(**{**DIVERGED, "diverged_at_step": 9})
    found = repetition(record(**DIVERGED), later, scores=SCORES, tolerance=TOLERANCE)
    assert (found.verdict, found.reason) == (WITHIN, "the step of its end is not the same to the last bit")


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT])
def test_without_two_results_there_is_no_verdict(status: Status) -> None:
    lost = record(status=status, metrics={}, error="no luck")
    for pair, name in (((record(), lost), "new"), ((lost, record()), "first")):
        found = repetition(*pair, scores=SCORES, tolerance=TOLERANCE)
        assert (found.verdict, found.reason) == (None, f"the {name} record is {status}: no luck")


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([], None),
        ([IDENTICAL, IDENTICAL], IDENTICAL),
        ([IDENTICAL, WITHIN], WITHIN),
        ([IDENTICAL, None, WITHIN], None),
        ([None, DIFFERENT, IDENTICAL], DIFFERENT),
    ],
)
def test_all_together_are_what_the_worst_is(verdicts: list[Sameness | None], verdict: Sameness | None) -> None:
    assert overall(verdicts) is verdict
