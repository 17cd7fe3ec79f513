"""A ResNet-18 for small images: that of transformers with a stem for 32 x 32 pixels, or one from a local folder."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.errors import TaskDataError
from benchmark.tasks.local import extra_needed, quiet_loading, shades_of

N_GROUPS = 32
BLOCKS = (2, 2, 2, 2)  # of the four stages
MEAN, SD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the training images of CIFAR-10, a channel

Norm = Literal["batch", "group"]


class Classifier(nn.Module):
    """A network of transformers on images as they are stored.

    Args:
        network: returns logits of normalised images.
        side: pixels to which images are enlarged or reduced before; None leaves them as they are.
        shades: mean and standard deviation of each channel by which they are normalised.
    """

    def __init__(
        self,
        network: nn.Module,
        side: int | None = None,
        shades: tuple[Sequence[float], Sequence[float]] = (MEAN, SD),
    ) -> None:
        super().__init__()
        self.network, self._side = network, side
        mean, sd = (torch.tensor(values).reshape(-1, 1, 1) for values in shades)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("sd", sd, persistent=False)
        self.mean: Tensor
        self.sd: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) of images (n, 3, height, width), whole numbers of 0 to 255."""
        pixels = (images / 255 - self.mean) / self.sd
        if self._side is not None and self._side != pixels.shape[-1]:
            pixels = functional.interpolate(pixels, size=(self._side, self._side), mode="bilinear", antialias=True)
        logits: Tensor = self.network(pixel_values=pixels).logits
        return logits


def small_resnet(task: str, *, width: int, norm: Norm, n_classes: int) -> nn.Module:
    """Return a ResNet-18 that begins with a 3 x 3 convolution of stride 1 and no pooling, initialised by transformers.

    The stem for photographs, a 7 x 7 convolution and a pooling of stride 2 each, would leave 8 x 8 of 32 x 32 pixels.

    Args:
        task: that needs it, for messages.
        width: channels of the first stage; 64 is ResNet-18.
        norm: after each convolution: batch normalisation, or group normalisation with at most 32 groups.
        n_classes: of the head.
    """
    with extra_needed(task):
        from transformers import ResNetConfig, ResNetForImageClassification
    widths = [width * 2**stage for stage in range(len(BLOCKS))]
    config = ResNetConfig(
        num_channels=3,
        embedding_size=width,
        hidden_sizes=widths,
        depths=list(BLOCKS),
        layer_type="basic",
        num_labels=n_classes,
    )
    network = ResNetForImageClassification(config)
    stem = network.resnet.embedder
    stem.embedder.convolution = nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.embedder.convolution.weight, mode="fan_out", nonlinearity="relu")
    stem.pooler = nn.Identity()
    if norm == "group":
        _use_groups(network)
    return Classifier(network)


def pretrained_resnet(task: str, folder: Path, *, side: int, n_classes: int) -> nn.Module:
    """Return a ResNet from a folder, as transformers keeps it, with a new head where it has other classes.

    Args:
        task: that needs it, for messages.
        folder: with config.json, model.safetensors, and preprocessor_config.json if colours are not scaled as those
            of CIFAR-10; no file is ever unpickled, and nothing is downloaded.
        side: pixels to which images are enlarged.
        n_classes: of the head.

    Raises:
        TaskDataError: when the folder is not there, or is none of a ResNet.
    """
    with extra_needed(task):
        from transformers import ResNetConfig, ResNetForImageClassification
    try:
        config = ResNetConfig.from_pretrained(folder, local_files_only=True, num_labels=n_classes)
        with quiet_loading():
            network = ResNetForImageClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                local_files_only=True,
                use_safetensors=True,
            )
    except (OSError, ValueError) as error:
        raise TaskDataError(
            f"{folder} must hold a ResNet as transformers keeps it (config.json, model.safetensors), but: {error}"
        ) from error
    return Classifier(network, side, shades_of(folder) or (MEAN, SD))


def _use_groups(network: nn.Module) -> None:
    """Put group normalisation in the place of every batch normalisation."""
    places = [
        (name, layer.num_features) for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)
    ]
    for name, n_channels in places:
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, nn.GroupNorm(math.gcd(N_GROUPS, n_channels), n_channels))
