"""Where a Chromium is. As a program: see that there is one before the tests begin, and say which.

It is one of the system, else Playwright's own, else Debian's package where we may install it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium"
HOW = "install Debian's package chromium, or run `playwright install chromium`"


def chromium_path(playwright: Playwright) -> str | None:
    """Return the program of a Chromium; None where there is none."""
    own = playwright.chromium.executable_path
    return _of_system() or (own if Path(own).exists() else None)


def _of_system() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _ensure() -> str:
    with sync_playwright() as playwright:
        found = chromium_path(playwright)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["sh", "-c", INSTALL], check=False, stdout=subprocess.DEVNULL)
        found = _of_system()
    return f"No Chromium: the dashboard is not tested; {HOW}." if found is None else f"Chromium: {found}"


if __name__ == "__main__":
    sys.stdout.write(f"{_ensure()}\n")
