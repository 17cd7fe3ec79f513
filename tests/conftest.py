"""What all tests share."""

import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# Tests that a shell runs in the background ignore Ctrl-C, and the programs that they start would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep generated data in folders of this run, also for the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHOBUST_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path_factory.mktemp("datasets")))
        patch.setenv("RHOBUST_CHECKPOINTS_DIR", str(tmp_path_factory.mktemp("checkpoints")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them, and of the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Train as a worker does: small networks gain nothing from more threads, and tests beside each other lose."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
