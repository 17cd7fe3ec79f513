"""What one request may ask for: each bound is refused one step beyond it, at once, and nothing is stored."""

from typing import Any

import httpx
import pytest

from service.store import Store
from tests.service.filling import small_spec

JOBS = "/api/v1/jobs"
WIDE = {"log": [0.1, 0.9], "n": 1_000}


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"name": "x" * 201}, "/name"),
        ({"tags": ["x" * 201]}, "/tags/0"),
        ({"tags": ["x"] * 33}, "/tags"),
        ({"space": {f"axis{number}": {"values": [1]} for number in range(17)}}, "/space"),
        ({"space": {"lr": {"log": [0.1, 1], "n": 1_001}}}, "/space/lr/n"),
        ({"space": {"lr": {"values": [1 + number / 1e4 for number in range(1_001)]}}}, "/space/lr/values"),
        ({"seeds": {"count": 10_001}}, "/seeds/count"),
        ({"budget": {"epochs": 100_001}}, "/budget/epochs"),
        ({"tasks": [{"name": "digits-mlp", "label": f"t{number}"} for number in range(101)]}, "/tasks"),
        ({"optimizers": [{"name": "gd", "label": f"o{number}"} for number in range(101)]}, "/optimizers"),
        ({"optimizers": [{"name": "sam", "space": {"rho": WIDE, "momentum": WIDE, "weight_decay": WIDE}}]}, ""),
        ({"seeds": {"count": 10_000}}, ""),
    ],
)
def test_a_spec_beyond_a_bound_is_refused(web: httpx.Client, store: Store, spec: dict[str, Any], pointer: str) -> None:
    response = web.post(JOBS, json=small_spec(**spec))
    assert response.status_code == 422
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert store.jobs() == []
