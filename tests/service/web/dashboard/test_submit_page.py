"""A new job: by the form, by text, as a clone, and as an extension, each with its price before it is sent."""

import re

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from service.keys import Scope, new_key
from service.states import JobState
from service.store import Store
from tests.service.filling import run_made_up, small_spec, submit
from tests.service.web.dashboard.visit import HOSTILE, PHONE, Visit
from tests.service.web.test_specs import sweeping

pytestmark = pytest.mark.slow
WRONG = """\
name: x
tasks:
  - {name: digits-mpl}
optimizers:
  - {name: sam, space: {rho: {values: [0.1]}}}
  - {name: smam}
space: {lr: {values: [0.1]}}
"""


def write(page: Page, text: str) -> None:
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    page.locator("textarea").fill(text)


def fact(page: Page, name: str) -> str:
    return page.locator("dt", has_text=re.compile(f"^{name}$")).locator("+ dd").inner_text()


def test_a_job_is_made_by_the_form(visit: Visit, store: Store) -> None:
    page = visit.page
    page.goto("/submit")
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    page.get_by_label("Name", exact=True).first.fill("my first")
    page.get_by_label("Tags").fill("nightly, yes")
    page.get_by_label("breast-cancer-mlp").check()
    page.get_by_label("asam").check()
    page.get_by_label("sam SAM", exact=True).uncheck()
    page.get_by_label("momentum", exact=True).fill("0.9")
    page.get_by_label("Seeds").fill("2")
    page.get_by_label("lr: points").fill("3")
    page.get_by_role("combobox", name="rho", exact=True).select_option("values")
    page.get_by_label("rho: values").fill("0.05, 1e-7")
    page.get_by_label("Length").fill("1")
    expect(page.locator("textarea")).to_have_value(
        """\
schema_version: 1
name: "my first"
tags: [nightly, "yes"]
tasks:
  - {name: breast-cancer-mlp}
  - {name: digits-mlp}
budget: {epochs: 1, batch_size: 64}
base: {name: sgd, momentum: 0.9}
optimizers:
  - {name: asam}
  - {name: gd}
  - {name: msam}
space:
  lr: {log: [0.01, 1], n: 3}
  rho: {values: [0.05, 1.0e-7]}
seeds: {count: 2}
"""
    )
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    assert fact(page, "cells") == str(2 * (6 + 3 + 6) * 2)
    assert not fact(page, "estimated time").isdecimal()
    expect(page.get_by_text("Not all is known: no dispatcher is alive")).to_be_visible()
    expect(page.get_by_role("row", name="breast-cancer-mlp asam")).to_contain_text("12")
    assert store.jobs() == [], "a plan makes nothing"
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/*")
    (job,) = store.jobs()
    assert page.url.endswith(f"/jobs/{job.id}")
    assert (job.name, job.tags, job.n_cells) == ("my first", ("nightly", "yes"), 60)


@pytest.mark.parametrize("method", ["sobol", "tpe"])
def test_a_search_has_so_many_configurations_and_no_points(visit: Visit, method: str) -> None:
    page = visit.page
    page.goto("/submit")
    page.get_by_label("Search").select_option(method)
    page.get_by_label("Configurations of each optimizer").fill("8")
    expect(page.locator("textarea")).to_have_value(re.compile(f"search: {{method: {method}, n_configurations: 8}}"))
    assert not page.get_by_label("lr: points").is_visible()
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    assert fact(page, "cells") == str(3 * 8 * 5)


def test_errors_stand_beside_their_lines(visit: Visit, store: Store) -> None:
    visit.expected = ("422 ",)
    page = visit.page
    page.goto("/submit")
    write(page, WRONG)
    expect(page.get_by_text("2 errors; nothing is submitted.")).to_be_visible()
    notes = page.get_by_role("list", name="Errors").get_by_role("button")
    expect(notes).to_have_count(2)
    expect(notes.first).to_contain_text("Line 3 unknown task 'digits-mpl'; did you mean 'digits-mlp'?")
    expect(notes.last).to_contain_text("Line 6 unknown optimizer 'smam'")
    gutter = page.locator("#gutter .error")
    assert gutter.all_inner_texts() == ["! 3", "! 6"]
    for note, line in zip(notes.all(), gutter.all(), strict=True):
        at, beside = note.bounding_box(), line.bounding_box()
        assert at is not None
        assert beside is not None
        assert abs(at["y"] - beside["y"]) < 4, "as high as its line"
    area = page.locator("textarea")
    described = (area.get_attribute("aria-describedby") or "").split()
    assert [page.locator(f"#{one}").inner_text()[:6] for one in described[1:]] == ["Line 3", "Line 6"]
    assert area.get_attribute("aria-invalid") == "true"
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    assert not page.get_by_role("heading", name="Plan and price").is_visible()
    notes.last.click()
    assert page.evaluate("getSelection().toString()") == "  - {name: smam}"
    page.keyboard.type("  - {name: msam, fixed: {rho: 0.1}}")
    area.fill(area.input_value().replace("mpl", "mlp"))
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    expect(notes).to_have_count(0)
    assert area.get_attribute("aria-invalid") == "false"
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    assert store.jobs() == []


def test_a_text_that_is_no_yaml_says_where(visit: Visit) -> None:
    visit.expected = ("422 ",)
    page = visit.page
    page.goto("/submit")
    write(page, "name: x\ntasks: [\nseeds: {count: 2}\n  - ?")
    note = page.get_by_role("list", name="Errors").get_by_role("button")
    expect(note).to_contain_text(re.compile("Line [34].*is not YAML or JSON"))


def test_a_double_click_makes_one_job(visit: Visit, store: Store) -> None:
    page = visit.page
    page.goto("/submit")
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    page.get_by_role("button", name="Submit").dblclick()
    page.wait_for_url("**/jobs/*")
    assert len(store.jobs()) == 1


def test_what_was_sent_already_is_not_sent_again_after_an_answer_was_lost(visit: Visit, store: Store) -> None:
    visit.expected = ("Failed to load resource",)
    page = visit.page
    lost: list[APIResponse] = []

    def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch())
            route.abort()
        else:
            route.continue_()

    page.goto("/submit")
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    page.route(re.compile("/api/v1/jobs$"), lose_the_answer)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("status").filter(has_text="The server does not answer.").first).to_be_visible()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/*")
    assert len(store.jobs()) == 1


def test_a_form_does_not_write_over_an_edited_text_unasked(visit: Visit) -> None:
    page = visit.page
    page.goto("/submit")
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    text = page.locator("textarea").input_value() + "# mine\n"
    page.locator("textarea").fill(text)
    page.get_by_label("Seeds").fill("9")
    assert page.locator("textarea").input_value() == text
    page.get_by_role("button", name="Write the text by the form again").click()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    assert page.locator("textarea").input_value() == text
    page.get_by_role("button", name="Write the text by the form again").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    expect(page.locator("textarea")).to_have_value(re.compile(r"seeds: \{count: 9\}\n$"))


def test_a_clone_begins_with_the_spec_of_the_job(visit: Visit, store: Store) -> None:
    job = submit(store)
    page = visit.page
    page.goto(f"/submit?clone={job.id}")
    expect(page.get_by_role("heading", name="Clone of small")).to_be_visible()
    area = page.locator("textarea")
    expect(area).to_have_value(re.compile(r"  - \{name: sam, space: \{rho: \{values: \[0.1, 1.0\]\}\}\}"))
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    area.fill(area.input_value().replace("name: small", "name: other"))
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/*")
    newest, oldest = store.jobs()
    assert (newest.name, oldest.id) == ("other", job.id)
    assert dict(newest.spec) == {**job.spec, "name": "other"}


def test_a_job_is_extended_by_what_its_table_proposes(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store, sweeping()))
    page = visit.page
    page.goto(f"/submit?extend={job.id}")
    expect(page.get_by_role("heading", name="Extend small")).to_be_visible()
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    expect(page.get_by_role("button", name="Extend")).to_be_disabled()
    expect(page.get_by_text("sam on digits-mlp lies at this end").first).to_be_visible()
    page.get_by_label("Extend rho downward by 2 points: n = 2 -> 4").check()
    expect(page.locator("textarea")).to_have_value(re.compile(r"name: msam, space: \{rho: \{log: \[0.001, 1.0\], n: 4"))
    page.get_by_label("More seeds: 2 -> 4").check()
    expect(page.locator("textarea")).to_have_value(re.compile(r"seeds: \{count: 4\}"))
    expect(page.get_by_role("button", name="Extend")).to_be_enabled()
    assert page.url.endswith("choose=low%3Arho&choose=seeds")
    assert (fact(page, "cells"), fact(page, "new cells")) == ("72", "52")
    page.go_back()
    expect(page.get_by_label("More seeds")).not_to_be_checked()
    expect(page.locator("textarea")).to_have_value(re.compile(r"seeds: \{count: 2\}"))
    expect(page.get_by_role("button", name="Extend")).to_be_enabled()
    page.get_by_role("button", name="Extend").click()
    page.wait_for_url(f"**/jobs/{job.id}")
    extended = store.job(job.id)
    assert (extended.state, extended.n_cells) == (JobState.QUEUED, 36)


