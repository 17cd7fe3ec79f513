"""Features of pictures that no network was trained for: colours of a grid, and the directions of edges in it."""

import numpy as np
from numpy.typing import NDArray

N_CELLS, N_DIRECTIONS = 8, 8  # of a side; of half a turn

Features = NDArray[np.float32]


def features_of(pictures: NDArray[np.uint8]) -> Features:
    """Return the features (n, 704) of pictures: mean colours, then edges, of each cell of an 8 x 8 grid.

    The edges of a cell are a histogram of the directions of the gradient of its brightness, up to sign, each weighted
    by its length; of the means over the cell the root is taken. This is the descriptor of N. Dalal, B. Triggs,
    Histograms of Oriented Gradients for Human Detection (2005), without the normalisation of neighbouring cells.

    Args:
        pictures: (n, side, side, 3), the side a multiple of 8.
    """
    bright = pictures.astype(np.float32) / np.float32(255)
    grey: NDArray[np.float32] = bright.mean(axis=3, dtype=np.float32)
    return np.concatenate([_means(bright).reshape(len(pictures), -1), _edges(grey)], axis=1)


def _means(values: NDArray[np.float32]) -> Features:
    """Return the mean over each cell of values (n, side, side, k)."""
    n, side, _, k = values.shape
    cell = side // N_CELLS
    means: Features = values.reshape(n, N_CELLS, cell, N_CELLS, cell, k).mean(axis=(2, 4), dtype=np.float32)
    return means


def _edges(grey: NDArray[np.float32]) -> Features:
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    lengths = np.hypot(across, down)
    turn = np.arctan2(down, across) % np.pi / np.pi
    directions = (turn * N_DIRECTIONS).astype(np.int64) % N_DIRECTIONS
    weighted = (lengths * (directions == direction) for direction in range(N_DIRECTIONS))
    means = np.concatenate([_means(one[..., np.newaxis]) for one in weighted], axis=3)
    edges: Features = np.sqrt(means).reshape(len(grey), -1)
    return edges
