"""Commands that make the data of a task."""

from pathlib import Path

import pytest

from benchmark.building import bad_minimum
from tests.benchmark.vision import write_cifar
from tests.service.cli.conftest import Cli

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def test_what_is_missing_is_told_in_a_line_with_what_to_run(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "wordllama.whl"
    done = cli("build", "emoji", "--encoder", missing)
    assert done.code == 5
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert f"{missing} must be a wheel of wordllama" in done.err
    assert "apt-get install fonts-noto-color-emoji unicode-data" in done.err


@pytest.mark.long
def test_a_bad_minimum_is_made_and_its_place_is_printed(
    cli: Cli, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_minimum, "BATCH", 16)
    failed = cli("build", "bad-minimum", "--width", 4)
    assert failed.code == 5
    assert "cifar-10-binary.tar.gz" in failed.err
    write_cifar(datasets)
    done = cli("build", "bad-minimum", "--width", 4)
    assert done.code == 0, done.err
    folder = Path(done.out.strip())
    assert folder == datasets / "models" / "cifar10-bad-minimum-4-batch"
    assert (folder / "model.safetensors").is_file()
    assert "true labels, epoch 1:" in done.err
    assert "Told right: 100.00% of the training images" in done.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--norm", "layer"), "'layer'"),
        (("--width", 0), "equal to 1"),
        (("--max-epochs", 0), "equal to 1"),
        (("--copies", 0), "'--copies'"),
        (("--zeroed", 1), "'--zeroed'"),
    ],
)
def test_what_cannot_be_built_is_a_mistake_of_usage(cli: Cli, arguments: tuple[str, object], part: str) -> None:
    done = cli("build", "bad-minimum", *arguments)
    assert done.code == 2
    assert part in done.err
