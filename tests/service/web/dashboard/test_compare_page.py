"""The page that compares: jobs and optimizers side by side, a candidate with its baseline, and the baselines."""

from dataclasses import replace

import pytest

from benchmark import Outcome
from benchmark.spec import Cell
from service.comparing import set_baseline
from service.store import Job, Store
from tests.service.filling import completed, run_made_up, small_spec, submit
from tests.service.schedules.test_judging import judged_each
from tests.service.schedules.test_judging import worse as much_worse
from tests.service.web.dashboard.visit import HOSTILE, PHONE, Visit

pytestmark = pytest.mark.slow

N_SEEDS = 6
MINUS = "\N{MINUS SIGN}"


def worse(cell: Cell) -> Outcome:
    """SAM is worse by about .1, the more so the larger the seed."""
    outcome = completed(cell)
    lost = 0.1 + 0.002 * cell.seed if cell.optimizer == "sam" else 0.0
    return replace(outcome, metrics={name: value - lost for name, value in outcome.metrics.items()})


@pytest.fixture
def two(store: Store) -> list[Job]:
    """A job, and a later one in which SAM is worse."""
    outcomes = (("before", completed), ("after", worse))
    specs = [(small_spec(name=name, seeds={"count": N_SEEDS}), outcome) for name, outcome in outcomes]
    return [run_made_up(store, submit(store, spec), outcome) for spec, outcome in specs]


def drawn(visit: Visit, n: int) -> None:
    """Wait until so many maps are drawn."""
    visit.page.locator("#result .js-plotly-plot .heatmaplayer").nth(n - 1).wait_for(state="attached")


def test_a_candidate_is_compared_with_a_baseline_that_one_types(visit: Visit, store: Store, two: list[Job]) -> None:
    set_baseline(store, "main", two[0].id)
    page = visit.page
    page.goto("/compare")
    page.get_by_label("Baseline", exact=True).fill("main")
    page.get_by_label("Candidate").fill(two[1].id)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/compare?baseline=main&candidate={two[1].id}")
    verdict = page.get_by_role("region", name="Verdict")
    verdict.get_by_role("heading", name="regressed").wait_for()
    assert "sam on digits-mlp is harder to tune: " in verdict.inner_text()
    assert "Bonferroni over" in page.locator("#result").inner_text()
    assert page.get_by_text("not calibrated: margins are tolerances").is_visible()
    row = page.get_by_role("region", name="What changed").get_by_role("row").filter(has_text="grid mean")
    assert row.inner_text().split("\n")[0].startswith("sam")
    assert f"{MINUS}0." in row.inner_text()
    assert "▼ regressed" in row.inner_text()
    assert page.get_by_role("region", name="Pairs").get_by_role("row").count() == 4
    report = page.get_by_role("link", name="Report (md)").get_attribute("href")
    assert report == f"/api/v1/comparisons?baseline=main&candidate={two[1].id}&format=md"
    drawn(visit, 3)
    titles = page.locator("#result .annotation-text").all_text_contents()
    assert f"sam@after {MINUS} sam@before" in titles
    page.go_back()
    page.wait_for_url("**/compare")
    page.get_by_role("region", name="Verdict").wait_for(state="detached")


def test_what_differs_between_the_making_of_two_jobs_is_told(visit: Visit, store: Store) -> None:
    jobs = [submit(store), submit(store)]
    for job, revision in zip(jobs, ("4be0c1d", "9f3a2b1"), strict=True):
        claimed = store.claim("a-dispatcher", 60.0, only=job.id)
        assert claimed is not None
        store.set_execution(job.id, claimed.attempt, {}, made_by={"revision": revision, "torch": "2.13.0"})
        store.release(job.id, claimed.attempt, crashed=False)
        run_made_up(store, store.job(job.id))
    visit.page.goto(f"/compare?baseline={jobs[0].id}&candidate={jobs[1].id}")
    made = visit.page.get_by_role("region", name="Made otherwise")
    made.wait_for()
    assert [row.inner_text().split("\t") for row in made.get_by_role("row").all()[1:]] == [
        ["revision", "4be0c1d", "9f3a2b1"]
    ]


