"""What all tests of `benchmark` share."""

from collections.abc import Iterator

import pytest

from benchmark.tasks import registry
from tests.benchmark.toys import Toy


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    """Have specs know the toy task, in these modules and no others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._TASKS, Toy.name, Toy)
        yield