def test_the_back_button_does_not_write_over_an_edited_text_unasked(visit: Visit, store: Store) -> None:
    job = run_made_up(store, submit(store, sweeping()))
    page = visit.page
    page.goto(f"/submit?extend={job.id}")
    seeds = page.get_by_label("More seeds: 2 -> 4")
    seeds.check()
    expect(page.locator("textarea")).to_have_value(re.compile(r"seeds: \{count: 4\}"))
    expect(seeds).to_be_focused()
    text = page.locator("textarea").input_value() + "# mine\n"
    page.locator("textarea").fill(text)
    page.go_back()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    assert page.locator("textarea").input_value() == text
    expect(seeds).not_to_be_checked()
    page.go_forward()
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    expect(page.locator("textarea")).to_have_value(re.compile(r"seeds: \{count: 4\}(?s:(?!# mine).)*$"))


def test_a_text_that_is_no_extension_is_refused_in_words(visit: Visit, store: Store) -> None:
    visit.expected = ("422 ",)
    job = run_made_up(store, submit(store))
    page = visit.page
    page.goto(f"/submit?extend={job.id}")
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    area = page.locator("textarea")
    area.fill(area.input_value().replace("count: 2", "count: 1"))
    note = page.get_by_role("list", name="Errors").get_by_role("button")
    expect(note).to_contain_text("every cell of the job must stay, with its labels, but")


