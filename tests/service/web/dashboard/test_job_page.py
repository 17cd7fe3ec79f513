"""The page of a job: head, robustness table, heat maps and figures, in the URL and by keys."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from benchmark import Outcome
from benchmark.figures import figure_kinds
from benchmark.spec import Cell
from service.states import JobState
from service.store import InFlight, Job, Store
from tests.service.filling import (
    completed,
    curved,
    diverged,
    failed,
    landscape_spec,
    mixed,
    records_of,
    run_made_up,
    small_spec,
    submit,
    trained,
)
from tests.service.web.dashboard.visit import HOSTILE, PHONE, THEMES, Theme, Visit

pytestmark = pytest.mark.slow
PLAIN_FIGURES = {kind.name for kind in figure_kinds()} - {"heatmap", "trajectories"}


def wobbling(cell: Cell) -> Outcome:
    """Return an outcome whose differences between optimizers are the same for every seed but for a little."""
    outcome = completed(cell)
    shift = {"gd": 0.0, "sam": 0.001, "msam": -0.002}.get(cell.optimizer, 0.0) * (cell.seed % 3)
    return replace(outcome, metrics={name: value + shift for name, value in outcome.metrics.items()})


@pytest.fixture
def job(store: Store) -> Job:
    """A completed job of three optimizers and five seeds, in which msam with rho = 1 diverged throughout."""

    def outcome(cell: Cell) -> Outcome:
        is_bad = cell.optimizer == "msam" and cell.hyperparameters["rho"] == 1.0
        return diverged(cell) if is_bad else wobbling(cell)

    return run_made_up(store, submit(store, small_spec(seeds={"count": 5})), outcome)


def optimizers_in_order(page: Page) -> list[str]:
    return page.locator("table.robustness tbody th").all_inner_texts()


def test_the_head_tells_how_far_a_job_is_and_whose(visit: Visit, store: Store) -> None:
    job = submit(store, small_spec(tags=["nightly"]))
    run_made_up(store, job, lambda cell: diverged(cell) if cell.seed else completed(cell))
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("20 of 20 cells").wait_for()
    assert page.get_by_role("progressbar").get_attribute("value") == "20"
    assert page.locator("#state").inner_text() == "completed"
    assert page.get_by_text("10 completed (0 collapsed), 10 diverged").is_visible()
    assert page.get_by_role("link", name="nightly").get_attribute("href") == "/?tag=nightly"
    assert page.get_by_text("by local").is_visible()
    assert page.get_by_role("link", name="Clone").is_visible()


def test_who_runs_it_which_cells_have_no_result_and_why(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store), mixed, state=None)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("8: 0 untried, 4 failed, 4 timed out").wait_for()
    assert page.get_by_text("a-dispatcher, in the foreground; its lease ends in").is_visible()
    assert page.get_by_text("1 (crashes: 0 of 3)").is_visible()
    assert page.get_by_text("The first 5 of 8 that were tried.").is_visible()
    assert page.locator("#missing-cells tr").count() == 5
    assert page.get_by_role("cell", name="timed out").count() == 1
    page.get_by_text("Incomplete: 8 cells have no result.").wait_for()
    assert page.get_by_text("gd, not defined").first.is_visible()


def test_cells_in_flight_count_and_are_told_as_they_get_further(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store), completed, n=8, state=None)
    store.set_in_flight(job.id, job.attempt, InFlight(3, 0.75, 0.45))
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("3 cells in flight, the furthest 45 % done").wait_for()
    assert page.get_by_role("progressbar").get_attribute("value") == "8.75"
    store.set_in_flight(job.id, job.attempt, InFlight(1, 0.5, 0.5))
    page.get_by_text("1 cell in flight, 50 % done").wait_for()


def test_a_job_that_waits_for_nobody_says_so(visit: Visit, store: Store) -> None:
    job = submit(store)
    visit.page.goto(f"/jobs/{job.id}")
    visit.page.get_by_text("no dispatcher").wait_for()
    visit.page.get_by_text("Incomplete: 20 cells have no result.").wait_for()


def test_the_table_shows_measures_intervals_ranks_and_who_leads(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").first.wait_for()
    assert optimizers_in_order(page) == ["gd", "sam", "msam"]
    row = page.locator("table.robustness tbody tr").first
    assert row.locator("td.leads").count() >= 1
    assert row.locator("td.leads .star").first.is_visible()
    assert re.search(r"\d \d*\.\d+ to \d*\.\d+", " ".join(row.inner_text().split()))
    assert page.locator("table.robustness td.leads").count() < page.locator("table.robustness td").count() / 2
    assert page.get_by_text("5 seeds; equal steps;").is_visible()
    assert page.get_by_text("A diverged run scores the floor").is_visible()
    page.get_by_text("Ranks on digits-mlp").click()
    assert page.locator(".ranks tbody tr").first.inner_text().split() == [
        "gd",
        "●",
        "its",
        "rank",
        "ruled",
        "out",
        "ruled",
        "out",
    ]
    page.get_by_text("Paired differences on digits-mlp").click()
    assert page.get_by_role("row", name="gd \N{MINUS SIGN} msam").get_by_text("p < 0.001").first.is_visible()


def test_the_table_is_sorted_by_a_column_and_the_url_says_so(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Optimizer").press("Enter")
    assert optimizers_in_order(page) == ["gd", "msam", "sam"]
    header = page.get_by_role("columnheader", name="Optimizer").first
    assert header.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert optimizers_in_order(page) == ["sam", "msam", "gd"], "the button has the focus still"
    assert page.url.endswith("?sort=-optimizer")
    page.reload()
    page.get_by_role("row", name="msam").first.wait_for()
    assert optimizers_in_order(page) == ["sam", "msam", "gd"]
    page.go_back()
    page.get_by_role("columnheader", name="Optimizer").first.and_(page.locator("[aria-sort=ascending]")).wait_for()
    page.get_by_role("button", name="grid mean").click()
    assert page.get_by_role("columnheader", name="grid mean").get_attribute("aria-sort") == "descending"


def test_a_view_that_would_not_be_honest_is_refused_with_its_reason(visit: Visit, store: Store) -> None:
    budget = {"epochs": 1, "schedule": "cosine"}
    job = run_made_up(store, submit(store, small_spec(budget=budget)))
    visit.expected = ("422 ",)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").first.wait_for()
    page.get_by_label("View").select_option("equal_gradient_evaluations")
    page.get_by_text("train it anew with budget: {gradient_evaluations: N}").wait_for()
    assert "view=equal_gradient_evaluations" in page.url
    page.go_back()
    page.get_by_role("row", name="msam").first.wait_for()


def test_another_view_is_read_off_the_curves(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store))
    visit.page.goto(f"/jobs/{job.id}?view=equal_gradient_evaluations")
    visit.page.get_by_text("read at the last evaluation by then").wait_for()
    assert visit.page.get_by_label("View").input_value() == "equal_gradient_evaluations"


def test_the_table_is_copied_as_markdown_and_latex(visit: Visit, job: Job) -> None:
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Copy as Markdown").click()
    page.get_by_text("Copied the table as Markdown.").wait_for()
    assert "| msam" in page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Copy as LaTeX").click()
    page.get_by_text("Copied the table as LaTeX.").wait_for()
    assert "\\toprule" in page.evaluate("navigator.clipboard.readText()")
    with page.expect_download() as download:
        page.locator("#table-choices").get_by_role("link", name="csv").click()
    assert download.value.suggested_filename == f"{job.id}-table.csv"


def test_a_best_configuration_on_a_border_offers_to_extend(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("extend lr upward").first.wait_for()
    assert page.get_by_text("on the border: ").first.is_visible()
    assert page.get_by_role("link", name="Extend this job").get_attribute("href") == f"/submit?extend={job.id}"


def test_heat_maps_come_when_they_are_looked_at_an_optimizer_each(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").first.wait_for()
    page.keyboard.press("h")
    assert page.evaluate("document.activeElement.id") == "maps-title"
    page.locator("#maps .js-plotly-plot").wait_for()
    titles = page.locator("#maps .annotation-text").all_text_contents()
    assert {"gd", "sam", "msam"} <= set(titles)
    assert page.locator("#maps .heatmaplayer image, #maps .heatmaplayer path").count() >= 3
    assert page.locator("#maps .legendtext").get_by_text("diverged", exact=True).count() == 1
    for ending in ("svg", "png", "pdf", "csv"):
        with page.expect_download() as download:
            page.locator("#maps").get_by_role("link", name=ending).click()
        assert download.value.suggested_filename == f"{job.id}-heatmap.{ending}"


def test_which_optimizers_are_drawn_is_in_the_url(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}?optimizer=sam#heat-maps")
    page.locator("#maps .js-plotly-plot").wait_for()
    page.get_by_text("sam", exact=True).first.wait_for()
    assert page.locator("#maps .annotation-text").all_text_contents() == ["sam"]
    page.get_by_label("gd").check()
    assert page.url.endswith("?optimizer=gd&optimizer=sam#heat-maps")
    expect(page.locator("#maps .annotation-text")).to_have_text(["gd", "sam"])


@pytest.mark.parametrize("figure", ["ranks", "tuning", "slices", "curves", "difference"])
def test_every_figure_has_its_tab_and_its_place_in_the_url(visit: Visit, job: Job, figure: str) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}?figure={figure}")
    page.get_by_role("row", name="msam").first.wait_for()
    page.keyboard.press("f")
    page.locator("#figure .js-plotly-plot").wait_for()
    assert page.locator("#figure-tabs [aria-pressed=true]").get_attribute("data-figure") == figure
    assert page.locator("#figure > figure > .note").inner_text() != "", "what it rests on is text that wraps"


def test_a_figure_that_is_not_possible_says_why(visit: Visit, job: Job) -> None:
    visit.expected = ("422 ",)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").first.wait_for()
    page.keyboard.press("f")
    page.get_by_role("button", name="Sharpness").click()
    page.get_by_text("ask for it in a spec: `sharpness: [lambda_max]`").wait_for()
    assert page.url.endswith("?figure=sharpness#other-figures")
    assert page.locator("#figure .downloads").is_hidden()
    page.get_by_role("button", name="Performance profiles").click()
    page.locator("#figure .js-plotly-plot").wait_for()


def test_a_figure_recovers_from_failures_and_hears_clicks(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store), n=14, state=None)
    visit.expected = ("Failed to load resource",)
    page = visit.page
    figure = re.compile(r"/figures/heatmap\?")
    page.route(figure, lambda route: route.abort())
    page.goto(f"/jobs/{job.id}?optimizer=sam#heat-maps")
    page.locator("#maps").get_by_text("The server does not answer").wait_for()
    page.unroute(figure)
    store.write_records(job.id, job.attempt, records_of(job)[14:15], 60.0)
    page.locator("#maps .heatmaplayer").wait_for(state="attached")
    page.route(figure, lambda route: route.abort())
    store.write_records(job.id, job.attempt, records_of(job)[15:16], 60.0)
    page.locator("#maps").get_by_text("The server does not answer").wait_for()
    page.unroute(figure)
    store.write_records(job.id, job.attempt, records_of(job)[16:17], 60.0)
    plot = page.locator("#maps .js-plotly-plot .nsewdrag").first
    plot.wait_for()
    page.keyboard.press("h")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    page.locator("#maps .hoverlayer .hovertext").wait_for()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    page.get_by_role("dialog", name="sam on digits-mlp").wait_for()


@pytest.mark.parametrize(
    ("method", "seen"), [("sobol", ".scatterlayer .point"), ("tpe", ".annotation-text >> text=points")]
)
def test_a_search_that_is_no_grid_is_drawn(visit: Visit, store: Store, method: str, seen: str) -> None:
    space = {"lr": {"log": [0.01, 0.1]}, "rho": {"log": [0.1, 1.0]}}
    search = {"method": method, "n_configurations": 4}
    job = submit(store, small_spec(optimizers=[{"name": "sam"}], space=space, search=search))
    visit.expected = ("422 ",)  # a search that has not begun has no profiles
    if method == "sobol":
        run_made_up(store, job)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.locator("table.robustness").first.wait_for()
    page.keyboard.press("h")
    page.locator("#maps .js-plotly-plot").wait_for()
    page.locator(f"#maps {seen}").first.wait_for(state="attached")


def test_a_page_follows_a_running_job_and_can_be_paused(visit: Visit, store: Store) -> None:
    job = submit(store)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("0 of 20 cells", exact=False).wait_for()
    page.get_by_role("button", name="Live").wait_for()
    page.get_by_text("Incomplete: 20 cells have no result.").wait_for()
    run_made_up(store, job, n=10, state=None)
    page.get_by_text("10 of 20 cells").wait_for(timeout=10_000)
    page.get_by_text("Incomplete: 10 cells have no result.").wait_for(timeout=10_000)
    page.get_by_role("button", name="Live").click()
    page.get_by_role("button", name="Paused").wait_for()
    assert page.url.endswith("?live=off")
    store.finish(job.id, 1, JobState.FAILED, error="it broke")
    page.get_by_role("button", name="Paused").click()
    page.locator("#error").get_by_text("it broke").wait_for()
    assert page.locator("#state").inner_text() == "failed"
    page.get_by_role("button", name="Ended").wait_for()


def test_the_back_button_pauses_and_goes_on_as_the_url_says(visit: Visit, store: Store) -> None:
    job = submit(store)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Live").wait_for()
    page.get_by_label("Columns").select_option("all")
    page.get_by_role("button", name="Live").click()
    page.get_by_role("button", name="Paused").wait_for()
    page.go_back()
    page.get_by_role("button", name="Live").wait_for()
    assert "live=off" not in page.url
    page.go_forward()
    page.get_by_role("button", name="Paused").wait_for()


def test_what_is_missing_of_a_running_job_is_counted_on(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store), n=2, state=None)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("18: 18 untried, 0 failed, 0 timed out").wait_for()
    store.write_records(job.id, job.attempt, records_of(job)[2:9], 60.0)
    page.get_by_text("11: 11 untried, 0 failed, 0 timed out").wait_for()


def test_a_running_job_keeps_what_is_focused_and_open(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store), n=14, state=None)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("Incomplete: 6 cells have no result.").wait_for()
    folded = page.locator("#tables details").first
    folded.locator("summary").click()
    page.get_by_role("button", name="Optimizer").press("Enter")
    expect(folded).to_have_attribute("open", "")
    store.write_records(job.id, job.attempt, records_of(job)[14:16], 60.0)
    page.get_by_text("Incomplete: 4 cells have no result.").wait_for()
    expect(folded).to_have_attribute("open", "")
    expect(page.get_by_role("button", name="Optimizer")).to_be_focused()
    for label, chosen in (("Columns", "details"), ("View", "equal_steps")):
        page.get_by_label(label).focus()
        page.get_by_label(label).select_option(chosen)
        page.wait_for_url(f"**{chosen}*")
        expect(page.get_by_label(label)).to_be_focused()


def test_the_log_and_the_spec_are_there_to_open(visit: Visit, job: Job) -> None:
    visit.expected = ("404 ",)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("20 of 20 cells").or_(page.get_by_text("50 of 50 cells")).wait_for()
    page.get_by_text("Log of its driver").click()
    page.get_by_text("has no log on this host").wait_for()
    page.get_by_text("Spec", exact=True).click()
    page.locator("#spec-text").get_by_text("name: small").wait_for()


def test_a_job_is_steered_from_its_page(visit: Visit, store: Store) -> None:
    job = submit(store)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    expect(page.get_by_role("status")).to_have_text("small: cancelled.")
    expect(page.get_by_role("button", name="Retry")).to_be_focused()
    assert store.job(job.id).state is JobState.CANCELLED


def test_markup_in_names_and_errors_is_text(visit: Visit, store: Store) -> None:
    """The name is whoever's submits; the error may hold what a plug-in was given."""

    def broken(cell: Cell) -> Outcome:
        return replace(failed(cell), error=HOSTILE) if cell.seed else completed(cell)

    job = run_made_up(store, submit(store, small_spec(name=HOSTILE, tags=[HOSTILE])), broken)
    visit.expected = ("422 ",)
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.locator("#missing-cells").get_by_text(HOSTILE).first.wait_for()
    page.keyboard.press("h")
    page.locator("#maps .js-plotly-plot").wait_for()
    assert page.title() == f"{HOSTILE} · Rhobust"
    assert page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_accessible_in_both_themes(visit: Visit, job: Job, theme: Theme) -> None:
    page = visit.page
    page.emulate_media(color_scheme=theme)
    page.goto(f"/jobs/{job.id}?columns=all")
    page.get_by_role("row", name="msam").first.wait_for()
    for title in ("Ranks on digits-mlp", "Paired differences on digits-mlp"):
        page.get_by_text(title).click()
    page.keyboard.press("f")
    page.locator("#figure .js-plotly-plot").wait_for()
    page.locator("#maps .js-plotly-plot").wait_for()
    page.get_by_text("Cells of digits-mlp as a table").click()
    assert visit.inaccessible() == []


