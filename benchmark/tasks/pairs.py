"""Image-caption pairs from a local folder: read, cut to the size of a model, and divided into tokens."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import TaskDataError
from benchmark.tasks.lazy import LazyRows, Row
from benchmark.tasks.local import extra_needed

LIST = "metadata.csv"
COLUMNS = ("file_name", "text")
GET_PAIRS = (
    f"A folder of pairs has the folders train, validation and test, each with images and a {LIST} with the columns "
    f"{' and '.join(COLUMNS)}: the form that Hugging Face's datasets calls an image folder."
)


def read_pairs(folder: Path, n: int | None = None) -> tuple[list[Path], list[str]]:
    """Return the images of a split, as paths, and their captions, in the order of its list.

    Args:
        folder: of the split.
        n: the first so many alone; all where it is None.

    Raises:
        TaskDataError: when the list is missing, is none, has too few pairs, or leads out of the folder.
    """
    file = folder / LIST
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TaskDataError(f"{file} must list image-caption pairs, but: {error}. {GET_PAIRS}") from error
    if any(row.get(column) in (None, "") for row in rows for column in COLUMNS):
        raise TaskDataError(f"every row of {file} must have {' and '.join(COLUMNS)}, but some have none. {GET_PAIRS}")
    if len(rows) < (1 if n is None else n):
        raise TaskDataError(
            f"{file} must list at least {1 if n is None else n} pairs, but it has {len(rows)}. {GET_PAIRS}"
        )
    images = [folder / row["file_name"] for row in rows[:n]]
    outside = next((image for image in images if not image.resolve().is_relative_to(folder.resolve())), None)
    if outside is not None:
        raise TaskDataError(f"every image of {file} must lie in its folder, but {outside} does not. {GET_PAIRS}")
    return images, [row["text"] for row in rows[:n]]


def pixels_of(images: Sequence[Path], side: int) -> LazyRows:
    """Return images as rows (3, side, side) of whole numbers: the shorter side scaled to that size, the middle cut out.

    An image that is missing or none ends what reads it, or its checksum, by a TaskDataError.
    """
    return LazyRows(lambda place: _pixels(images[place], side), len(images), lambda: _checksum(images))


def _pixels(path: Path, side: int) -> Row:
    with extra_needed("clip-alignment"):
        from PIL import Image
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _no_image(path, error) from error
    scale = side / min(image.size)
    width, height = (max(side, round(scale * length)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    scaled = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))


def _checksum(images: Sequence[Path]) -> bytes:
    """Return a checksum of the files; only what they are is read of each, not their pixels."""
    with extra_needed("clip-alignment"):
        from PIL import Image
    digest = hashlib.sha256()
    for path in images:
        try:
            content = path.read_bytes()
            with Image.open(io.BytesIO(content)):
                digest.update(hashlib.sha256(content).digest())
        except (OSError, Image.DecompressionBombError) as error:
            raise _no_image(path, error) from error
    return digest.digest()


def _no_image(path: Path, error: Exception) -> TaskDataError:
    return TaskDataError(f"{path} must be an image, but: {error}. {GET_PAIRS}")


@dataclass(frozen=True)
class Tokens:
    """What divides captions into tokens, from the folder of a model.

    Attributes:
        tokenizer: of the library tokenizers; it begins and ends each text with tokens of its own.
        length: of a caption in tokens; a longer one is cut, a shorter one filled up.
    """

    tokenizer: Any
    length: int

    @classmethod
    def load(cls, folder: Path, length: int) -> Self:
        """Return the tokens of a model's folder.

        Raises:
            TaskDataError: when it has no tokenizer.json, or one that does not mark the end of a text.
        """
        with extra_needed("clip-alignment"):
            from tokenizers import Tokenizer
        file = folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises nothing narrower
            raise TaskDataError(f"{file} must hold the tokens of the model, but: {error}.") from error
        marks = tokenizer.encode("").ids
        if not marks:
            raise TaskDataError(f"{file} must end every text with a token of its own, but it adds none.")
        # nothing after the end is ever looked at, for attention goes back alone
        tokenizer.enable_padding(length=length, pad_id=marks[-1])
        tokenizer.enable_truncation(max_length=length)
        return cls(tokenizer, length)

    def codes_of(self, captions: Sequence[str]) -> Tensor:
        """Return the tokens (n, length) of captions."""
        return torch.tensor([one.ids for one in self.tokenizer.encode_batch(list(captions))])
