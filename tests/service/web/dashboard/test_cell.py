"""A cell of a job: opened by a click, a key or a link, with its runs and their curves."""

import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from playwright.sync_api import Page, expect

from benchmark import Outcome
from benchmark.spec import Cell
from service.store import Job, Store
from tests.service.filling import completed, diverged, failed, run_made_up, small_spec, submit
from tests.service.web.dashboard.visit import PHONE, Visit

pytestmark = pytest.mark.slow
CELL = "cell=digits-mlp&cell=msam&cell=lr%3D0.1&cell=rho%3D1.0"


@pytest.fixture
def job(store: Store) -> Job:
    """A completed job in which msam with rho = 1 diverged at the second of three seeds, and failed at the third."""

    def outcome(cell: Cell) -> Outcome:
        if cell.optimizer != "msam" or cell.hyperparameters["rho"] != 1.0 or cell.seed == 0:
            return completed(cell)
        if cell.seed == 1:
            return replace(diverged(cell), curve=completed(cell).curve)
        return replace(failed(cell), error="<b>no luck</b>")

    return run_made_up(store, submit(store, small_spec(seeds={"count": 3})), outcome)


def shown(page: Page) -> list[list[str]]:
    rows = page.locator("#cell tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_a_link_opens_a_cell_with_every_run_and_its_curves(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}?{CELL}")
    dialog = page.get_by_role("dialog", name="msam on digits-mlp")
    dialog.get_by_role("row").nth(3).wait_for()
    rows = shown(page)
    assert [row[:2] for row in rows] == [["0", "completed"], ["1", "diverged"], ["2", "failed"]]
    assert "0.7" in rows[0][2], "the test accuracy of the first"
    assert "7" in rows[1], "the step at which the second diverged"
    assert rows[2][-1] == "<b>no luck</b>", "what is stored is text"
    assert dialog.get_by_text("rho").first.is_visible()
    dialog.locator(".js-plotly-plot").wait_for()
    assert dialog.locator(".legendtext").all_text_contents() == ["seed 0", "seed 1, diverged"]
    dialog.get_by_label("Series").select_option("train_loss")
    expect(dialog.locator(".ytitle")).to_have_text("train loss")
    assert visit.inaccessible() == []


def test_the_curves_are_downloaded_as_they_are_drawn_and_in_numbers(visit: Visit, job: Job) -> None:
    page = visit.page
    page.emulate_media(color_scheme="dark")  # files are on white all the same
    page.goto(f"/jobs/{job.id}?{CELL}")
    card = page.locator("#cell figure")
    card.locator(".js-plotly-plot .legendtext").first.wait_for()
    card.get_by_role("button", name="svg").wait_for()
    files = {ending: visit.downloaded(card.get_by_role("button", name=ending)) for ending in ("svg", "png", "csv")}
    assert {name for name, _ in files.values()} == {f"{job.id}-cell.{ending}" for ending in files}
    picture = files["svg"][1].decode()
    assert picture.startswith("<svg")
    assert "seed 1, diverged" in picture
    assert "test accuracy of each seed, msam on digits-mlp lr=0.1 rho=1" in picture
    pixels = (255 * imread(io.BytesIO(files["png"][1]))[..., :3]).round().astype(int)
    assert pixels[2, 2].tolist() == [255, 255, 255]
    assert (pixels == [0, 114, 178]).all(axis=-1).any(), "the line of the first seed"
    found = pd.read_csv(io.BytesIO(files["csv"][1]))
    assert found["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    assert found["step"].tolist() == [5, 10, 16] * 2
    assert found["status"].tolist() == ["completed"] * 3 + ["diverged"] * 3
    np.testing.assert_allclose(found["train_loss"], [0.5, 1.0, 1.5] * 2)


def test_closing_and_the_back_button_take_it_from_the_url_and_back(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}")
    best = page.locator("table.robustness").get_by_role("button", name="lr=0.1 rho=0.1").first
    best.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="sam on digits-mlp")
    dialog.get_by_role("row").nth(3).wait_for()
    assert "cell=sam" in page.url
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page).not_to_have_url(re.compile("cell="))
    expect(best).to_be_focused()
    page.go_back()
    dialog.wait_for()
    page.go_back()
    expect(dialog).to_have_count(0)


def test_a_jump_from_cell_to_cell_leaves_the_second_open(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}?{CELL}")
    page.get_by_role("dialog", name="msam on digits-mlp").wait_for()
    page.evaluate(
        """async () => (await import("/static/url.js"))
            .setParameters({ cell: ["digits-mlp", "sam", "lr=0.1", "rho=0.1"] }, { push: true })"""
    )
    page.get_by_role("dialog", name="msam on digits-mlp").wait_for(state="detached")
    page.get_by_role("dialog", name="sam on digits-mlp", exact=True).get_by_role("row").nth(3).wait_for()
    assert "cell=sam" in page.url
    page.go_back()
    page.get_by_role("dialog", name="msam on digits-mlp").get_by_role("row").nth(3).wait_for()
    assert "cell=msam" in page.url


def test_a_click_on_the_map_opens_the_cell_under_it(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}?optimizer=msam#heat-maps")
    plot = page.locator("#maps .js-plotly-plot")
    plot.wait_for()
    page.keyboard.press("h")
    box = plot.locator(".nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    hover = page.locator("#maps .hoverlayer .hovertext")
    hover.wait_for()
    for text in ("\N{GREEK SMALL LETTER RHO} 1", "learning rate 0.1", "seed 1: 0.1, diverged", "seed 2: failed"):
        assert hover.get_by_text(text).count() == 1, text
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    page.get_by_role("dialog", name="msam on digits-mlp").get_by_text("diverged").first.wait_for()
    assert page.url.endswith("cell=digits-mlp&cell=msam&cell=lr%3D0.1&cell=rho%3D1.0#heat-maps")


def test_the_cells_are_a_table_for_whoever_does_not_see_the_map(visit: Visit, job: Job) -> None:
    page = visit.page
    page.goto(f"/jobs/{job.id}?optimizer=msam#heat-maps")
    page.locator("#maps .js-plotly-plot").wait_for()
    cells = page.get_by_text("Cells of digits-mlp as a table")
    cells.focus()
    page.keyboard.press("Enter")
    table = page.locator("#maps table")
    expect(table.get_by_role("row")).to_have_count(5)
    texts = table.locator("tbody tr").first.inner_text()
    assert "lr=0.1 rho=0.1" in texts, "the best first"
    assert "seed 0: 0.88" in texts
    assert "seed 2: failed" in table.inner_text()
    table.get_by_role("button", name="lr=0.1 rho=1").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="msam on digits-mlp").wait_for()


def test_a_cell_without_a_run_says_so(visit: Visit, store: Store) -> None:
    job = submit(store)
    visit.page.goto(f"/jobs/{job.id}?{CELL}")
    visit.page.get_by_text("No run of this cell is recorded yet.").wait_for()


def test_a_cell_that_is_none_says_why(visit: Visit, job: Job) -> None:
    visit.expected = ("422 ",)
    visit.page.goto(f"/jobs/{job.id}?cell=digits-mlp&cell=sam&cell=rh%3D1")
    visit.page.get_by_text("did you mean 'rho'?").wait_for()


def test_a_cell_fits_a_narrow_screen(visit: Visit, job: Job) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    page.goto(f"/jobs/{job.id}?{CELL}")
    dialog = page.get_by_role("dialog")
    dialog.locator(".js-plotly-plot").wait_for()
    assert visit.overflow() == 0
    assert dialog.evaluate("one => one.scrollWidth - one.clientWidth") == 0
    assert visit.inaccessible() == []
