"""What the documentation offers to copy, beyond that it runs: it refuses what it should, and names what there is."""

import asyncio
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import typer.main
import yaml

from service.cli.commands import app
from service.webhooks.sending import send
from service.webhooks.signing import new_secret
from service.webhooks.targets import AllowList
from tests.service.processes import free_port, until

DOCS = Path(__file__).parents[2] / "docs"


def program(page: str) -> str:
    """The first block of Python on a page."""
    block = re.search(r"```python[^\n]*\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block
    return block.group(1)


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


def test_the_workflow_for_a_gate_says_commands_that_there_are() -> None:
    workflow = yaml.safe_load((DOCS.parent / "examples" / "ci" / "regressions.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines() if "pip install" not in line]
    said = set()
    for match in re.finditer(r"\brhobust ([^>|;&)\n]*)", "\n".join(lines)):
        command, words = typer.main.get_command(app), match[1].split()
        while commands := getattr(command, "commands", None):
            said.add(words[0])
            command = commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, match[0]
    assert said == {"serve", "ls", "submit", "watch", "baseline", "set", "compare"}
