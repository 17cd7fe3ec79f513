"""When an alert goes on, grows, and is over."""

import pytest

from service.store.alert_entities import after_run, is_over


def change(name: str, verdict: str, difference: float | None = None, margin: float | None = 0.02) -> dict[str, object]:
    return {"name": name, "verdict": verdict, "difference": difference, "margin": margin}


def test_an_alert_keeps_what_was_worse_and_gains_what_is() -> None:
    known = after_run((), [change("best", "regressed"), change("worst", "same"), change("iqm", "undecided", 0.1)])
    assert [measure["name"] for measure in known] == ["best"]
    later = after_run(known, [change("best", "same"), change("worst", "regressed")])
    assert {measure["name"]: measure["verdict"] for measure in later} == {"best": "same", "worst": "regressed"}
    assert after_run(known, []) == known


@pytest.mark.parametrize(
    ("verdict", "difference", "over"),
    [
        ("same", 0.0, True),
        ("improved", 0.5, True),
        ("regressed", -0.5, False),
        ("undecided", -0.03, False),
        ("undecided", 0.02, True),
        ("undecided", -0.02, True),
        ("not_tested", None, False),
    ],
)
def test_it_is_over_when_all_have_recovered(verdict: str, difference: float | None, over: bool) -> None:
    assert is_over([change("best", verdict, difference), change("worst", "same", 0.0)]) is over
