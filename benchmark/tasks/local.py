"""Local data: the folder of what a user brings or builds, what is read there, and what to say where it is not."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import TaskDataError
from benchmark.folders import data_home

EXTRA = "pip install 'rhobust[vision]'"


def datasets_folder() -> Path:
    """Return the folder of data that a user brings or builds; specs name what is in it, never a path.

    It is `$RHOBUST_DATASETS_DIR`, or `rhobust/datasets` in `$XDG_DATA_HOME` or `~/.local/share`.

    Raises:
        TaskDataError: when neither is set and there is no home.
    """
    if own := os.environ.get("RHOBUST_DATASETS_DIR"):
        return Path(own).expanduser().absolute()
    try:
        return data_home() / "datasets"
    except RuntimeError as error:
        raise TaskDataError(f"there must be a folder of data, but: {error}. Set RHOBUST_DATASETS_DIR.") from error


@contextmanager
def extra_needed(task: str) -> Iterator[None]:
    """Run a block that imports what only the extra `vision` brings.

    Raises:
        TaskDataError: when it is not installed; the message says how to install it.
    """
    try:
        yield
    except ImportError as error:
        raise TaskDataError(f"{task} needs packages of an extra, but got: {error}. Run `{EXTRA}`.") from error


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Load a model of transformers in a block without its bar of progress, which would fill the logs of workers."""
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


def shades_of(folder: Path) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation by which a model's folder says that colours are scaled; None if it does not.

    Raises:
        TaskDataError: when its preprocessor_config.json cannot be read.
    """
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return None
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return list(map(float, told["image_mean"])), list(map(float, told["image_std"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TaskDataError(f"{file} must have image_mean and image_std, but: {error!r}.") from error