def test_jobs_are_chosen_by_keyboard_and_stand_side_by_side(visit: Visit, two: list[Job]) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto("/compare")
    for job in two:
        page.get_by_role("checkbox", name=job.id).focus()
        page.keyboard.press("Space")
        page.get_by_role("group", name="Compare only").wait_for()
    page.wait_for_url(f"**/compare?job={two[0].id}&job={two[1].id}")
    page.get_by_role("checkbox", name="sam@after", exact=True).wait_for()
    drawn(visit, 3)
    assert visit.barriers() == []
    for label in ("sam@after", "sam@before"):
        page.get_by_role("checkbox", name=label, exact=True).focus()
        page.keyboard.press("Space")
    page.wait_for_url("**optimizer=sam%40after&optimizer=sam%40before")
    row = page.get_by_role("row", name=f"sam@after {MINUS} sam@before")
    row.wait_for()
    assert page.evaluate("document.activeElement.closest('label').textContent.trim()") == "sam@before"
    grid_mean = row.get_by_role("cell").nth(0)
    assert grid_mean.inner_text().startswith(f"{MINUS}0.1")
    assert "the interval excludes zero" in grid_mean.inner_text()
    assert "0.0 %" in row.inner_text(), "SAM of the later job wins nowhere"
    assert page.get_by_role("region", name="Robustness on digits-mlp").get_by_role("row").count() == 3
    page.reload()
    drawn(visit, 1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("region", name="Robustness on digits-mlp").locator("button.sort").nth(1).click()
    page.wait_for_url("**&sort=*")
    drawn(visit, 1)
    assert [url for url in asked if "/figures/" in url] == [], "whoever sorts a table keeps its maps"
    titles = page.locator("#result .annotation-text").all_text_contents()
    assert f"sam@after {MINUS} sam@before" in titles


def test_two_optimizers_of_one_job(visit: Visit, two: list[Job]) -> None:
    page = visit.page
    page.goto(f"/compare?job={two[1].id}&optimizer=sam&optimizer=msam")
    page.get_by_role("row", name=f"sam {MINUS} msam").wait_for()
    assert page.get_by_role("region", name="Paired differences").get_by_role("row").count() == 2
    assert page.get_by_role("button", name="Copy as LaTeX").is_visible()
    drawn(visit, 1)
    titles = page.locator("#result .annotation-text").all_text_contents()
    assert f"sam {MINUS} msam" in titles
    assert page.locator("#result .heatmaplayer").count() == 1


def test_the_comparison_of_a_run_is_the_one_by_which_it_was_judged(visit: Visit, store: Store) -> None:
    runs = judged_each(store, completed, much_worse)
    page = visit.page
    page.goto(f"/compare?schedule=nightly&run={runs[1].id}")
    page.get_by_role("region", name="Verdict").get_by_role("heading", name="regressed").wait_for()
    again = page.get_by_role("link", name="Compare again").get_attribute("href")
    assert again == f"/compare?baseline={runs[0].job_id}&candidate={runs[1].job_id}"
    page.goto(f"/compare?schedule=nightly&run={runs[0].id}")
    page.get_by_text("This run has no comparison: there is nothing to compare with yet").wait_for()


def test_what_cannot_be_compared_is_said_and_stored_markup_stays_text(visit: Visit, store: Store) -> None:
    visit.expected = ("404 ", "422 ")
    page = visit.page
    page.goto("/compare")
    page.get_by_text("There is no job yet; submit one first.").wait_for()
    page.get_by_text("No baseline yet.").wait_for()
    job = run_made_up(store, submit(store, small_spec(name=HOSTILE)))
    page.goto(f"/compare?baseline=none&candidate={job.id}")
    page.get_by_text("there is neither a baseline nor a job 'none'").wait_for()
    page.get_by_text(HOSTILE).first.wait_for()
    page.goto(f"/compare?job={job.id}&job=nothing")
    page.get_by_text("This cannot be compared: there is no job 'nothing'").wait_for()
    page.goto(f"/compare?job={job.id}")
    page.get_by_role("checkbox", name="msam").wait_for()
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Compare · Rhobust"
    page.get_by_label("Search jobs").fill("nobody")
    page.wait_for_url("**text=nobody")
    assert page.get_by_role("checkbox", name=job.id).is_checked(), "what is chosen stays"


def test_a_baseline_is_set_calibrated_and_deleted(visit: Visit, store: Store, two: list[Job]) -> None:
    visit.expected = ("422 ",)
    page = visit.page
    page.goto("/compare")
    page.get_by_role("button", name="Set a baseline").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("main")
    dialog.get_by_label("Job").select_option(two[0].id)
    assert visit.inaccessible() == []
    dialog.get_by_role("button", name="Set").click()
    row = page.get_by_role("region", name="Baselines").get_by_role("row", name="main")
    row.get_by_text("not calibrated").wait_for()
    assert store.baseline("main").job_id == two[0].id
    row.get_by_role("button", name="Calibrate").click()
    dialog.get_by_label("Replays").fill("2")
    dialog.get_by_role("button", name="Calibrate").click()
    dialog.locator(".error").get_by_text("19").wait_for()
    dialog.get_by_label("Rate of false alarms").fill("0.4")
    dialog.get_by_role("button", name="Calibrate").click()
    row.get_by_text("0 of 2 replays").wait_for()
    page.get_by_role("button", name="Live").wait_for()
    assert len(store.replays([store.baseline("main").id])[store.baseline("main").id]) == 2
    row.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    page.get_by_text("No baseline yet.").wait_for()
    assert store.baselines() == []
