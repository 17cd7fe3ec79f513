"""Augmentation: images moved and mirrored as they are trained on, anew at each step."""

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.sending import sent

PAD = 4  # pixels by which an image is moved at most, each way


def moved_and_mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return each image moved by up to 4 pixels each way, with black where it was not, and mirrored or not.

    All of the 81 moves are as likely, and so are both sides. This is the augmentation of K. He, X. Zhang, S. Ren, J.
    Sun, Deep Residual Learning for Image Recognition (2016), section 4.2: 4 pixels are padded on each side, and a crop
    of the old size is taken from there, or from the mirror image.

    Args:
        images: (n, channels, height, width); on any device.
        generator: on the CPU, so that all devices see the same.
    """
    n, n_channels, height, width = images.shape
    moves = torch.randint(0, 2 * PAD + 1, (2, n), generator=generator)
    sides = torch.randint(0, 2, (1, n), generator=generator)
    down, across, is_mirrored = sent(torch.cat([moves, sides]), images.device)[:, :, None]
    places, channels, rows, columns = (torch.arange(k, device=images.device) for k in (n, n_channels, height, width))
    columns = across + torch.where(is_mirrored > 0, columns.flip(0), columns)
    padded = functional.pad(images, [PAD] * 4)
    return padded[
        places[:, None, None, None], channels[:, None, None], (down + rows)[:, None, :, None], columns[:, None, None, :]
    ]
