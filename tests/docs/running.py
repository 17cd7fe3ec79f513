"""Runs the blocks of a page in their order, with a folder, a shell, a Python and, where need be, a server of its own.

What differs from what a reader does:

- The examples in the folder are smaller, so that they are trained in seconds; blocks that are files stay as they are.
- Ports are free ones, and `rhobust serve` and `rhobust worker` go on beside the page until it ends, or starts another.
- `make` says what it would do, and `pip install` installs into a folder, without the libraries and the network.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tests.docs.blocks import ROOT, Block
from tests.docs.interpreter import DONE
from tests.service.processes import environment, free_port, until

STEP_S = 900.0  # for one block, also where the machine does much else
PORTS = ("8321", "9000")  # that pages name
# Of a command that takes minutes, what is run in its place.
SMALLER = {
    "calibrate main --replays 19": "calibrate main --replays 2 --alarm-rate 0.34",
    "calibrate main --wait": "calibrate main --replays 2 --alarm-rate 0.34 --wait",
}
SERVICE = re.compile(r"^((?:\w+=\S+ )*)(rhobust (?:serve|worker)\b.*|python receiver\.py)$")
PRELUDE = """
set -euo pipefail
_beside() {
  "$@" >> service.log 2>&1 &
}
_serve() {
  if [ -n "${SERVER:-}" ]; then kill "$SERVER"; wait "$SERVER" || true; fi
  "$@" --port "$PORT" >> service.log 2>&1 &
  SERVER=$!
  until curl -fsS "$RHOBUST_URL/readyz" > /dev/null 2>&1; do
    kill -0 "$SERVER" || { cat service.log >&2; return 1; }
    sleep 0.2
  done
}
_listens() {
  until (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; do sleep 0.2; done
}
make() { command make --dry-run --silent -C "$REPOSITORY" "$@"; }
pip() {
  python -m pip "$1" --quiet --no-index --no-deps --no-build-isolation --target "$PLUGINS" "${@:2}"
}
"""


class BlockError(Exception):
    """A block did not do what it says."""


def shrunk(text: str) -> str:
    """Return a spec that says the same with fewer epochs, points, starts and seeds."""
    text = re.sub(r"\b(epochs): \d+", r"\1: 1", text)
    text = re.sub(r"\b(n|grid): \d+", r"\1: 2", text)
    return re.sub(r"\bcount: (\d+)", lambda found: f"count: {3 if found[1] == '10' else 2}", text)


def is_talked_to(blocks: Sequence[Block]) -> bool:
    """Whether a page's blocks need a server that they do not start themselves."""
    shown = "\n".join(block.text for block in blocks if block.is_run)
    return bool(re.search(r"\brhobust |\bClient\(|\bcurl ", shown)) and "rhobust serve" not in shown


class Page:
    """A page that is being run.

    Args:
        blocks: its own, in their order.
        folder: an empty one.
    """

    def __init__(self, blocks: Sequence[Block], folder: Path) -> None:
        self._blocks = blocks
        self._folder = folder
        self._ports = {port: str(free_port()) for port in PORTS}
        self._log = (folder.parent / f"{folder.name}.log").open("w+", encoding="utf-8")
        self._lay_out()
        self._shell = self._start(["bash"])
        self._python: subprocess.Popen[str] | None = None
        self._n_files = 0

    def _lay_out(self) -> None:
        self._folder.mkdir()
        shutil.copytree(ROOT / "examples", self._folder / "examples", ignore=shutil.ignore_patterns("*.egg-info"))
        for path in (self._folder / "examples").rglob("*.yaml"):
            path.write_text(shrunk(path.read_text(encoding="utf-8")), encoding="utf-8")
        (self._folder / ".venv").symlink_to(sys.prefix)
        (self._folder / "plugins").mkdir()

    def _environment(self) -> dict[str, str]:
        port, folder = self._ports["8321"], self._folder
        url = f"http://127.0.0.1:{port}"
        paths = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder / 'plugins'}:{ROOT}",
            "PLUGINS": str(folder / "plugins"),
            "REPOSITORY": str(ROOT),
        }
        return environment(folder / "data", RHOBUST_URL=url, PORT=port, **paths)

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )

    def run(self) -> None:
        """Run every block.

        Raises:
            BlockError: for one that does not do what it says, with what was shown.
        """
        self._in_shell(PRELUDE, "what every page begins with")
        if is_talked_to(self._blocks):
            self._in_shell("_serve rhobust serve\n", "the start of the server")
        for block in self._blocks:
            if block.title is not None:
                (self._folder / block.title).write_text(self._here(block.text), encoding="utf-8")
            elif not block.is_run:
                continue
            elif block.language == "python":
                self._in_python(block)
            elif block.language == "bash":
                self._in_shell(self._script(block.text), str(block))
            else:
                self._at_prompt(block)

    def close(self) -> None:
        """End whatever is still there."""
        for process in (self._python, self._shell):
            if process is not None:
                _end(process)
        self._log.close()

    def _here(self, text: str) -> str:
        for named, own in self._ports.items():
            text = re.sub(rf"\b{named}\b", own, text)
        return text

    def _script(self, text: str) -> str:
        for whole, small in SMALLER.items():
            text = text.replace(whole, small)
        return "".join(f"{self._line(line)}\n" for line in self._here(text).splitlines())

    def _line(self, line: str) -> str:
        """Return a line of a script; a service goes on beside it, and is waited for."""
        found = SERVICE.match(line.split("  #")[0].rstrip())
        if found is None:
            return line
        before, command = found.groups()
        if command.startswith("rhobust serve"):
            return f"{before}_serve {command}"
        waits = f"; _listens {self._ports['9000']}" if command.startswith("python") else ""
        return f"{before}_beside {command}{waits}"

    def _in_shell(self, script: str, name: str) -> None:
        path = self._file("sh", script)
        self._ask(self._shell, f"source {path} < /dev/null; echo $'{DONE.encode('unicode_escape').decode()}'", name)

    def _in_python(self, block: Block) -> None:
        if self._python is None:
            self._python = self._start([sys.executable, str(Path(__file__).with_name("interpreter.py"))])
        self._ask(self._python, str(self._file("py", self._here(block.text))), str(block))

    def _at_prompt(self, block: Block) -> None:
        """Run the commands of a session and compare what each prints with what the page shows."""
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            printed = self._folder / "printed.txt"
            self._in_shell(f"{{ {self._here(command)}; }} > {printed} 2>&1 || true\n", str(block))
            expected = re.escape(shown.strip()).replace(re.escape("..."), ".*")
            text = printed.read_text(encoding="utf-8").strip()
            if not re.fullmatch(expected, text, flags=re.DOTALL):
                raise BlockError(f"{block}: {command} must print\n{shown}\nbut prints\n{text}")

    def _file(self, ending: str, text: str) -> Path:
        self._n_files += 1
        path = self._folder / f"block-{self._n_files}.{ending}"
        path.write_text(text, encoding="utf-8")
        return path

    def _ask(self, process: "subprocess.Popen[str]", line: str, name: str) -> None:
        """Have a process do something, and wait until it says that it is done."""
        asked: IO[str] | None = process.stdin
        told: IO[str] | None = process.stdout
        if asked is None or told is None:
            raise RuntimeError("the process must have been started with pipes.")
        guard = threading.Timer(STEP_S, lambda: os.killpg(process.pid, signal.SIGKILL))
        guard.start()
        try:
            asked.write(f"{line}\n")
            asked.flush()
            lines: list[str] = []
            for shown in told:
                if shown.rstrip("\n").endswith(DONE):
                    return
                lines.append(shown)
            raise BlockError(f"{name} failed.\n{''.join(lines[-40:])}\n{self._tail()}")
        finally:
            guard.cancel()

    def _tail(self) -> str:
        logs = [Path(self._log.name), self._folder / "service.log"]
        texts = [path.read_text(encoding="utf-8", errors="replace")[-4_000:] for path in logs if path.exists()]
        return "\n---\n".join(texts)


def _end(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it started, and wait for them."""
    group = process.pid
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
    process.communicate()  # until all that write to its pipe are gone
    until(lambda: not _is_alive(group), "a page ends")


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def page_of(blocks: Sequence[Block], folder: Path) -> Iterator[Page]:
    """Provide a page that is to be run; whatever it started is ended."""
    page = Page(blocks, folder)
    try:
        yield page
    finally:
        page.close()
