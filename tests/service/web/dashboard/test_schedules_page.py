"""The pages of schedules: what runs when, what came of it, and where its measures changed."""

import io

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from playwright.sync_api import expect

from service.schedules.judging import judge_ended_runs
from service.states import JobState
from service.store import Store
from tests.service.filling import completed, run_made_up, small_spec
from tests.service.schedules.test_judging import judged, judged_each, schedule, worse
from tests.service.store.scheduling import new_schedule, start_run
from tests.service.web.dashboard.visit import HOSTILE, PHONE, THEMES, Theme, Visit

pytestmark = pytest.mark.slow


def test_schedules_say_when_they_run_and_are_paused_run_and_deleted(visit: Visit, store: Store) -> None:
    visit.expected = ("409 ",)
    page = visit.page
    page.goto("/schedules")
    page.get_by_text("No schedule yet.").wait_for()
    store.create_schedule(new_schedule("nightly", timezone="Europe/Berlin"))
    page.reload()
    row = page.get_by_role("row", name="nightly")
    row.get_by_text("every day at 03:00").wait_for()
    assert row.get_by_text("0 3 * * * Europe/Berlin").is_visible()
    assert row.get_by_text("none yet").is_visible()
    row.get_by_role("button", name="Pause").click()
    row.get_by_role("button", name="Resume").wait_for()
    assert store.schedule("nightly").is_paused
    row.get_by_role("button", name="Resume").click()
    row.get_by_role("button", name="Run now").click()
    page.get_by_text("A run of nightly has started.").wait_for()
    row.get_by_text("training").wait_for()
    (run,) = store.scheduled_runs("nightly")
    assert run.is_manual
    row.get_by_role("button", name="Run now").click()
    page.get_by_text("a schedule has one run at a time").wait_for()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Deleted the schedule nightly.").wait_for()
    assert store.schedules() == []


def test_a_schedule_is_added_by_a_form_that_shows_what_is_wrong_at_its_field(visit: Visit, store: Store) -> None:
    visit.expected = ("422 ",)
    page = visit.page
    page.goto("/schedules")
    page.get_by_role("button", name="New schedule").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("nightly")
    form.get_by_label("When").fill("0 25 * * *")
    form.get_by_label("Spec").fill(yaml.safe_dump(small_spec(optimizers=[{"name": "smam"}])))
    form.get_by_role("button", name="Add").click()
    form.get_by_text("line 5, /optimizers/0/name: unknown optimizer 'smam'").wait_for()
    assert form.get_by_label("Spec").get_attribute("aria-invalid") == "true"
    assert form.get_by_label("When").get_attribute("aria-invalid") is None
    form.get_by_label("Spec").fill(yaml.safe_dump(small_spec()))
    form.get_by_role("button", name="Add").click()
    form.get_by_text("the hour of the cron expression").wait_for()
    assert form.get_by_label("When").get_attribute("aria-invalid") == "true"
    assert form.get_by_label("Spec").get_attribute("aria-invalid") is None
    form.get_by_label("When").fill("30 4 * * 1-5")
    form.get_by_label("Compare with").select_option("the best of the last runs that succeeded")
    form.get_by_label("Of so many runs").fill("3")
    form.get_by_label("Measures").fill("grid_mean, good_share")
    form.get_by_role("button", name="Add").click()
    page.get_by_text("Added nightly").wait_for()
    page.get_by_text("Monday to Friday at 04:30").wait_for()
    made = store.schedule("nightly")
    assert (made.policy.n, made.thresholds.measures) == (3, ("grid_mean", "good_share"))
    page.get_by_role("button", name="Edit").click()
    form.get_by_label("Compare with").select_option("the newest run that succeeded")
    form.get_by_label("Yardsticks").fill("2.5")
    form.get_by_role("button", name="Save").click()
    page.get_by_text("Saved nightly.").wait_for()
    made = store.schedule("nightly")
    assert (str(made.policy.kind), made.thresholds.factor, made.cron) == ("previous", 2.5, "30 4 * * 1-5")


def test_a_schedule_shows_its_history_where_it_changed_and_every_run(visit: Visit, store: Store) -> None:
    runs = judged_each(store, completed, completed, worse, worse)
    failed = judged(store, completed, JobState.FAILED)
    page = visit.page
    page.goto("/schedules/nightly")
    page.locator("#history .js-plotly-plot .scatterlayer .point").first.wait_for(state="attached")
    assert page.get_by_text("change 1", exact=True).is_visible()
    assert page.get_by_text("▼ alert: sam").is_visible()
    assert page.locator("#history .scatterlayer .trace").count() == 3, "gd, sam, and the run that failed"
    change = page.get_by_role("listitem").filter(has_text="From the run of")
    assert change.get_by_text("▼ worse").first.is_visible()
    assert "grid mean" in change.inner_text()
    rows = page.get_by_role("region", name="Runs").get_by_role("row")
    assert rows.count() == 6
    newest = rows.nth(1).inner_text()
    assert ("failed" in newest, "its job failed" in newest) == (True, True)
    third = rows.nth(3)
    assert third.get_by_text("regressed").is_visible()
    assert third.get_by_role("link", name="comparison").get_attribute("href") == (
        f"/compare?schedule=nightly&run={runs[2].id}"
    )
    links = [link.get_attribute("href") for link in third.get_by_role("link").all()]
    assert {f"/jobs/{runs[2].job_id}", f"/jobs/{runs[2].baseline_job_id}"} < set(links)
    assert failed.verdict is None
    page.get_by_role("combobox", name="Measure").select_option("IQM")
    page.wait_for_url("**?measure=iqm")
    page.get_by_text("Interquartile mean").wait_for()
    page.get_by_role("combobox", name="Optimizer").select_option("gd")
    page.wait_for_url("**?measure=iqm&optimizer=gd")
    page.get_by_text("▼ alert: sam").wait_for(state="detached")
    page.go_back()
    page.get_by_text("▼ alert: sam").wait_for()


