"""The dashboard in a real Chromium."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from benchmark import Outcome
from benchmark.spec import Cell
from service.keys import Scope, new_key
from service.states import JobState
from service.store import Store
from tests.service.filling import completed, diverged, failed, mixed, run_made_up, small_spec, submit

pytestmark = pytest.mark.slow

LOUD = ("error", "warning")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium: one that is installed, else Playwright's own. In CI a missing one is a failure."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        if not os.path.exists(path):  # noqa: PTH110  (a path of Playwright's)
            message = "no Chromium: install Debian's package chromium, or run `playwright install chromium`"
            assert not os.environ.get("CI"), message
            pytest.skip(message)
        # As root, and in containers, Chromium's sandbox does not start.
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@dataclass
class Visit:
    """A page, and everything on it that should not happen."""

    page: Page
    faults: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser, web: httpx.Client) -> Iterator[Visit]:
    """A page of the app in a fresh window."""
    own = str(web.base_url).rstrip("/")
    page = browser.new_page(base_url=own)
    visit = Visit(page)
    page.on(
        "console", lambda message: visit.faults.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: visit.faults.append(str(error)))
    page.on("request", lambda request: visit.faults.append(request.url) if _is_foreign(request.url, own) else None)
    yield visit
    page.close()


def _is_foreign(url: str, own: str) -> bool:
    return not url.startswith((own, "data:", "blob:"))


def test_a_job_shows_progress_table_and_a_heat_map_an_optimizer(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store), lambda cell: diverged(cell) if cell.seed else completed(cell))
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").wait_for()
    assert page.get_by_role("progressbar").get_attribute("value") == "20"
    assert page.get_by_text("20 of 20 cells").is_visible()
    assert page.get_by_text("10 completed (0 collapsed), 10 diverged").is_visible()
    assert page.get_by_role("row").count() == 4
    page.locator("#maps .js-plotly-plot").wait_for()
    titles = page.locator("#maps .annotation-text").all_text_contents()
    assert {"gd", "sam", "msam"} <= set(titles)
    assert page.locator("#maps .heatmaplayer image, #maps .heatmaplayer path").count() >= 3
    assert visit.faults == []


def test_a_job_shows_who_runs_it_and_which_cells_have_no_result(visit: Visit, store: Store) -> None:
    def marked_up(cell: Cell) -> Outcome:
        return replace(failed(cell), error="<img src=x onerror=alert(1)>") if cell.optimizer == "gd" else mixed(cell)

    job = run_made_up(store, submit(store), marked_up, state=None)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("8: 0 untried, 4 failed, 4 timed out").wait_for()
    assert page.get_by_text("a-dispatcher, in the foreground; its lease ends in").is_visible()
    assert page.get_by_text("1 (crashes: 0 of 3)").is_visible()
    assert page.get_by_role("link", name="driver's log").get_attribute("href") == f"/api/v1/jobs/{job.id}/logs"
    cells = page.locator("#missing-cells tr")
    assert cells.count() == 5
    assert page.get_by_role("cell", name="<img src=x onerror=alert(1)>").count() == 4
    assert page.locator("img").count() == 0
    assert page.get_by_role("cell", name="timed out").count() == 1
    store.finish(job.id, 1, JobState.COMPLETED)
    other = run_made_up(store, submit(store, small_spec(name="whole", seeds={"base": 9, "count": 2})))
    page.goto(f"/jobs/{other.id}")
    page.get_by_text("20 of 20 cells", exact=True).wait_for()
    assert not page.get_by_role("heading", name="Cells without a result").is_visible()
    assert visit.faults == []


@pytest.mark.parametrize(
    ("method", "seen"), [("sobol", ".scatterlayer .point"), ("tpe", ".annotation-text >> text=points")]
)
def test_a_search_that_is_no_grid_is_drawn(visit: Visit, store: Store, method: str, seen: str) -> None:
    space = {"lr": {"log": [0.01, 0.1]}, "rho": {"log": [0.1, 1.0]}}
    search = {"method": method, "n_configurations": 4}
    job = submit(store, small_spec(optimizers=[{"name": "sam"}], space=space, search=search))
    if method == "sobol":
        run_made_up(store, job)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.locator("#maps .js-plotly-plot").wait_for()
    page.locator(f"#maps {seen}").first.wait_for(state="attached")
    assert visit.faults == []


def test_a_page_follows_a_running_job(visit: Visit, store: Store) -> None:
    job = submit(store)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("0 of 20 cells", exact=True).wait_for()
    page.get_by_text("Incomplete: 20 cells have no result.").wait_for()
    run_made_up(store, job)
    page.get_by_text("20 of 20 cells", exact=True).wait_for(timeout=10_000)
    page.get_by_text("completed", exact=True).wait_for()
    assert visit.faults == []


def test_the_list_of_jobs_leads_to_each(visit: Visit, store: Store) -> None:
    visit.page.goto("/")
    visit.page.get_by_text("No job yet.").wait_for()
    name = "<img src=x onerror=alert(1)> & co"
    job = submit(store, small_spec(name=name))
    visit.page.get_by_role("link", name=name).click()
    visit.page.wait_for_url(f"**/jobs/{job.id}")
    visit.page.get_by_role("heading", name=name).wait_for()
    visit.page.get_by_text("0 of 20 cells", exact=True).wait_for()
    assert visit.page.locator("img").count() == 0, "stored markup stays text"
    assert visit.faults == []


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
    assert visit.faults == []


def test_a_page_of_a_job_that_is_not_there(web: httpx.Client) -> None:
    response = web.get("/jobs/nothing")
    assert response.status_code == 404


def test_one_signs_in_where_keys_exist_and_is_led_on_to_the_page(visit: Visit, store: Store) -> None:
    job = submit(store)
    key = new_key()
    added = store.add_key(key, "ann", Scope.SUBMIT)
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
    page.wait_for_url("**/sign-in?next=%2F", timeout=10_000)
    # Chromium says of every 401 that it is one
    assert [fault for fault in visit.faults if "401 (Unauthorized)" not in fault] == []


def test_a_page_of_ours_may_change_something_and_signing_out_ends_that(visit: Visit, store: Store) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.SUBMIT)
    job = submit(store)
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
    assert [fault for fault in visit.faults if "40" not in fault] == []


HOSTILE = "<img src=x onerror=\"document.title='run'\">\"'</title><script>document.title='run'</script>"


def test_markup_in_names_and_errors_is_text(visit: Visit, store: Store) -> None:
    """The name is whoever's submits; the error may hold what a plug-in was given."""

    def broken(cell: Cell) -> Outcome:
        return replace(failed(cell), error=HOSTILE)

    job = run_made_up(store, submit(store, small_spec(name=HOSTILE, tags=[HOSTILE])), broken)
    visit.page.goto("/")
    visit.page.get_by_text(HOSTILE).wait_for()
    visit.page.goto(f"/jobs/{job.id}")
    visit.page.locator("#missing-cells").get_by_text(HOSTILE).first.wait_for()
    assert visit.page.title() == f"{HOSTILE} · Rhobust"
    assert visit.page.locator("main img, main script").count() == 0
    assert visit.faults == []
