"""The page of alerts: what became worse, and who knows of it."""

import re

import pytest

from service.keys import Scope, new_key
from service.store import Alert, AlertState, Store
from tests.service.filling import completed
from tests.service.schedules.test_judging import judged, judged_each, worse
from tests.service.web.dashboard.visit import HOSTILE, PHONE, Visit

pytestmark = pytest.mark.slow


@pytest.fixture
def alert(store: Store) -> Alert:
    """An open alert of sam, by the second run of a schedule."""
    judged_each(store, completed, worse)
    return store.alerts()[0]


def test_an_alert_says_what_is_worse_and_is_acknowledged_with_a_note(visit: Visit, store: Store, alert: Alert) -> None:
    page = visit.page
    page.goto("/alerts")
    card = page.get_by_role("article", name="sam on digits-mlp")
    row = card.get_by_role("row", name="grid mean")
    row.wait_for()
    measure = next(one for one in alert.measures if one["name"] == "grid_mean")
    assert f"\N{MINUS SIGN}{int(100 * abs(measure['difference'])) / 100}" in row.inner_text()
    assert f"± {measure['margin']:.3f}" in row.inner_text()
    assert "▼ regressed" in row.inner_text()
    links = {
        link.inner_text(): link.get_attribute("href") for link in card.locator(".actions").get_by_role("link").all()
    }
    assert links == {
        "Whole comparison": f"/compare?schedule=nightly&run={alert.last_run_id}",
        "Job of the last run": f"/jobs/{alert.job_id}",
        "Compared with": f"/jobs/{alert.baseline_job_id}",
    }
    badge = page.get_by_role("navigation", name="Pages").get_by_text("1 open")
    badge.wait_for()
    card.get_by_role("button", name="Acknowledge").click()
    page.get_by_label("Note").fill("a trade for speed")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    page.get_by_text("No alert is open").wait_for()
    badge.wait_for(state="hidden")
    assert (store.alert(alert.id).state, store.alert(alert.id).note) == (AlertState.ACKNOWLEDGED, "a trade for speed")
    page.get_by_role("link", name="Acknowledged 1").click()
    page.wait_for_url("**/alerts?state=acknowledged")
    page.get_by_text("a trade for speed").wait_for()
    page.go_back()
    page.get_by_text("No alert is open").wait_for()


def test_the_badge_is_on_every_page_and_an_alert_has_its_own(visit: Visit, alert: Alert) -> None:
    page = visit.page
    page.goto("/schedules")
    page.get_by_role("navigation", name="Pages").get_by_text("1 open").wait_for()
    page.goto(f"/alerts/{alert.id}")
    page.get_by_role("heading", name="Alert on sam").wait_for()
    page.get_by_role("article", name="sam on digits-mlp").wait_for()
    assert page.title() == "sam on digits-mlp · Alerts · Rhobust"
    visit.expected = ("404 ",)
    page.goto("/alerts/nothing")
    page.get_by_role("heading", name="There is no alert nothing").wait_for()
    assert page.get_by_role("link", name="All alerts").get_attribute("href") == "/alerts"


def test_a_closed_alert_keeps_its_story(visit: Visit, store: Store, alert: Alert) -> None:
    store.acknowledge_alert(alert.id, HOSTILE, principal="ann")
    judged(store, completed)
    page = visit.page
    page.goto("/alerts")
    page.get_by_text("No alert is open").wait_for()
    page.get_by_role("link", name="Closed 1").click()
    card = page.get_by_role("article", name="sam on digits-mlp")
    card.get_by_text("acknowledged by ann").wait_for()
    assert card.get_by_text(HOSTILE).is_visible()
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Alerts · Rhobust"
    assert card.get_by_role("button", name="Acknowledge").count() == 0
    card.locator("summary", has_text="worse in an earlier run").click()
    assert card.get_by_role("row", name="grid mean").get_by_text("improved").is_visible()


def test_it_is_used_by_keyboard_alone_in_both_themes_and_on_a_phone(visit: Visit, store: Store, alert: Alert) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto("/alerts")
    page.get_by_role("row", name="grid mean").wait_for()
    page.get_by_text("1 open").wait_for()
    assert visit.barriers() == []
    button = page.get_by_role("button", name="Acknowledge")
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.keyboard.type("known")
    assert visit.inaccessible() == []
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Acknowledged: sam").wait_for()
    assert store.alert(alert.id).note == "known"


def test_a_key_that_only_reads_is_told_why_it_may_not(visit: Visit, store: Store, alert: Alert) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.READ)
    visit.expected = ("401 ",)
    page = visit.page
    page.goto("/alerts")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Acknowledge")
    button.wait_for()
    assert button.is_disabled()
    assert "scope read" in (button.get_attribute("title") or "")


def test_a_server_that_does_not_answer_is_said(visit: Visit, alert: Alert) -> None:
    visit.expected = ("Failed to load resource",)
    page = visit.page
    page.route(re.compile("page_size=20"), lambda route: route.abort())
    page.goto("/alerts")
    page.get_by_role("status").get_by_text("The server does not answer").wait_for()
