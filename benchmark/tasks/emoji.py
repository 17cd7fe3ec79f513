"""Emoji and their names: pictures and texts aligned by two networks on features that are made once."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.errors import TaskDataError
from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks.alignment import BLOCK, Alignment, Rows, View, alignment_metrics
from benchmark.tasks.cache import Kept, kept_arrays
from benchmark.tasks.local import datasets_folder
from benchmark.tasks.protocol import Metric

NAME = "emoji"
N_SCORED = 3 * BLOCK
VIEWS = ("image", "text")
# whatever Python this is: the wheel is not installed, but read
GET_ENCODER = "pip download --no-deps --only-binary :all: --python-version 3.13 wordllama==0.4.0.post1"
BUILD = (
    f"Run `apt-get install fonts-noto-color-emoji unicode-data`, `pip install 'rhobust[vision]'`, `{GET_ENCODER}`, "
    "and then `rhobust build emoji --encoder wordllama-*.whl`."
)


class EmojiAlignment(Alignment):
    """Embed the picture of an emoji and its name into one space, so that each finds the other among 384.

    The pictures are not seen through a trained network: their features are the colours of an 8 x 8 grid and the
    directions of edges in it. The texts are the mean of static vectors of their parts. Both are made once, by
    `rhobust build emoji`, on the machine that trains.
    """

    name: ClassVar[str] = "emoji-alignment"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Pictures of emoji (704 features) and their names (256 features) aligned by two networks"
    source: ClassVar[str] = (
        "pictures: Google, Noto Color Emoji, SIL Open Font License 1.1; names: Unicode, Inc., emoji-test.txt, Unicode "
        "License; both as Debian packages them. Texts embedded by L. Miller, WordLlama 0.4 (2025), MIT, made of the "
        "token vectors of Llama 2 and others, which have licences of their own"
    )
    views: ClassVar[tuple[str, str]] = VIEWS
    metrics: ClassVar[tuple[Metric, ...]] = alignment_metrics(VIEWS, N_SCORED)

    @property
    def data_version(self) -> str:
        """Checksum of the file that `rhobust build emoji` wrote."""
        return _kept().checksum

    def pairs(self) -> tuple[View, View]:
        """Return features of the pictures (n, 704) and of the names (n, 256)."""
        arrays = _kept().arrays
        return arrays["image"], arrays["text"]

    def rows(self, seed: int) -> Sequence[Rows]:
        """Return 384 emoji for validation, 384 for test, and all others for training, however many the font has."""
        order = numpy_generator(seed, Stream.SPLIT).permutation(len(_kept().arrays["image"]))
        validation, test, train = np.split(order, [N_SCORED, 2 * N_SCORED])
        return train, validation, test

    def used(self, train: Rows, seed: int) -> Rows:
        """Return a share of the rows at random, at least one block of the loss; a smaller one lies inside a larger."""
        n_used = max(BLOCK, round(self.params.train_share * len(train)))
        chosen = numpy_generator(seed, Stream.SUBSET).permutation(len(train))[:n_used]
        return train[np.sort(chosen)]


def _kept() -> Kept:
    return _read(datasets_folder() / NAME)


@functools.lru_cache(maxsize=4)
def _read(folder: Path) -> Kept:
    try:
        kept = kept_arrays(folder, NAME, f"Delete this file, and build it again. {BUILD}")
    except OSError as error:
        raise TaskDataError(f"the emoji in {folder} must be readable, but: {error.strerror}. {BUILD}") from error
    if kept is None:
        raise TaskDataError(f"the emoji must be in {folder}, but they have not been built. {BUILD}")
    n_pairs = len(kept.arrays["image"])
    if n_pairs < 2 * N_SCORED + BLOCK:
        least = 2 * N_SCORED + BLOCK
        raise TaskDataError(f"there must be at least {least} emoji, but {folder} has {n_pairs}. {BUILD}")
    return kept
