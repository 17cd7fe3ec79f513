"""The list of jobs: what is seen at a glance, filtered by the URL, followed live, and steered many at a time."""

import itertools
import re
import time

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.keys import Scope, new_key
from service.states import JobState
from service.store import Store
from tests.service.filling import completed, failed, run_made_up, small_spec, submit
from tests.service.web.dashboard.visit import HOSTILE, PHONE, Visit
from tests.service.web.test_scores import clearly_ordered

pytestmark = pytest.mark.slow


def names(page: Page) -> list[str]:
    return page.locator("#jobs tbody th > a").all_text_contents()


def named(store: Store, *given: str) -> list[str]:
    """Queue jobs of these names and return their ids."""
    return [submit(store, small_spec(name=name, tags=[name[0]])).id for name in given]


def test_a_job_shows_its_progress_scores_and_cost(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store, small_spec(seeds={"count": 5}, tags=["nightly"])), clearly_ordered)
    bad = run_made_up(store, submit(store, small_spec(name="bad", seeds={"base": 50})), failed, state=JobState.FAILED)
    page = visit.page
    page.goto("/")
    row = page.get_by_role("row", name="small")
    expect(row.get_by_text("digits-mlp, accuracy")).to_be_visible()
    expect(row.get_by_text("grid mean, leads")).to_have_count(1)
    leading = row.get_by_role("listitem").filter(has_text="leads")
    table = httpx.get(f"{visit.own}/api/v1/jobs/{job.id}/table").json()
    (first, *_) = table["rows"]
    assert leading.text_content() == (
        f"{first['optimizer']}{first['measures']['best']['raw']:.3f} best"
        f"{first['measures']['grid_mean']['value']:.2f} grid mean, leads"
    ).replace("0.", ".")
    expect(row).to_contain_text("50 of 50")
    expect(row).to_contain_text("1.6K gradients · 13 s of runs")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "50")
    expect(row.get_by_role("link", name="nightly")).to_have_attribute("href", "/?tag=nightly")
    other = page.get_by_role("row", name="bad")
    expect(other).to_contain_text("no configuration has a result")
    expect(other).to_contain_text("50 failed")
    assert other.locator(".state").text_content() == bad.state


