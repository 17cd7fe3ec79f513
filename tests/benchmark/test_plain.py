import math
from collections import defaultdict
from typing import Any

import pytest
import torch

from benchmark.plain import packed, unpacked

VALUES: list[Any] = [
    None,
    {"step": 3, "betas": (0.9, 0.999), 0: [1, "two", None, True, 2.5], "empty": [], "nothing": {}},
    [1.0, -0.1, 1e-320, 1e308],
    [[1.0, 2.0], [0.1]],
    {"dict": [], "tensor": "0"},
]


@pytest.mark.parametrize("value", VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    found = unpacked(*packed(value))
    assert found == value
    assert repr(found) == repr(value)


def test_lists_of_numbers_keep_what_is_not_finite() -> None:
    found = unpacked(*packed({"losses": [math.nan, math.inf, -math.inf, 0.5]}))["losses"]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, 0.5]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_come_back_bit_for_bit_whatever_memory_they_share(dtype: torch.dtype) -> None:
    whole = torch.arange(12).reshape(3, 4).to(dtype)
    state = defaultdict(dict, {0: {"kept": whole.t(), "same": whole, "part": whole[1], "number": whole[0, 1]}})
    document, tensors = packed(state)
    whole.zero_()
    found = unpacked(document, tensors)[0]
    expected = torch.arange(12).reshape(3, 4).to(dtype)
    for name, tensor in {"kept": expected.t(), "same": expected, "part": expected[1], "number": expected[0, 1]}.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor)
    assert all(tensor.is_contiguous() for tensor in tensors.values())


@pytest.mark.parametrize("value", [object(), {1.5: 2}, {True: 2}, [{"a": {2}}], complex(1, 2)])
def test_what_is_not_plain_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="must be"):
        packed(value)


@pytest.mark.parametrize("document", ['{"pickle": "x"}', '{"tensor": "7"}', '{"a": 1, "b": 2}', "{", '{"dict": [1]}'])
def test_what_was_never_packed_is_refused(document: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        unpacked(document, {})
