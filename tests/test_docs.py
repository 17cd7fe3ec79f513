"""The programs in the documentation are programs that work."""

import asyncio
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from service.webhooks.sending import send
from service.webhooks.signing import new_secret
from service.webhooks.targets import AllowList
from tests.service.processes import free_port, until

DOCS = Path(__file__).parents[1] / "docs"


def program(page: str) -> str:
    """The first block of Python on a page."""
    block = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block
    return block.group(1)


@pytest.mark.slow
def test_the_task_of_the_worked_example_trains(tmp_path: Path) -> None:
    """A class in a script travels to the workers of a real Ray, by value."""
    script = tmp_path / "wine.py"
    script.write_text(program("tasks.md"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "wine" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| gd ", "| msam "))]
    assert len(rows) >= 2
    assert re.search(r"\.[89]\d", rows[0]), f"wines are not hard: {rows[0]}"


@pytest.mark.slow
def test_the_rule_of_the_worked_example_trains(tmp_path: Path) -> None:
    """A function in a script travels to the workers of a real Ray, by value."""
    script = tmp_path / "signs.py"
    script.write_text(program("plugins.md"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| sign\\_sam ")]
    assert rows
    assert re.search(r"\.\d\d", rows[0]), f"nothing was learned: {rows[0]}"


@pytest.mark.slow
@pytest.mark.long
def test_the_comparison_of_two_runs_says_what_it_allowed_for(tmp_path: Path) -> None:
    """A real training, three times."""
    script = tmp_path / "nightly.py"
    script.write_text(program("regressions.md"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\w+ maximum over all measures, from 2 replays of the baseline\n", done.stdout)
    assert not done.stdout.startswith("regressed")  # the last replay is no further off than the furthest


def test_the_receiver_of_webhooks_takes_what_is_genuine_and_nothing_else(tmp_path: Path) -> None:
    port, secret = free_port(), new_secret()
    script = tmp_path / "receiver.py"
    script.write_text(program("webhooks.md").replace("9000", str(port)))
    target = AllowList.parse(f"http://127.0.0.1:{port}").target(f"http://127.0.0.1:{port}/rhobust")
    body = b'{"type":"webhook.test","data":{"webhook_id":"7k2m9x4qfa"}}'

    def post(signed_with: str) -> tuple[int | None, str | None]:
        attempt = asyncio.run(send(target, signed_with, "msg_1", body, ssl.create_default_context())).attempt
        return attempt.status, attempt.error

    environment = {**os.environ, "WEBHOOK_SECRET": secret}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as receiver:
        try:
            until(lambda: post(secret) == (204, None), "the receiver takes a message")
            assert post(new_secret()) == (401, "status")
            assert receiver.stdout
            assert receiver.stdout.readline() == "webhook.test {'webhook_id': '7k2m9x4qfa'}\n"
        finally:
            receiver.kill()
