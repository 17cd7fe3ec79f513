import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.seeding import Stream, numpy_generator, seeded_torch, stream_seed, torch_generator

SEEDS = st.integers(0, 2**31 - 1)


@given(SEEDS, SEEDS)
def test_streams_of_all_seeds_differ(first: int, second: int) -> None:
    pairs = {(seed, stream) for seed in (first, second) for stream in Stream}
    seeds = {stream_seed(seed, stream) for seed, stream in pairs}
    assert len(seeds) == len(pairs)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("seed", "stream", "expected"),
    [
        (0, Stream.SPLIT, 7896617691693857887),
        (0, Stream.INIT, 2918264622725855778),
        (5, Stream.ORDER, 2080082186671054586),
        (2**31 - 1, Stream.TRAIN, 2888292219952213064),
    ],
)
def test_seeds_stay_what_they_are(seed: int, stream: Stream, expected: int) -> None:
    assert stream_seed(seed, stream) == expected


def test_generators_start_at_the_seed_of_their_stream() -> None:
    first, second = (numpy_generator(3, Stream.SPLIT).random(4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    orders = [torch.randperm(50, generator=torch_generator(3, Stream.ORDER)) for _ in range(2)]
    assert torch.equal(*orders)


def test_a_seeded_block_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    with seeded_torch(1, Stream.INIT):
        first = torch.rand(3)
    with contextlib.suppress(KeyError), seeded_torch(1, Stream.INIT):
        assert torch.equal(torch.rand(3), first)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)
