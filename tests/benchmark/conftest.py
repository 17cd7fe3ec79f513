"""What all tests of `benchmark` share."""

from collections.abc import Iterator

import pytest
import torch

from benchmark.tasks import register_task, registry
from tests.benchmark.toys import Toy


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    """Have specs know the toy task, in these modules and no others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_registered", {})
        patch.setattr(registry, "_sources", {})
        register_task(Toy)
        yield


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Train as a worker does; small networks on a busy machine gain nothing from more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
