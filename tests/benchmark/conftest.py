"""What all tests of `benchmark` share."""

from collections.abc import Iterator

import pytest

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