@pytest.mark.parametrize("theme", THEMES)
def test_texts_of_figures_are_read_in_both_themes(visit: Visit, store: Store, theme: Theme) -> None:
    def outcome(cell: Cell) -> Outcome:
        return diverged(cell) if cell.hyperparameters.get("rho") == 1.0 else curved(cell)

    plain = run_made_up(store, submit(store, small_spec(sharpness=["sam"], seeds={"count": 3})), outcome)
    descent = run_made_up(store, submit(store, landscape_spec()), trained)
    page = visit.page
    page.emulate_media(color_scheme=theme)
    for job, figures in ((plain, sorted(PLAIN_FIGURES)), (descent, ["trajectories"])):
        for figure in figures:
            page.goto(f"/jobs/{job.id}?figure={figure}#other-figures")
            page.locator("#figure .js-plotly-plot text").first.wait_for()
            assert visit.faint_texts() == [], figure
    page.locator("#maps .js-plotly-plot text").first.wait_for()
    assert visit.faint_texts() == []


def test_by_tab_alone_one_comes_from_the_list_of_jobs_to_the_curves_of_a_cell(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto("/")
    visit.tab_to(page.get_by_role("link", name="small"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{job.id}")
    page.locator("table.robustness").wait_for()
    visit.tab_to(page.locator("table.robustness").get_by_role("button", name="lr=0.1 rho=0.1").first)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="sam on digits-mlp")
    dialog.locator(".js-plotly-plot").wait_for()
    visit.tab_to(dialog.get_by_label("Series"))
    before = dialog.locator(".ytitle").text_content()
    page.keyboard.press("ArrowDown")
    expect(dialog.locator(".ytitle")).not_to_have_text(before or "")
    visit.tab_to(dialog.get_by_role("button", name="csv"))
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == f"{job.id}-cell.csv"
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_it_fits_a_narrow_screen(visit: Visit, job: Job) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").first.wait_for()
    for key, drawn in (("h", "#maps"), ("f", "#figure")):
        page.keyboard.press(key)
        page.locator(f"{drawn} .js-plotly-plot").wait_for()
        assert visit.overflow() == 0


def test_ink_of_figures_is_seen_in_the_dark(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("row", name="msam").first.wait_for()
    page.keyboard.press("f")
    line = page.locator("#figure .js-plotly-plot .scatterlayer path.js-line").first
    line.wait_for()
    assert line.evaluate("path => path.style.stroke") == "rgb(0, 0, 0)"
    page.get_by_label("Theme").select_option("dark")
    expect(line).to_have_css("stroke", "rgb(230, 233, 238)")
