"""The fast path against the plain formulas, over dtypes and memory; extremes."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from optimizers.algebra import Plain
from optimizers.elementwise import Scalar, Tensors
from optimizers.foreach import Foreach, Scratch, add_scaled_

SHAPES = [(3, 4), (5,), (), (2, 1, 2)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def lists(dtype: torch.dtype, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    xs, ys = ([torch.randn(s, generator=generator).to(dtype) for s in SHAPES] for _ in range(2))
    return xs, ys


def scratch_like(xs: list[Tensor], *, partial: bool = False) -> Scratch:
    flat = torch.full((sum(x.numel() for x in xs) + (7 if partial else 0),), math.nan, dtype=xs[0].dtype)
    views, offset = [], 0
    for x in xs:
        views.append(flat[offset : offset + x.numel()].view(x.shape))
        offset += x.numel()
    return Scratch(views, [flat], partial=partial)


OPERATIONS: dict[str, Callable[[Plain, Tensors, Tensors], Tensors | Scalar]] = {
    "norm": lambda ops, xs, _: ops.norm(xs),
    "dot": lambda ops, xs, ys: ops.dot(xs, ys),
    "magnitude": lambda ops, xs, _: ops.magnitude(xs, 0.3),
    "stretch": lambda ops, xs, _: ops.stretch(xs, 0.3),
    "multiply_": lambda ops, xs, ys: ops.multiply_(xs, ys),
    "divide_": lambda ops, xs, ys: ops.divide_(xs, ys),
    "combine_": lambda ops, xs, ys: ops.combine_(0.5, xs, -2.0, ys),
    "combine_ by one": lambda ops, xs, ys: ops.combine_(1, xs, 0.25, ys),
    "add_": lambda ops, xs, ys: ops.add_(xs, ys, 0.25),
    "add_ nothing": lambda ops, xs, ys: ops.add_(xs, ys, 0.0),
    "average_": lambda ops, xs, ys: ops.average_([x.clone() for x in xs], ys, 0.7, 1.0),
    "average_ nothing": lambda ops, xs, ys: ops.average_([x.clone() for x in xs], ys, 0.7, math.inf),
}


@pytest.mark.parametrize("memory", ["none", "kept", "overwritten", "gathered", "partial"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_foreach_is_plain(operation: str, dtype: torch.dtype, memory: str) -> None:
    xs, ys = lists(dtype)
    expected = OPERATIONS[operation](Plain(), xs, ys)
    scratch = None if memory == "none" else scratch_like(xs, partial=memory == "partial")
    overwrite = memory in ("overwritten", "gathered", "partial")
    ops = Foreach(scratch, overwrite=overwrite, gather=memory == "gathered")
    before = [x.clone() for x in xs]
    actual = OPERATIONS[operation](ops, xs, ys)
    if isinstance(actual, float):
        assert isinstance(expected, Tensor)
        assert expected.dtype in (torch.float32, torch.float64)
        assert actual == pytest.approx(float(expected), rel=1e-5 if dtype != torch.float64 else 1e-12)
    else:
        tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float32: 1e-6, torch.float64: 1e-13}[dtype]
        assert not isinstance(actual, Tensor)
        torch.testing.assert_close(list(actual), list(expected), rtol=tolerance, atol=tolerance)  # type: ignore[arg-type]
    if not overwrite:
        torch.testing.assert_close(xs, before, rtol=0, atol=0)


@pytest.mark.parametrize("ops", [Plain(), Foreach()], ids=["plain", "foreach"])
class TestScalars:
    def test_finite(self, ops: Plain) -> None:
        values = [0.0, 2.5, math.nan, math.inf, -math.inf]
        assert [float(ops.finite(v)) for v in values] == [0.0, 2.5, 0.0, 0.0, 0.0]
        assert [float(ops.finite(torch.tensor(v))) for v in values] == [0.0, 2.5, 0.0, 0.0, 0.0]

    def test_reciprocal(self, ops: Plain) -> None:
        values = [0.0, 4.0, math.nan, math.inf]
        assert [float(ops.reciprocal(v)) for v in values] == [0.0, 0.25, 0.0, 0.0]
        assert [float(ops.reciprocal(torch.tensor(v))) for v in values] == [0.0, 0.25, 0.0, 0.0]

    def test_norm_is_accumulated_beyond_half_precision(self, ops: Plain) -> None:
        # Squares of 1e-4 underflow in float16, and those of 300 overflow.
        assert float(ops.norm([torch.full((100,), 1e-4, dtype=torch.float16)])) == pytest.approx(1e-3, rel=1e-3)
        assert float(ops.norm([torch.full((100,), 300.0, dtype=torch.float16)])) == pytest.approx(3000, rel=1e-3)

    def test_norm_of_mixed_dtypes_is_the_widest(self, ops: Plain) -> None:
        xs = [torch.tensor([3.0], dtype=torch.float16), torch.tensor([4.0], dtype=torch.float64)]
        assert float(ops.norm(xs)) == 5.0

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_norm_shows_what_is_not_finite(self, ops: Plain, value: float) -> None:
        assert not math.isfinite(float(ops.norm([torch.zeros(3), torch.tensor([1.0, value])])))


@pytest.mark.parametrize("value", [1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "dtypes", [[torch.float32], [torch.float16, torch.float64, torch.bfloat16]], ids=["one", "many"]
)
def test_excess_is_infinite_where_an_element_is_not_finite(value: float, dtypes: list[torch.dtype]) -> None:
    xs = [torch.full((3,), torch.finfo(dtype).max, dtype=dtype) for dtype in dtypes]
    before = [x.clone() for x in xs]
    assert Foreach().excess(xs) == 0.0
    torch.testing.assert_close(xs, before, rtol=0, atol=0)
    xs[-1][1] = value
    assert Foreach().excess(xs) == (0.0 if math.isfinite(value) else math.inf)


def test_excess_is_no_norm_whatever_the_default_dtype() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert Foreach().excess([torch.full((3,), 1e25, dtype=torch.float32)]) == 0.0
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("scale", [0.0, torch.tensor(0.0)], ids=["number", "tensor"])
def test_a_scale_of_zero_selects(scale: Scalar) -> None:
    xs, ys = [torch.tensor([1.0, -0.0])], [torch.tensor([math.nan, 1.0])]
    for result in (Plain().add_(xs, ys, scale), Foreach().add_(xs, ys, scale)):
        assert result[0].tolist() == [1.0, -0.0]
        assert math.copysign(1, result[0][1].item()) == -1


def test_scale_beyond_half_precision() -> None:
    # 1 / ||g|| overflows float16, its product with g does not.
    for ops in (Plain(), Foreach()):
        result = ops.add_([torch.zeros(1, dtype=torch.float16)], [torch.full((1,), 6e-6, dtype=torch.float16)], 1e5)
        assert result[0].item() == pytest.approx(0.6, rel=2e-2)


def test_device_path_of_add_scaled_agrees() -> None:
    # What an accelerator runs, with the scale as a tensor; the kernel exists on CPUs too.
    for dtype in (torch.float32, torch.float64):
        xs, ys = lists(dtype)
        expected = Plain().add_(xs, ys, torch.tensor(0.25))
        half = [torch.ones(2, dtype=torch.float16)]
        add_scaled_([*xs, *half], [*ys, half[0].clone()], torch.tensor(0.25))
        torch.testing.assert_close(xs, list(expected))
        assert half[0].tolist() == [1.25, 1.25]
        add_scaled_(half, [torch.full((2,), math.nan, dtype=torch.float16)], torch.tensor(0.0))
        assert half[0].tolist() == [1.25, 1.25]
