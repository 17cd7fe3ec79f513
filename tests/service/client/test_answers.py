"""The client's records against the shapes that the server sends."""

import math

import pytest
from pydantic import BaseModel

from service.client import GridPlan, JobRecord, Missing, MissingCell, Owner, Plan, ProblemError, Progress
from service.client.answers import JobAnswer, JobDetails
from service.web import jobs, shapes

PLAN = {
    "cells": 20,
    "gradient_evaluations": 3000,
    "grids": [
        {"task": "<b>", "optimizer": "gd", "configurations": 2, "cells": 4, "gradient_evaluations": 9, "wave": 2}
    ],
    "reused": 3,
    "packs": None,
    "execution": {"<b>": {"gd": "fused"}},
    "estimated_s": 12.3,
    "reason": "no & yes",
}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Progress, shapes.ProgressShape),
        (Owner, shapes.OwnerShape),
        (MissingCell, shapes.MissingCellShape),
        (Missing, shapes.MissingShape),
        (JobAnswer, shapes.JobShape),
        (JobDetails, shapes.JobDetail),
        (JobRecord, shapes.RecordShape),
        (GridPlan, jobs.GridPlan),
        (Plan, jobs.Plan),
    ],
)
def test_the_server_sends_all_that_a_record_needs(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    assert ours.model_fields.keys() <= theirs.model_fields.keys()


def test_what_a_newer_server_adds_is_left_out_and_what_is_missing_is_said() -> None:
    assert Plan.of({**PLAN, "news": 1}).cells == 20
    with pytest.raises(ProblemError, match=r"does not fit this client, at /cells: Field required. Are both of one"):
        Plan.of({name: value for name, value in PLAN.items() if name != "cells"})


def test_a_plan_says_its_price() -> None:
    plan = Plan.of(PLAN)
    assert plan.facts == "20 cells, 3,000 gradient evaluations, 4 cells in a second wave, 3 reused, about 12 s"
    assert plan.to_pandas().loc[0, "execution"] == "fused"
    html = plan._repr_html_()
    assert "<td>&lt;b&gt;</td>" in html
    assert "not known: no &amp; yes" in html


def test_a_curve_that_is_not_finite_is_nan_and_none_is_empty() -> None:
    record = {
        "id": "a",
        "config_key": "k",
        "fingerprint": "f",
        "task": "digits",
        "optimizer": "gd",
        "hyperparameters": {"lr": 0.1, "nesterov": True},
        "seed": 0,
        "status": "diverged",
        "collapsed": False,
        "diverged_at_step": 3,
        "error": None,
        "metrics": {},
        "curve": {"step": [1, 2], "train_loss": [0.5, None]},
        "cost": {
            "steps": 3,
            "gradient_evaluations": 3,
            "elapsed_s": 1.0,
            "amortised": False,
            "execution": "fused",
            "device": "cpu",
        },
        "diagnostics": {"grad_norm": None, "delta_over_rho": None, "mean_delta": None, "news": 1},
        "reused": False,
    }
    read = JobRecord.of(record)
    assert read.curve["step"] == (1.0, 2.0)
    assert math.isnan(read.curve["train_loss"][1])
    assert read.hyperparameters["nesterov"] is True
    assert JobRecord.of(record | {"curve": None}).curve == {}
