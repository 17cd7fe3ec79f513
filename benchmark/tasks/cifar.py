"""CIFAR-10 with a ResNet-18: from scratch, from weights of a local folder, or from a bad global minimum."""

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from benchmark.errors import TaskDataError
from benchmark.parsing import Integer, Label, SpecModel
from benchmark.seeding import Stream, torch_generator
from benchmark.tasks.augmentation import moved_and_mirrored
from benchmark.tasks.classification import (
    Classification,
    ClassificationParameters,
    Indices,
    Labels,
    checksum,
    metrics_of,
)
from benchmark.tasks.local import datasets_folder, extra_needed
from benchmark.tasks.protocol import Batch, Metric, Model, Splits
from benchmark.tasks.resnet import Norm, pretrained_resnet, small_resnet

NAME = "cifar10-resnet18"
FOLDER = "cifar-10-batches-bin"
TRAIN_FILES, TEST_FILE = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
N_CLASSES, N_TEST = 10, 10_000
SHAPE = (3, 32, 32)
N_BYTES = 1 + math.prod(SHAPE)  # of an example: its label, then its pixels, a channel after the other
VALIDATION_SHARE = 0.1
IMAGES_AT_ONCE = 500  # in a measurement
WEIGHTS, ABOUT = "model.safetensors", "about.json"
GET_DATA = (
    "Put the binary version of CIFAR-10 there: unpack cifar-10-binary.tar.gz, from "
    "https://www.cs.toronto.edu/~kriz/cifar.html, into the folder of data (RHOBUST_DATASETS_DIR)."
)
GET_WEIGHTS = "Put a folder that transformers' save_pretrained wrote there (config.json, model.safetensors)."

Images = NDArray[Any]


class CIFAR10ResNet18Parameters(ClassificationParameters):
    """Parameters of `cifar10-resnet18`."""

    start: Annotated[
        Literal["scratch", "pretrained", "bad-minimum"],
        Field(description="where training begins; `rhobust build bad-minimum` makes the last of them"),
    ] = "scratch"
    weights: Annotated[Label, Field(description="folder in `models` with the start, if that is pretrained")] = (
        "resnet-18"
    )
    side: Annotated[
        Integer, Field(ge=32, le=512, description="pixels to which images are enlarged, if the start is pretrained")
    ] = 32
    width: Annotated[
        Integer, Field(ge=1, le=256, description="channels of the first stage, unless the start is pretrained")
    ] = 64
    norm: Annotated[
        Literal["batch", "group"],
        Field(description="normalisation after each convolution, unless the start is pretrained"),
    ] = "batch"
    augment: Annotated[
        Literal["none", "flip-crop"],
        Field(
            description="of what is trained on, anew at each step: flip-crop moves images by up to 4 pixels each way "
            "and mirrors half of them"
        ),
    ] = "none"


