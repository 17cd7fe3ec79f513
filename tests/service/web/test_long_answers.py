"""An answer that goes on is for whoever is still let in."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.keys import Scope, new_key
from service.store import Store, UnavailableError
from service.web import authentication, logs
from tests.service.filling import submit
from tests.service.processes import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(logs, "FOLLOW_POLL_S", 0.02)
    monkeypatch.setattr(authentication, "CHECK_AGAIN_S", 0.05)


class Follower:
    """Reads the log of a job, to which lines are written, in a thread.

    Attributes:
        text: what came so far.
        is_broken: whether the answer broke off, rather than end in order.
    """

    def __init__(self, web: httpx.Client, store: Store, path: Callable[[str], Path], headers: dict[str, str]) -> None:
        self.store, self.job = store, submit(store)
        self.text, self.is_broken = "", False
        self._log = path(self.job.id)
        self._log.parent.mkdir(parents=True)
        self._log.write_text("begin\n")
        self._web, self._headers = web, headers
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        until(lambda: "begin" in self.text, "it follows", 20)

    def _read(self) -> None:
        url = f"/api/v1/jobs/{self.job.id}/logs"
        try:
            with self._web.stream("GET", url, params={"follow": True}, headers=self._headers) as response:
                for piece in response.iter_text():
                    self.text += piece
        except httpx.RemoteProtocolError:
            self.is_broken = True

    def write(self) -> bool:
        """Append a line, and return whether it still reads."""
        with self._log.open("a") as log:
            log.write("line\n")
        return self._thread.is_alive()

    def goes_on(self) -> None:
        """Wait until more has come."""
        n_before = len(self.text)
        until(lambda: self.write() and len(self.text) > n_before + 100, "it goes on", 20)

    def ends(self) -> None:
        """Wait until it reads no more."""
        until(lambda: not self.write(), "it ends", 20)


@pytest.fixture
def follower(web: httpx.Client, store: Store, tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Follower]]:
    """Follow a job's log with some headers."""
    made: list[Follower] = []

    def follow(headers: dict[str, str]) -> Follower:
        made.append(Follower(web, store, lambda job_id: tmp_path / "data" / "logs" / f"{job_id}.log", headers))
        return made[-1]

    yield follow
    for one in made:
        if not store.job(one.job.id).state.is_terminal:
            store.cancel(one.job.id)
        one.ends()


@pytest.mark.parametrize("by", ["key", "session"])
def test_it_breaks_off_when_the_key_is_revoked(
    store: Store, follower: Callable[[dict[str, str]], Follower], by: str
) -> None:
    key = new_key()
    added = store.add_key(key, "ann", Scope.READ)
    headers = {"Authorization": f"Bearer {key}"}
    if by == "session":
        headers = {"Cookie": f"rhobust_session={store.open_session(added.id, 3600)}"}
    reader = follower(headers)
    reader.goes_on()
    store.revoke_key(added.id)
    reader.ends()
    assert reader.is_broken, "half a file must not look like a whole one"


def test_it_breaks_off_for_who_was_local_until_the_first_key_was_made(
    store: Store, follower: Callable[[dict[str, str]], Follower]
) -> None:
    reader = follower({})
    reader.goes_on()
    store.add_key(new_key(), "ann", Scope.READ)
    reader.ends()
    assert reader.is_broken


def test_it_goes_on_while_the_database_is_away(
    store: Store, follower: Callable[[dict[str, str]], Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    store.add_key(key, "ann", Scope.READ)
    reader = follower({"Authorization": f"Bearer {key}"})

    def away(_: str) -> None:
        raise UnavailableError("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "authenticate", away)
        reader.goes_on()
        reader.goes_on()
    store.cancel(reader.job.id)
    reader.ends()
    assert not reader.is_broken