def test_a_job_that_runs_cannot_be_extended_and_says_so(visit: Visit, store: Store) -> None:
    visit.expected = ("409 ",)
    job = submit(store)
    visit.page.goto(f"/submit?extend={job.id}")
    expect(visit.page.get_by_text("cannot extend a job that is queued")).to_be_visible()
    expect(visit.page.get_by_role("button", name="Extend")).to_be_disabled()


def test_who_may_only_read_is_told_so(visit: Visit, store: Store) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.READ)
    visit.expected = ("401 ",)
    page = visit.page
    page.goto("/submit")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("sees everything and changes nothing").first).to_be_visible()
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()


def test_markup_stays_text(visit: Visit, store: Store) -> None:
    visit.expected = ("422 ",)
    job = submit(store, small_spec(name=HOSTILE))
    page = visit.page
    page.goto(f"/submit?clone={job.id}")
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    write(page, f"name: x\ntasks: [{{name: '{HOSTILE.replace(chr(39), chr(39) * 2)}'}}]\n")
    expect(page.get_by_role("list", name="Errors")).to_contain_text(HOSTILE[:20])
    assert page.locator("main img").count() == 0
    assert page.title() == "New job · Rhobust"


def test_everybody_can_use_it(visit: Visit, store: Store) -> None:
    visit.expected = ("422 ",)
    job = run_made_up(store, submit(store, sweeping()))
    page = visit.page
    for path in ("/submit", f"/submit?extend={job.id}"):
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(path)
        expect(page.get_by_text("The spec is valid.")).to_be_visible()
        assert visit.barriers() == []
        page.set_viewport_size(PHONE)
        assert visit.overflow() == 0
        page.locator("textarea").fill(WRONG)
        expect(page.get_by_role("list", name="Errors").get_by_role("button").first).to_be_visible()
        assert visit.barriers() == []


def test_the_keyboard_is_enough(visit: Visit, store: Store) -> None:
    page = visit.page
    page.goto("/submit")
    expect(page.get_by_text("The spec is valid.")).to_be_visible()
    page.locator("textarea").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "TEXTAREA", "one can leave the text by Tab"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/jobs/*")
    assert len(store.jobs()) == 1
