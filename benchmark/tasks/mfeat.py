"""Two views of digits: the pixels and the Fourier coefficients of the same 2,000 handwritten digits, aligned."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks.alignment import Alignment, Rows, View, alignment_metrics
from benchmark.tasks.classification import stratified
from benchmark.tasks.package_data import package_arrays
from benchmark.tasks.protocol import Metric

FILE, SHA256 = "mfeat.npz", "c6bd38041b5c3914b73ee9232a8ae40ebac9bdbfca9bc023e7a88cb08b15a5d9"
TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2
N_SCORED = 400


class AlignmentMfeat(Alignment):
    """Embed two views of a digit into one space, so that each finds its pair among 400.

    The views agree to .13 (common nearest neighbours) before any training.
    """

    name: ClassVar[str] = "alignment-mfeat"
    version: ClassVar[int] = 1
    title: ClassVar[str] = (
        "Two views of handwritten digits (240 pixels, 76 Fourier coefficients) aligned by two networks"
    )
    source: ClassVar[str] = (
        "R. P. W. Duin, Multiple Features (1998), UCI, https://doi.org/10.24432/C5HC70, CC BY 4.0; "
        "two of its six feature sets"
    )
    views: ClassVar[tuple[str, str]] = ("pix", "fou")
    metrics: ClassVar[tuple[Metric, ...]] = alignment_metrics(("pix", "fou"), N_SCORED)

    @property
    def data_version(self) -> str:
        """Checksum of the file from which both views are read."""
        return SHA256[:16]

    def pairs(self) -> tuple[View, View]:
        """Return `pix` (2000, 240) and `fou` (2000, 76)."""
        arrays = package_arrays(FILE, SHA256)
        return arrays["pix"], arrays["fou"]

    def rows(self, seed: int) -> Sequence[Rows]:
        """Return 60 / 20 / 20 % of the digits, stratified by class; a block must not hold one class."""
        generator = numpy_generator(seed, Stream.SPLIT)
        parts = stratified(_labels(), (TRAIN_SHARE, VALIDATION_SHARE), generator)
        return [generator.permutation(part) for part in parts]

    def used(self, train: Rows, seed: int) -> Rows:
        """Return the share of each class, in ascending order of its places in the whole."""
        kept, _ = stratified(_labels()[train], (self.params.train_share,), numpy_generator(seed, Stream.SUBSET))
        return train[kept]


def _labels() -> NDArray[np.int64]:
    return package_arrays(FILE, SHA256)["labels"].astype(np.int64)