class CIFAR10ResNet18(Classification):
    """Classify the images of CIFAR-10 with a ResNet-18.

    Splits are the same under every seed: the first 90 % of the training files, the rest of them, and the test file.
    Seeds differ in initialisation (from scratch), batch order and augmentation. By default images are not augmented: S.
    Liu et al. found that augmentation leads out of a bad minimum by itself.
    """

    name: ClassVar[str] = NAME
    version: ClassVar[int] = 1
    title: ClassVar[str] = "CIFAR-10 (32 x 32 pixels, 10 classes) with a ResNet-18, from a start of your choice"
    source: ClassVar[str] = (
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); brought by the user, without a "
        "stated licence"
    )
    metrics: ClassVar[tuple[Metric, ...]] = metrics_of("images", N_CLASSES)
    Parameters: ClassVar[type[SpecModel]] = CIFAR10ResNet18Parameters
    params: CIFAR10ResNet18Parameters
    later_params: ClassVar[tuple[str, ...]] = ("augment",)

    @functools.cached_property
    def data_version(self) -> str:
        """Checksum of images and labels, and of the weights from which training begins, if not from scratch."""
        with extra_needed(self.name):
            import transformers  # noqa: F401  (without it no cell can be trained: better said before the first)
        data = checksum(*self.examples())
        if self.params.start == "scratch":
            return data
        if self.params.start == "bad-minimum":
            require_minimum_of(data, self._start())
        weights = (self._start() / WEIGHTS).read_bytes()
        return hashlib.sha256(data.encode() + weights).hexdigest()[:16]

    @property
    def has_batch_norm(self) -> bool:
        """Whether its model normalises over the examples of a batch: with `norm: batch`, and those of transformers."""
        return self.params.norm == "batch" or self.params.start == "pretrained"

    def examples(self) -> tuple[Images, Labels]:
        """Return images (n, 3, 32, 32) of whole numbers from 0 to 255, and labels; those of the test file are last.

        Raises:
            TaskDataError: when a file is missing, or none of CIFAR-10.
        """
        images, labels, _ = _read(datasets_folder() / FOLDER)
        return images, labels

    def indices(self, seed: int) -> Sequence[Indices]:
        """Return which images are for training, validation and test: the same under every seed."""
        _, labels, n_known = _read(datasets_folder() / FOLDER)
        n_train = n_known - round(VALIDATION_SHARE * n_known)
        return np.split(np.arange(len(labels)), [n_train, n_known])

    def data(self, seed: int, device: torch.device) -> Splits:
        """Return the splits of a seed on a device; all seeds share them where nothing of them is drawn."""
        is_drawn = self.params.label_noise > 0 or self.params.train_share < 1
        return super().data(seed if is_drawn else 0, device)

    def model(self, seed: int) -> nn.Module:
        """Return the network at its start.

        Raises:
            TaskDataError: when its weights are missing.
        """
        if self.params.start == "pretrained":
            return pretrained_resnet(self.name, self._start(), side=self.params.side, n_classes=N_CLASSES)
        network = network_of(self.params.width, self.params.norm)
        if self.params.start == "bad-minimum":
            from safetensors.torch import load_file  # which transformers brings

            network.load_state_dict(load_file(self._start() / WEIGHTS))
        return network

    def augmented(self, batch: Batch, seed: int, step: int) -> Batch:
        """Return a batch as it is trained on; what is measured, sharpness among it, is of the images as they are."""
        if self.params.augment == "none":
            return batch
        images, labels = batch
        return moved_and_mirrored(images, torch_generator(seed, Stream.AUGMENTATION, step)), labels

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return accuracy and mean cross-entropy, whatever the training loss is."""
        logits = torch.cat([model(images) for images in torch.split(split[0], IMAGES_AT_ONCE)])
        return super().evaluate(lambda _: logits, split)

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        """Whether a finished run learned nothing, or forgot all that its start had learned.

        Two hundred untrained networks of this size take hours to measure; the accuracy that 99 % of guesses on the
        10,000 test images stay below takes their place.
        """
        guess = 1 / N_CLASSES
        limit = guess + 2.326 * math.sqrt(guess * (1 - guess) / N_TEST)
        return train_loss >= 0.99 * self.chance("loss") or scores["accuracy"] <= limit

    def _start(self) -> Path:
        """Return the folder with the weights from which training begins."""
        if self.params.start == "pretrained":
            folder, remedy = datasets_folder() / "models" / self.params.weights, GET_WEIGHTS
        else:
            folder, remedy = minimum_folder(self.params.width, self.params.norm), build_minimum(self.params)
        if not (folder / WEIGHTS).is_file():
            raise TaskDataError(f"{folder} must hold the weights to start from, but has no {WEIGHTS}. {remedy}")
        return folder


def network_of(width: int, norm: Norm) -> nn.Module:
    """Return the ResNet-18 of this task, freshly initialised."""
    return small_resnet(NAME, width=width, norm=norm, n_classes=N_CLASSES)


def minimum_folder(width: int, norm: Norm) -> Path:
    """Return where `rhobust build bad-minimum` puts what it makes for networks of this form."""
    return datasets_folder() / "models" / f"cifar10-bad-minimum-{width}-{norm}"


def build_minimum(params: CIFAR10ResNet18Parameters) -> str:
    """Return what to run where the bad minimum is missing."""
    return f"Run `rhobust build bad-minimum --width {params.width} --norm {params.norm}`."


def require_minimum_of(data: str, folder: Path) -> None:
    """Raise unless a bad minimum is one of the data with this checksum.

    Raises:
        TaskDataError: when it is one of other data, or does not say of which.
    """
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TaskDataError(
            f"{folder / ABOUT} must tell of the bad minimum, but: {error!r}. Build it again."
        ) from error
    if found != data:
        raise TaskDataError(f"{folder} must be a minimum of the data {data}, but it is one of {found}. Build it again.")


@functools.lru_cache(maxsize=2)
def _read(folder: Path) -> tuple[Images, Labels, int]:
    """Return images and labels, those of the test file last, and how many come before them."""
    parts = [_examples(folder / name) for name in (*TRAIN_FILES, TEST_FILE)]
    images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    for array in (images, labels):
        array.flags.writeable = False
    return images, labels, len(labels) - len(parts[-1][1])


def _examples(file: Path) -> tuple[Images, Labels]:
    try:
        content = np.frombuffer(file.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise TaskDataError(f"{file} must be a file of CIFAR-10, but: {error.strerror}. {GET_DATA}") from error
    if not len(content) or len(content) % N_BYTES or content[::N_BYTES].max() >= N_CLASSES:
        raise TaskDataError(
            f"{file} must be a file of CIFAR-10: examples of {N_BYTES:,} bytes, the first of each below {N_CLASSES}; "
            f"but it has {len(content):,} bytes, or others. {GET_DATA}"
        )
    rows = content.reshape(-1, N_BYTES)
    return rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0].astype(np.int64)