def test_filters_and_order_are_in_the_url_and_survive_reload_and_back(visit: Visit, store: Store) -> None:
    ids = named(store, "beta", "alpha", "gamma")
    store.cancel(ids[0])
    page = visit.page
    page.goto("/")
    expect(page.locator("#jobs tbody tr")).to_have_count(3)
    assert names(page) == ["gamma", "alpha", "beta"]
    page.get_by_label("Sort").select_option("name, A to Z")
    expect(page.locator("#jobs tbody th > a").first).to_have_text("alpha")
    page.get_by_label("queued").check()
    expect(page.locator("#jobs tbody tr")).to_have_count(2)
    page.get_by_label("Name or id").fill("GAM")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    page.wait_for_url("**/?*text=GAM*")
    page.reload()
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    assert page.get_by_label("Name or id").input_value() == "GAM"
    assert page.get_by_label("queued").is_checked()
    assert page.get_by_label("Sort").input_value() == "name"
    page.get_by_label("cancelled").check()
    page.get_by_label("Name or id").fill("")
    expect(page.locator("#jobs tbody tr")).to_have_count(3)
    page.go_back()
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    assert not page.get_by_label("cancelled").is_checked()
    page.get_by_label("Tags").fill("g, z")
    expect(page.get_by_text("No job is like that.")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#jobs tbody tr")).to_have_count(3)
    assert page.url.endswith("/")


@pytest.mark.parametrize(("field", "value"), [("Task", "digits-cnn"), ("Submitted by", "ann"), ("Tags", "o")])
def test_each_filter_finds(visit: Visit, store: Store, field: str, value: str) -> None:
    named(store, "small")
    tasks = [{"name": "digits-cnn"}]
    submit(store, small_spec(name="other", tasks=tasks, tags=["o"]), submitted_by="ann")
    visit.page.goto("/")
    expect(visit.page.locator("#jobs tbody tr")).to_have_count(2)
    visit.page.get_by_label(field).fill(value)
    expect(visit.page.locator("#jobs tbody tr")).to_have_count(1)
    assert names(visit.page) == ["other"]


def test_pages_go_both_ways(visit: Visit, store: Store) -> None:
    named(store, *(f"job {number:03}" for number in range(120)))
    page = visit.page
    page.goto("/?sort=name")
    expect(page.get_by_text("1 to 50")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("51 to 100")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("101 to 120")).to_be_visible()
    assert (names(page)[0], len(names(page))) == ("job 100", 20)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.reload()
    expect(page.get_by_text("101 to 120")).to_be_visible()
    page.get_by_role("button", name="Previous").click()
    expect(page.get_by_text("51 to 100")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("101 to 120")).to_be_visible()
    page.get_by_role("button", name="First").click()
    expect(page.get_by_text("1 to 50")).to_be_visible()
    assert page.url.endswith("/?sort=name")


def test_rows_follow_their_jobs_in_place_and_new_jobs_come_on_top(visit: Visit, store: Store) -> None:
    first = submit(store)
    page = visit.page
    page.goto("/")
    expect(page.get_by_text("0 of 20")).to_be_visible()
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    link = page.get_by_role("link", name="small")
    link.focus()
    named(store, "another")
    expect(page.locator("#jobs tbody tr")).to_have_count(2)
    assert names(page) == ["another", "small"]
    run_made_up(store, first, clearly_ordered)
    row = page.get_by_role("row", name="small")
    expect(row.locator(".state")).to_have_text("completed")
    expect(row).to_contain_text("20 of 20")
    expect(row).to_contain_text("best")
    expect(link).to_be_focused()


def test_a_job_that_comes_to_match_a_filter_comes_and_a_fault_is_not_told_for_ever(visit: Visit, store: Store) -> None:
    visit.expected = ("Failed to load resource",)
    *ids, newest = named(store, "first", "second", "third", "newest")
    store.cancel(newest)
    page = visit.page
    lists = itertools.count(1)  # the second is asked for when what is there already has been told
    with page.expect_response(lambda one: "/api/v1/jobs?" in one.url and next(lists) == 2):
        page.goto("/?state=cancelled&sort=-finished_at")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    store.cancel(ids[0])
    expect(page.get_by_role("link", name="first")).to_be_visible()
    page.route(re.compile(r"/api/v1/jobs\?"), lambda route: route.abort(), times=1)
    store.cancel(ids[1])
    expect(page.get_by_text("The jobs cannot be shown")).to_be_visible()
    store.cancel(ids[2])
    expect(page.locator("#jobs tbody tr")).to_have_count(4)
    expect(page.get_by_text("The jobs cannot be shown")).to_be_hidden()


def test_a_job_that_somebody_else_deletes_leaves_the_list_within_a_minute(visit: Visit, store: Store) -> None:
    ids = named(store, "first", "second")
    for one in ids:
        store.cancel(one)
    page = visit.page
    page.clock.install()
    page.goto("/")
    expect(page.locator("#jobs tbody tr")).to_have_count(2)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    kept = page.get_by_role("link", name="second")
    kept.focus()
    store.delete(ids[0])
    page.clock.fast_forward(60_000)
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    assert names(page) == ["second"]
    expect(kept).to_be_focused()


def test_a_list_that_is_opened_is_asked_for_once(visit: Visit, store: Store) -> None:
    """Whoever begins to follow is told of all jobs that have not ended, also of those beyond the page."""
    named(store, *(f"job {number}" for number in range(60)))
    page = visit.page
    lists = []
    page.on("request", lambda request: lists.append(request.url) if "/api/v1/jobs?" in request.url else None)
    page.goto("/")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    named(store, "another")
    expect(page.get_by_role("link", name="another")).to_be_visible()
    assert len(lists) == 2, "and once more for the new one"


def test_a_pause_of_the_page_is_one(visit: Visit, store: Store) -> None:
    named(store, "first")
    page = visit.page
    page.goto("/")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    assert "live=off" in page.url
    (job_id,) = named(store, "second")
    page.wait_for_timeout(1_500)  # longer than a page that follows takes: that nothing comes is seen by waiting alone
    assert names(page) == ["first"]
    page.get_by_role("button", name="Paused").click()
    expect(page.get_by_role("link", name="second")).to_be_visible()
    assert store.job(job_id).state is JobState.QUEUED


def test_a_job_that_ended_during_a_pause_has_ended_after_it(visit: Visit, store: Store) -> None:
    (job_id,) = named(store, "first")
    page = visit.page
    page.goto("/?live=off")
    expect(page.locator("#jobs .state")).to_have_text("queued")
    store.cancel(job_id)
    page.get_by_role("button", name="Paused").click()
    expect(page.locator("#jobs .state")).to_have_text("cancelled")


def test_many_jobs_are_steered_at_once_after_a_question(visit: Visit, store: Store) -> None:
    ids = named(store, "alpha", "beta", "gamma")
    store.pause(ids[2])
    visit.page.goto("/")
    page = visit.page
    page.get_by_label("Choose all jobs of this page").check()
    bar = page.get_by_role("group", name="Chosen jobs")
    expect(bar.get_by_text("3 chosen")).to_be_visible()
    expect(bar.get_by_role("button", name="Delete")).to_be_disabled()
    bar.get_by_role("button", name="Pause 2 of 3").click()
    expect(page.get_by_text("2 jobs paused.")).to_be_visible()
    bar.get_by_role("button", name="Resume", exact=True).click()
    expect(page.get_by_text("3 jobs queued again.")).to_be_visible()
    bar.get_by_role("button", name="Cancel").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Cancel 3 jobs?")
    question.get_by_role("button", name="Back").click()
    assert {store.job(one).state for one in ids} == {JobState.QUEUED}
    bar.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("3 jobs cancelled.")).to_be_visible()
    assert {store.job(one).state for one in ids} == {JobState.CANCELLED}
    page.get_by_label("Choose alpha").uncheck()
    bar.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    assert [job.id for job in store.jobs()] == [ids[0]]


