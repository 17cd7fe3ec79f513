"""Random and Sobol designs: points of the unit cube that are the same for ever, on every machine and version.

A job's cells are found again from its spec alone, also years later and under newer libraries. That is why the numbers
are made here and not by a library's generator, whose stream may change: SplitMix64 (Steele, Lea, Flood, Fast Splittable
Pseudorandom Number Generators, 2014) for random points, and for Sobol points scipy's direction numbers (Joe & Kuo,
Constructing Sobol Sequences with Better Two-Dimensional Projections, 2008), which are a table, under a nested uniform
scrambling (Owen, Randomly Permuted (t,m,s)-Nets and (t,s)-Sequences, 1995) whose coin flips SplitMix64 makes.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Uint64 = NDArray[np.uint64]
BITS = 30  # of a Sobol point: 1e-9 of an axis
STEP = np.uint64(0x9E3779B97F4A7C15)


def unit_points(
    method: Literal["random", "sobol"], seed: int, names: Sequence[str], n: int, all_names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the first `n` points of a design.

    The coordinates of an axis depend on the seed, its name and, with `sobol`, its place among all axes of the job, and
    not on which other axes an optimizer has: those of one without rho are those of one with it, less rho. A larger
    design begins with the smaller one.

    Args:
        method: independent uniform points, or a scrambled Sobol sequence.
        seed: of the design.
        names: of the axes that are asked for.
        n: number of points.
        all_names: of the axes of the whole job.

    Returns:
        Shape (n, axes), in [0, 1).
    """
    if method == "random":
        columns = [_uniform(_stream(seed, name), np.arange(n, dtype=np.uint64)) for name in names]
    else:
        from scipy.stats import qmc  # takes a second, and few processes make such designs

        # more than are asked for, so that the sequence begins alike whatever its length, and without a warning
        bits = max(1, math.ceil(math.log2(max(n, 2))))
        places = [all_names.index(name) for name in names]
        raw = qmc.Sobol(max(places) + 1, scramble=False, bits=BITS).random_base2(bits)[:n]
        whole = np.round(raw * 2.0**BITS).astype(np.uint64)
        columns = [_scrambled(whole[:, place], _stream(seed, name)) for place, name in zip(places, names, strict=True)]
    return np.stack(columns, axis=1)


def _stream(seed: int, name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big"))


def _mixed(values: Uint64) -> Uint64:
    """Return the output function of SplitMix64; it wraps around, as it must."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _uniform(stream: np.uint64, index: Uint64) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        state = stream + (index + np.uint64(1)) * STEP
    return np.asarray((_mixed(state) >> np.uint64(11)) * 2.0**-53)


def _scrambled(points: Uint64, stream: np.uint64) -> NDArray[np.float64]:
    """Return points of `BITS` bits, each bit flipped by a coin that belongs to it and to the bits before it."""
    flips = np.zeros_like(points)
    for depth in range(BITS):
        shift = np.uint64(BITS - 1 - depth)
        before = points >> (shift + np.uint64(1))  # the bits before this one, told apart by their number
        node = before | (np.uint64(1) << np.uint64(depth))
        with np.errstate(over="ignore"):
            coin = _mixed(stream + node * STEP) & np.uint64(1)
        flips |= coin << shift
    inside = _uniform(stream ^ STEP, points)  # where in its interval a point lies: never on an edge of all of them
    return np.asarray(((points ^ flips) + inside) * 2.0**-BITS)
