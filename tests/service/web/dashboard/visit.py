"""A page, and everything on it that should not happen."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Locator, Page, Request, ViewportSize

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
PHONE: ViewportSize = {"width": 360, "height": 740}
MOST_TABS = 150  # from any place of a page to any other
# Texts of figures whose colour differs too little from the page under them (WCAG 2.2, 1.4.3), with what it is.
FAINT_TEXTS = """() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const over = (...colours) => {
        for (const [colour, opacity] of colours) {
            context.globalAlpha = opacity;
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
        }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const linear = (part) => (part <= 0.03928 * 255 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    const ground = getComputedStyle(document.body).backgroundColor;
    const isFaint = (one) => {
        const { fill, fillOpacity, opacity } = getComputedStyle(one);
        const lights = [luminance(over([ground, 1])), luminance(over([ground, 1], [fill, fillOpacity * opacity]))];
        return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05) < 4.5;
    };
    const texts = [...document.querySelectorAll(".js-plotly-plot text")];
    return texts.filter((one) => one.textContent.trim() && one.checkVisibility() && isFaint(one))
        .map((one) => `${one.textContent}: ${getComputedStyle(one).fill} on ${ground}`);
}"""
# A text that somebody stored: where it is not shown as text, it gives the page another title.
HOSTILE = "<img src=x onerror=\"document.title='run'\">\"'</title><script>document.title='run'</script>"
SERIOUS = ("serious", "critical")


@dataclass
class Visit:
    """A page of the dashboard in its window.

    Attributes:
        page: Playwright's.
        own: the address of the server.
        faults: errors and warnings of the console, scripts that failed, and requests that left the host.
        expected: patterns of faults that the test provokes: Chromium says of every refusal that it is one.
    """

    page: Page
    own: str
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._see)

    @property
    def unexpected(self) -> list[str]:
        """Faults that the test does not expect."""
        return [fault for fault in self.faults if not any(re.search(one, fault) for one in self.expected)]

    def inaccessible(self) -> list[str]:
        """Return what axe-core finds serious or worse on the page as it is now: the rule, and where."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]} ({node.get('failureSummary', '')})"
            for one in found
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]

    def barriers(self) -> list[str]:
        """Return what keeps somebody from the page as it is now: in either theme, and where it leaves its window."""
        found = [f"wider than its window by {wider} px"] if (wider := self.overflow()) else []
        for theme in THEMES:
            self.page.emulate_media(color_scheme=theme)
            found += [f"{theme}: {one}" for one in self.inaccessible()]
        return found

    def faint_texts(self) -> list[str]:
        """Return the texts in figures that are too faint to be read on the page as it is now."""
        assert self.page.locator(".js-plotly-plot text").count() > 0
        return list(self.page.evaluate(FAINT_TEXTS))

    def tab_to(self, target: Locator) -> None:
        """Press Tab until something has the focus, as whoever uses no mouse does."""
        target.wait_for()
        for _ in range(MOST_TABS):
            if target.evaluate("one => one === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{MOST_TABS} times Tab did not lead to {target}.")

    def downloaded(self, target: Locator) -> tuple[str, bytes]:
        """Return the name and the content of the file that a click brings."""
        with self.page.expect_download() as download:
            target.click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.text} ({message.location.get('url', '')})")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self.own, "data:", "blob:")):
            self.faults.append(f"a request left the host: {request.url}")