def test_the_history_is_downloaded_as_it_is_drawn_and_in_numbers(visit: Visit, store: Store) -> None:
    judged_each(store, completed, worse)
    page = visit.page
    page.goto("/schedules/nightly")
    card = page.locator("#history figure")
    card.locator(".js-plotly-plot .scatterlayer .point").first.wait_for(state="attached")
    files = {ending: visit.downloaded(card.get_by_role("button", name=ending)) for ending in ("svg", "png", "csv")}
    assert {name for name, _ in files.values()} == {f"nightly-history.{ending}" for ending in files}
    assert "on digits-mlp over the runs of nightly" in files["svg"][1].decode()
    assert files["png"][1].startswith(b"\x89PNG")
    found = pd.read_csv(io.BytesIO(files["csv"][1]))
    assert found["optimizer"].tolist() == ["gd", "sam"] * 2
    assert found["run"].nunique() == 2
    history = httpx.get(f"{visit.own}/api/v1/schedules/nightly/history").json()["items"]
    values = [one["measures"]["digits-mlp"][name]["grid_mean"] for one in reversed(history) for name in ("gd", "sam")]
    np.testing.assert_allclose(found["value"], values)


@pytest.mark.parametrize("theme", THEMES)
def test_texts_of_the_history_are_read_in_both_themes(visit: Visit, store: Store, theme: Theme) -> None:
    judged_each(store, completed, completed, worse, worse)
    page = visit.page
    page.emulate_media(color_scheme=theme)
    page.goto("/schedules/nightly")
    page.get_by_text("change 1", exact=True).wait_for()
    page.get_by_text("▼ alert: sam").wait_for()
    assert visit.faint_texts() == []


def test_a_page_follows_a_run_until_it_is_judged(visit: Visit, store: Store) -> None:
    judged_each(store, completed)
    page = visit.page
    page.goto("/schedules/nightly")
    rows = page.get_by_role("region", name="Runs").get_by_role("row")
    rows.nth(1).wait_for()
    page.get_by_role("button", name="Live").wait_for()
    run = start_run(store)
    rows.nth(1).get_by_text("training").wait_for()
    assert run.job_id
    run_made_up(store, store.job(run.job_id), worse)
    assert judge_ended_runs(store)
    rows.nth(1).get_by_text("regressed").wait_for(timeout=15_000)
    page.get_by_role("link", name="1 open").wait_for()


def test_a_run_that_ended_while_nobody_saw_the_page_is_shown_when_somebody_does(visit: Visit, store: Store) -> None:
    hide = """isHidden => {
        Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    schedule(store)
    run = start_run(store)
    page = visit.page
    page.goto("/schedules")
    row = page.get_by_role("row", name="nightly")
    row.get_by_text("training").wait_for()
    page.get_by_role("button", name="Live").wait_for()
    page.evaluate(hide, True)
    page.get_by_role("button", name="Connecting").wait_for()
    assert run.job_id
    run_made_up(store, store.job(run.job_id))
    assert judge_ended_runs(store)
    row.get_by_role("button", name="Pause").focus()
    page.evaluate(hide, False)
    row.get_by_text("training").wait_for(state="detached")
    expect(row.get_by_role("button", name="Pause")).to_be_focused()


def test_a_schedule_without_runs_says_what_to_do(visit: Visit, store: Store) -> None:
    schedule(store)
    visit.page.goto("/schedules/nightly")
    visit.page.get_by_text("No run yet. The first one starts when it is due").wait_for()
    visit.page.get_by_text("No run has been measured yet").wait_for()
    visit.expected = ("404 ",)
    visit.page.goto("/schedules/weekly")
    visit.page.get_by_role("heading", name="There is no schedule weekly").wait_for()


def test_markup_in_what_a_job_failed_of_stays_text(visit: Visit, store: Store) -> None:
    schedule(store)
    run = start_run(store)
    claimed = store.claim("a-dispatcher", 60.0, only=run.job_id)
    assert claimed is not None
    store.finish(claimed.id, claimed.attempt, JobState.FAILED, error=HOSTILE)
    assert judge_ended_runs(store)
    page = visit.page
    page.goto("/schedules/nightly")
    page.get_by_role("region", name="Runs").get_by_text(HOSTILE).wait_for()
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "nightly · Rhobust"


@pytest.mark.parametrize("path", ["/schedules", "/schedules/nightly"])
def test_they_are_used_by_keyboard_in_both_themes_and_on_a_phone(visit: Visit, store: Store, path: str) -> None:
    judged_each(store, completed)
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto(path)
    page.get_by_role("button", name="Run now").wait_for()
    if path != "/schedules":
        page.locator("#history .js-plotly-plot .scatterlayer .point").first.wait_for(state="attached")
    assert visit.barriers() == []
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Resume").wait_for()
    assert store.schedule("nightly").is_paused
    page.get_by_role("button", name="Edit").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_label("When").wait_for()
    assert visit.inaccessible() == []
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
