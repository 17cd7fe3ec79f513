"""Emoji made up for tests: features at random, of which the names tell something of the pictures."""

from pathlib import Path

import numpy as np

from benchmark.tasks.cache import keep_arrays
from benchmark.tasks.emoji import NAME


def write_emoji(datasets: Path, n: int = 1000) -> Path:
    """Write so many pairs into a folder of data, and return their file."""
    generator = np.random.default_rng(0)
    meanings = generator.standard_normal((n, 8))
    views = {
        view: (meanings @ generator.standard_normal((8, width)) + generator.standard_normal((n, width))).astype("f4")
        for view, width in (("image", 24), ("text", 12))
    }
    names = {
        "emoji": np.array([chr(0x1F300 + place) for place in range(n)]),
        "name": np.array([f"{place}" for place in range(n)]),
    }
    return keep_arrays(datasets / NAME, NAME, views | names)
