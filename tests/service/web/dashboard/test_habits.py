"""What every page has: the keys and the theme as somebody wants them, and pages without jobs that everybody can use."""

import pytest
from playwright.sync_api import expect

from service.keys import Scope, new_key
from service.store import Store
from tests.service.web.dashboard.visit import PHONE, Visit

pytestmark = pytest.mark.slow


def test_the_keys_are_listed_and_can_be_turned_off(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    page.get_by_text("No job yet.").wait_for()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys.get_by_role("row").filter(has_text="go to comparisons").locator("kbd")).to_have_text(["g", "c"])
    expect(keys.get_by_role("row").filter(has_text="next row").locator("kbd")).to_have_text(["j"])
    keys.get_by_label("single keys do this").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_have_count(0)  # not only out of sight: until it is gone it may have the focus
    for _ in range(2):
        page.keyboard.press("/")
        expect(page.get_by_label("Name or id")).not_to_be_focused()
        page.reload()
        page.get_by_text("No job yet.").wait_for()
    page.keyboard.press("?")  # which stays, as the way back
    expect(keys.get_by_label("single keys do this")).not_to_be_checked()
    keys.get_by_label("single keys do this").check()
    keys.get_by_role("button", name="Close").click()
    expect(page.locator("#keys")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_label("Name or id")).to_be_focused()


def test_a_theme_is_kept_over_a_reload(visit: Visit) -> None:
    page = visit.page
    page.emulate_media(color_scheme="light")
    page.goto("/")
    ink = "getComputedStyle(document.body).color"
    light = page.evaluate(ink)
    page.get_by_label("Theme").select_option("Dark")
    dark = page.evaluate(ink)
    assert dark != light
    page.reload()
    assert page.evaluate(ink) == dark
    expect(page.get_by_label("Theme")).to_have_value("dark")
    page.get_by_label("Theme").select_option("System theme")
    page.reload()
    assert page.evaluate(ink) == light


def test_the_list_of_keys_is_accessible(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("dialog", name="Keys").wait_for()
    assert visit.barriers() == []
    page.set_viewport_size(PHONE)
    assert visit.barriers() == []


def test_the_description_of_the_api_is_accessible(visit: Visit) -> None:
    page = visit.page
    page.goto("/docs")
    page.locator("#submit_job summary").click()
    page.set_viewport_size(PHONE)
    assert visit.barriers() == []


def test_signing_in_is_accessible_and_leads_back_to_the_very_place(visit: Visit, store: Store) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.READ)
    visit.expected = ("401 ",)
    page = visit.page
    page.goto("/compare#baselines-title")
    page.wait_for_url("**/sign-in?next=*")
    assert visit.barriers() == []
    page.set_viewport_size(PHONE)
    assert visit.barriers() == []
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare#baselines-title")
