"""Take the pictures of the dashboard that the README and the documentation show: of a real job on a real server.

    python -m docs.screenshots FOLDER [SPEC]

The spec is run on a server of its own, by default the quickstart. So is a small one by a schedule, a few times.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, ViewportSize, sync_playwright

from benchmark import Spec
from service.background import running_server
from service.client import Client, Job
from tests.service.processes import until
from tests.service.web.dashboard.chromium import HOW, chromium_path

ROOT = Path(__file__).parent.parent
WIDTH = 1280  # of the window
N_RUNS = 3
NIGHTLY: Mapping[str, Any] = {
    "name": "nightly",
    "tasks": [{"name": "digits-mlp", "params": {"hidden": 16}, "budget": {"epochs": 2}}],
    "optimizers": [{"name": "sam", "space": {"rho": {"log": [0.05, 0.8], "n": 3}}}],
    "space": {"lr": {"log": [0.03, 0.3], "n": 3}},
    "seeds": {"count": 5},
}


@dataclass(frozen=True)
class Shot:
    """A picture.

    Attributes:
        name: of the file.
        path: of the page.
        ready: what is seen when the page is there.
        theme: light or dark.
        height: of the picture.
    """

    name: str
    path: str
    ready: str
    theme: Literal["light", "dark"] = "light"
    height: int = 860


def shots(job: Job, spec: Spec) -> tuple[Shot, ...]:
    """Return the pictures of the pages, in which this job is the one to look at."""
    task = spec.tasks[-1].name
    of_task = f"/jobs/{job.id}?task={task}"
    of_two = f"/compare?job={job.id}&task={task}&optimizer=msam&optimizer=sam"
    return (
        Shot("jobs", "/", "#jobs .scores", height=600),
        Shot("job", of_task, "#tables tbody tr"),
        Shot("heatmaps", f"{of_task}#heat-maps", "#maps .js-plotly-plot", height=760),
        Shot("compare", f"{of_two}#differences", "#result .js-plotly-plot", height=930),
        Shot("schedule", "/schedules/nightly", "#history .js-plotly-plot .point", theme="dark", height=930),
    )


def take(folder: Path, spec: Path) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with _server() as url, Client(url) as client:
        client.schedules.add("nightly", "0 3 * * *", NIGHTLY)
        for _ in range(N_RUNS):
            _run(client, "nightly")
        job = client.submit(spec)
        job.wait(progress=True)
        with sync_playwright() as playwright:
            path = chromium_path(playwright)
            if path is None:
                sys.exit(f"There is no Chromium: {HOW}.")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            for shot in shots(job, Spec.from_file(spec)):
                size = ViewportSize(width=WIDTH, height=shot.height)
                page = browser.new_page(base_url=url, viewport=size, reduced_motion="reduce")
                _take(page, shot, folder / f"{shot.name}.png")
                page.close()
            browser.close()


def _run(client: Client, schedule: str) -> None:
    """Run a schedule once, until the run is judged."""
    run = client.schedules.run(schedule)
    client.job(run.job_id or "").wait(progress=True)
    until(lambda: client.schedules.history_of(schedule, run.id).judged_at is not None, "the run is judged")


def _take(page: Page, shot: Shot, file: Path) -> None:
    page.emulate_media(color_scheme=shot.theme)
    page.goto(shot.path)
    page.locator(shot.ready).first.wait_for(state="attached")
    if "#" in shot.path:
        page.locator(shot.path[shot.path.index("#") :]).evaluate("one => one.scrollIntoView()")
    page.wait_for_timeout(1_500)  # figures are drawn by then
    page.screenshot(path=file)


@contextmanager
def _server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="rhobust-") as data_dir:
        os.environ["RHOBUST_DATA_DIR"] = data_dir
        with running_server(0) as (url, _):
            yield url


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "examples" / "quickstart.yaml")
