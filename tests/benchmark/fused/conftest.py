"""What the tests of fused training share."""

from collections.abc import Iterator

import pytest

from tests.benchmark.emoji import write_emoji


@pytest.fixture(scope="package", autouse=True)
def some_emoji(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have data for the task whose data nobody but its user can build."""
    folder = tmp_path_factory.mktemp("datasets")
    write_emoji(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHOBUST_DATASETS_DIR", str(folder))
        yield
