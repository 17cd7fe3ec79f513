"""The dashboard in a real Chromium, watched for everything that should not happen there."""

import os
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.service.web.dashboard.chromium import HOW, chromium_path
from tests.service.web.dashboard.visit import Visit


@pytest.fixture(scope="package")  # Playwright keeps an event loop, in which no test beyond could run its own
def browser() -> Iterator[Browser]:
    """A Chromium. In CI a missing one is a failure."""
    expect.set_options(timeout=20_000)  # the first spec that a server reads takes seconds, more where it is busy
    with sync_playwright() as playwright:
        path = chromium_path(playwright)
        if path is None:
            assert not os.environ.get("CI"), f"no Chromium: {HOW}"
            pytest.skip(f"no Chromium: {HOW}")
        # As root, and in containers, Chromium's sandbox does not start.
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser, web: httpx.Client) -> Iterator[Visit]:
    """A page of the app in a fresh window; the test fails if it met a fault that the test does not expect."""
    with browser.new_context(base_url=str(web.base_url).rstrip("/"), reduced_motion="reduce") as context:
        visit = Visit(context.new_page(), str(web.base_url).rstrip("/"))
        yield visit
        assert visit.unexpected == []
