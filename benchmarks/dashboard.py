"""Measure how long the dashboard takes to its first useful paint: what one came for can be read, in a real Chromium.

    python -m benchmarks.dashboard [--smoke] [--jobs N] [--cells N]

For the list of jobs that is its first row, for a job the first row of its robustness table. The clock starts with the
navigation, with nothing in the browser's cache; figures come after. A large job is opened when nobody has asked for its
table yet, then again, and once more from a server that has just started with the same data folder; a server that ran
when the job ended has computed the table by then. To be reached: 1 s for the list of 1,000 jobs, 2 s for a job of
100,000 cells.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, sync_playwright

from benchmarks.service import Sizes, fill, served
from benchmarks.store import databases
from service.store import Store
from tests.service.web.dashboard.chromium import HOW, chromium_path

REACH_LIST_S, REACH_JOB_S = 1.0, 2.0
LIST, TABLE = "#jobs tbody tr", "#tables tbody tr"
N_VISITS = 5
TIMEOUT_MS = 120_000
# The page itself notes when it is painted: whoever asks it from outside adds the time of asking.
NOTE_WHEN_SEEN = """
globalThis.seenAt = new Promise((resolve) => {
    new MutationObserver((changes, observer) => {
        if (document.querySelector("USEFUL")?.checkVisibility()) {
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
        }
    }).observe(document, { attributes: true, childList: true, subtree: true });
});
"""


def main() -> None:
    """Print all times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: see that it runs")
    parser.add_argument("--jobs", type=int, default=1_000, help="jobs in the store")
    parser.add_argument("--cells", type=int, default=100_000, help="cells of the large job")
    options = parser.parse_args()
    n_jobs, n_cells = (5, 80) if options.smoke else (options.jobs, options.cells)
    with databases("sqlite") as new_url, tempfile.TemporaryDirectory(prefix="rhobust-") as folder:
        url = next(new_url)
        with Store.open(url) as store:
            large = fill(store, Sizes(n_jobs, n_cells + 40 * n_jobs, n_cells, 1, (1,))).table
        with sync_playwright() as playwright:
            path = chromium_path(playwright)
            if path is None:
                sys.exit(f"There is no Chromium: {HOW}.")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            _measure(browser, url, Path(folder), large, n_jobs, n_cells)
            browser.close()


def _measure(browser: Browser, url: str, folder: Path, large: str, n_jobs: int, n_cells: int) -> None:
    page = f"/jobs/{large}"
    with served(url, folder) as (address, _):
        first_s, again_s = _visits(browser, f"{address}/", LIST)
        _print(f"list of {n_jobs:,} jobs", first_s, again_s, REACH_LIST_S)
        first_s, again_s = _visits(browser, address + page, TABLE)
        _print(f"job of {n_cells:,} cells, table not asked for before", first_s, again_s, REACH_JOB_S)
    with served(url, folder) as (address, _):
        first_s, again_s = _visits(browser, address + page, TABLE)
        _print(f"job of {n_cells:,} cells, server just started", first_s, again_s, REACH_JOB_S)


def _print(what: str, first_s: float, again_s: float, reach_s: float) -> None:
    shares = f"({first_s / reach_s:.2f} and {again_s / reach_s:.2f} of {reach_s:g} s)"
    print(f"{what}: {first_s:.2f} s, then {again_s:.2f} s {shares}", flush=True)


def _visits(browser: Browser, url: str, useful: str) -> tuple[float, float]:
    """Return the seconds of the first visit, and the median of those after it."""
    first_s, *others = [_visit(browser, url, useful) for _ in range(1 + N_VISITS)]
    return first_s, statistics.median(others)


def _visit(browser: Browser, url: str, useful: str) -> float:
    with browser.new_context() as context:  # nothing is cached
        context.add_init_script(NOTE_WHEN_SEEN.replace("USEFUL", useful))
        page = context.new_page()
        page.goto(url, wait_until="commit")
        page.locator(useful).first.wait_for(timeout=TIMEOUT_MS)
        return float(page.evaluate("globalThis.seenAt")) / 1000


if __name__ == "__main__":
    main()
