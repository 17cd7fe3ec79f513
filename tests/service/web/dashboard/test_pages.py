"""Pages as a whole: what is stored shows as text, who may see it, and where each link leads."""

import pytest

from service.keys import Scope, new_key
from service.states import JobState
from service.store import Store
from tests.service.filling import small_spec, submit
from tests.service.web.dashboard.visit import HOSTILE, PHONE, Visit

pytestmark = pytest.mark.slow


def test_the_list_of_jobs_leads_to_each(visit: Visit, store: Store) -> None:
    visit.page.goto("/")
    visit.page.get_by_text("No job yet.").wait_for()
    job = submit(store, small_spec(name=HOSTILE))
    visit.page.get_by_role("link", name=HOSTILE).click()
    visit.page.wait_for_url(f"**/jobs/{job.id}")
    visit.page.get_by_role("heading", name=HOSTILE).wait_for()
    visit.page.get_by_text("0 of 20 cells", exact=True).wait_for()
    assert visit.page.locator("img").count() == 0, "stored markup stays text"


def test_the_api_is_described_without_a_script_and_without_another_host(visit: Visit) -> None:
    page = visit.page
    page.goto("/docs")
    call = page.locator("#submit_job")
    call.get_by_text("POST /api/v1/jobs").click()
    assert call.get_by_role("row", name="dry_run").is_visible()
    assert call.get_by_role("row", name="Idempotency-Key header").is_visible()
    call.get_by_role("link", name="JobDetail").first.click()
    assert page.url.endswith("#model-JobDetail")
    assert page.locator("details.operation").count() > 35
    assert page.locator("details.model").count() > 60
    targets = page.eval_on_selector_all(
        "main a[href^='#']", "links => [...new Set(links.map(one => one.hash.slice(1)))]"
    )
    assert [target for target in sorted(targets) if page.locator(f'[id="{target}"]').count() != 1] == []
    assert page.locator("main script").count() == 0


@pytest.mark.parametrize(("path", "what"), [("/jobs", "job"), ("/schedules", "schedule"), ("/alerts", "alert")])
def test_a_page_of_something_that_is_not_there_says_so_to_everybody(visit: Visit, path: str, what: str) -> None:
    visit.expected = ("404 ",)
    page = visit.page
    page.goto(f"{path}/nothing")
    page.get_by_role("heading", name=f"There is no {what} nothing").wait_for()
    assert page.title() == f"No {what} nothing \N{MIDDLE DOT} Rhobust"
    assert visit.barriers() == []
    page.set_viewport_size(PHONE)
    assert visit.barriers() == []
    page.get_by_role("link", name=f"All {what}s").click()
    page.wait_for_url("**/" if what == "job" else f"**{path}")


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/", "No job yet."),
        ("/submit", "The spec is valid."),
        ("/compare", "No baseline yet."),
        ("/schedules", "No schedule yet."),
        ("/alerts", "No alert is open"),
    ],
)
def test_a_page_asks_for_all_of_its_scripts_at_once(visit: Visit, path: str, seen: str) -> None:
    page = visit.page
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    page.goto(path)
    page.get_by_text(seen).wait_for()
    named = page.eval_on_selector_all("link[rel=modulepreload]", "links => links.map(one => one.href)")
    theme = f"{visit.own}/static/theme.js"  # which is no module
    assert {url for url in asked if url.endswith(".js")} == {*named, theme}
    assert len(named) == len(set(named))


def test_one_signs_in_where_keys_exist_and_is_led_on_to_the_page(visit: Visit, store: Store) -> None:
    job = submit(store)
    key = new_key()
    added = store.add_key(key, "ann", Scope.SUBMIT)
    visit.expected = ("401 ",)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.wait_for_url(f"**/sign-in?next=%2Fjobs%2F{job.id}")
    page.get_by_label("API key").fill(key[:-1] + ("A" if key[-1] != "A" else "B"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("is not known here").wait_for()
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{job.id}")
    page.get_by_text("0 of 20 cells", exact=True).wait_for()
    assert page.evaluate("document.cookie") == "", "no script sees the session"
    assert not page.evaluate("Object.keys({...localStorage, ...sessionStorage}).length"), "and the key is kept nowhere"
    own = page.evaluate("location.origin")
    page.goto("/sign-in?next=https://evil.example/")
    page.wait_for_url(f"{own}/")
    page.get_by_role("link", name="small").wait_for()
    store.revoke_key(added.id)
    page.get_by_label("Sort").select_option("oldest")
    page.wait_for_url("**/sign-in?next=%2F%3Fsort%3Dcreated_at", timeout=10_000)


def test_a_page_of_ours_may_change_something_and_signing_out_ends_that(visit: Visit, store: Store) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.SUBMIT)
    job = submit(store)
    visit.expected = ("401 ", "403 ")
    page = visit.page
    page.goto("/")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="small").wait_for()
    send = "async (path) => (await import('/static/api.js')).send('POST', path)"
    assert page.evaluate(send, f"/api/v1/jobs/{job.id}/cancel")["state"] == "cancelled"
    forged = "async (path) => (await fetch(path, {method: 'POST'})).status"
    assert page.evaluate(forged, f"/api/v1/jobs/{job.id}/retry") == 403
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert page.evaluate(forged, f"/api/v1/jobs/{job.id}/retry") == 401
    assert store.job(job.id).state is JobState.CANCELLED
