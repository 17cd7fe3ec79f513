"""Several dispatchers on one machine: they split its CPUs, run jobs at once, and end with what keeps them."""

import asyncio
import errno
import signal
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.keeping import cpu_shares, kept_dispatchers
from service.states import JobState
from service.store import Store
from tests.service.cli.conftest import Cli, cli  # noqa: F401  (a fixture)
from tests.service.filling import small_spec, submit
from tests.service.processes import environment, running, until


@given(n_shares=st.integers(1, 64), more=st.integers(0, 200))
def test_shares_are_even_and_use_every_cpu(n_shares: int, more: int) -> None:
    shares = cpu_shares(n_shares, n_shares + more)
    assert (len(shares), sum(shares)) == (n_shares, n_shares + more)
    assert 1 <= min(shares) <= max(shares) <= min(shares) + 1


def test_fewer_cpus_than_shares() -> None:
    with pytest.raises(ValueError, match="n_shares <= n_cpus must hold, but got n_shares=3, n_cpus=2"):
        cpu_shares(3, 2)


@pytest.mark.parametrize("role", ["worker", "serve"])
def test_fewer_cpus_than_jobs_is_a_usage_error(cli: Cli, role: str) -> None:  # noqa: F811
    result = cli(role, "--jobs", 3, "--cpus", 2)
    assert result.code == 2
    assert "each of the jobs must have a CPU, but got --jobs 3 for 2" in " ".join(result.err.replace("│", " ").split())


def test_what_keeps_a_process_from_starting_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many processes: the next try comes later, and is made."""
    tries = 0

    async def refuse(*_command: str, **_options: object) -> None:
        nonlocal tries
        tries += 1
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    async def keep() -> None:
        async with kept_dispatchers([None]):
            async with asyncio.timeout(20):
                while tries < 3:
                    await asyncio.sleep(0.01)

    monkeypatch.setattr("service.keeping.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    asyncio.run(keep())


def below(pid: int) -> list[psutil.Process]:
    """Return all processes below one."""
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_two_jobs_run_at_once_and_nothing_is_left_when_the_parent_ends(tmp_path: Path, number: signal.Signals) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    data_dir.mkdir()
    # long enough to be met at work
    long = {"budget": {"epochs": 60}, "resources": {"pack": "sequential"}, "reuse": False}
    with Store.open(f"sqlite:///{data_dir / 'rhobust.db'}", create=True) as store:
        jobs = [submit(store, small_spec(name=name, **long)) for name in ("one", "two")]
        with running("worker", "--jobs", "2", "--cpus", "2", env=environment(data_dir), log=log) as process:

            def are_recorded() -> bool:
                assert process.poll() is None, log.read_text()
                return all(store.progress(job.id).n_linked for job in jobs)

            until(are_recorded, "both have records", 120)
            found = [store.job(job.id) for job in jobs]
            assert [job.state for job in found] == [JobState.RUNNING, JobState.RUNNING]
            assert len({job.owner for job in found}) == 2
            assert [one.resources["cpus"] for one in store.dispatchers(60)] == [1, 1]
            left = below(process.pid)
            assert len([child for child in left if "service.jobs.driver" in child.cmdline()]) == 2
            process.send_signal(number)
            assert process.wait(30) == (0 if number is signal.SIGTERM else -number)
            if number is signal.SIGTERM:
                assert not any(child.is_running() for child in left), "all had ended before the parent did"
                assert {store.job(job.id).state for job in jobs} == {JobState.QUEUED}, "they were given back"
                assert store.dispatchers(60) == []
            until(lambda: not any(child.is_running() for child in left), "nothing is left")