def test_a_refusal_is_said_in_words(visit: Visit, store: Store) -> None:
    """The job has changed since the page was read; the page does not follow."""
    visit.expected = ("409 ",)
    (job_id,) = named(store, "alpha")
    page = visit.page
    page.goto("/?live=off")
    page.get_by_label("Choose alpha").check()
    store.cancel(job_id)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("alpha: cannot pause a job that is cancelled: its state")).to_be_visible()
    expect(page.locator("#jobs .state")).to_have_text("cancelled")


def test_chosen_jobs_are_compared(visit: Visit, store: Store) -> None:
    ids = named(store, "alpha", "beta")
    page = visit.page
    page.goto("/")
    page.get_by_label("Choose alpha").check()
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    page.get_by_label("Choose beta").check()
    link = page.get_by_role("group", name="Chosen jobs").get_by_role("link", name="Compare")
    expect(link).to_have_attribute("href", f"/compare?job={ids[0]}&job={ids[1]}")


def test_who_may_only_read_is_told_so(visit: Visit, store: Store) -> None:
    named(store, "alpha")
    key = new_key()
    store.add_key(key, "ann", Scope.READ)
    visit.expected = ("401 ",)
    page = visit.page
    page.goto("/")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Choose alpha").check()
    bar = page.get_by_role("group", name="Chosen jobs")
    expect(bar.get_by_text("sees everything and changes nothing")).to_be_visible()
    for action in ("Pause", "Resume", "Cancel", "Delete"):
        expect(bar.get_by_role("button", name=action)).to_be_disabled()


def test_markup_stays_text(visit: Visit, store: Store) -> None:
    submit(store, small_spec(name=HOSTILE, tags=[HOSTILE]), submitted_by=HOSTILE)
    page = visit.page
    page.goto("/")
    expect(page.get_by_text(HOSTILE)).to_have_count(3)
    page.get_by_role("link", name=HOSTILE).last.click()
    page.wait_for_url("**/?tag=*")
    expect(page.get_by_label("Tags")).to_have_value(HOSTILE)
    assert page.locator("main img").count() == 0
    assert page.title() == "Jobs · Rhobust"


def test_everybody_can_use_it(visit: Visit, store: Store) -> None:
    run_made_up(store, submit(store, small_spec(name="a long name of a job " * 5, tags=["nightly"])), completed)
    run_made_up(store, submit(store, small_spec(name="b", seeds={"base": 9})), failed, state=JobState.FAILED)
    named(store, "c")
    page = visit.page
    page.goto("/")
    page.get_by_label("Choose c").check()
    expect(page.get_by_text("grid mean").nth(2)).to_be_visible()
    assert visit.barriers() == []
    page.set_viewport_size(PHONE)
    assert visit.barriers() == []


def test_the_keyboard_is_enough(visit: Visit, store: Store) -> None:
    ids = named(store, "alpha", "beta")
    page = visit.page
    page.goto("/")
    expect(page.locator("#jobs tbody tr")).to_have_count(2)
    page.keyboard.press("/")
    expect(page.get_by_label("Name or id")).to_be_focused()
    page.keyboard.type("alp")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="alpha")).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_label("Choose alpha")).to_be_checked()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{ids[0]}")


def test_a_server_that_fails_is_told_about(visit: Visit) -> None:
    visit.expected = ("Failed to load resource",)
    page = visit.page
    page.route(re.compile("/api/v1/jobs"), lambda route: route.abort())
    page.goto("/")
    expect(page.get_by_text("The jobs cannot be shown: The server does not answer.")).to_be_visible()


def test_a_thousand_jobs_are_seen_before_their_scores(visit: Visit, store: Store) -> None:
    """Useful paint is the list itself; the bound is far, for machines that are busy."""
    named(store, *(f"job {number}" for number in range(1_000)))
    page = visit.page
    page.goto("/")  # a first visit reads what the server then keeps
    expect(page.locator("#jobs tbody tr")).to_have_count(50)
    began = time.monotonic()
    page.goto("/")
    page.locator("#jobs tbody tr").nth(49).wait_for()
    assert time.monotonic() - began < 3
