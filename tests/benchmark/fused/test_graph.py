"""Traced functions against the functions themselves, to the bit."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, grad_and_value, vmap
from torch.fx import Graph
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.utils import _pytree as pytree

from benchmark.fused.graph import reuse_memory, take_away, traced

pytestmark = pytest.mark.slow

CONSTANT = torch.tensor([1.0, -2.0, 3.0])


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cloned(tree: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, tree)


def assert_same(found: Any, expected: Any) -> None:
    """Hold two trees against each other: structure, and tensors to the bit."""
    mine, theirs = pytree.tree_flatten(found), pytree.tree_flatten(expected)
    assert mine[1] == theirs[1]
    for one, other in zip(mine[0], theirs[0], strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def check(function: Callable[..., Any], *examples: Any) -> None:
    """Hold a traced function against the function: for the examples and others, with nothing overwritten."""
    run = traced(function, *cloned(examples))
    others = pytree.tree_map(lambda leaf: leaf.roll(1) + leaf if leaf.is_floating_point() else leaf, examples)
    kept: list[tuple[Any, Any]] = []
    for arguments in (examples, others, examples):
        given_, expected = cloned(arguments), function(*cloned(arguments))
        found = run(*given_)
        assert_same(found, expected)
        assert_same(given_, arguments)
        kept.append((found, cloned(found)))
    for found, before in kept:
        assert_same(found, before)


def _used_later(x: Tensor) -> tuple[Tensor, Tensor]:
    made = x * 2
    return made + 1, made - 1


def _returned(x: Tensor) -> tuple[Tensor, Tensor]:
    made = x * 2
    return made, made + 1


def _view_returned(x: Tensor) -> tuple[Tensor, Tensor]:
    made = x * 2
    view = made.view(-1)[1:]
    return made + 1, view


def _view_used_later(x: Tensor) -> Tensor:
    made = x * 2
    row = made[0]
    return torch.relu(made + 1).sum() + row.sum()


def _written_in_place(x: Tensor) -> tuple[Tensor, Tensor]:
    made = x + 1
    row = made[1]
    made.mul_(3).relu_()
    return made + x, row


def _turned(x: Tensor) -> Tensor:
    made = x * 2
    return made + made.mT


def _turned_after_reuse(x: Tensor) -> Tensor:
    made = x * 2 + 1
    turned = made.mT
    return made * turned


def _diagonal_after_reuse(x: Tensor) -> Tensor:
    made = torch.relu(x * 2)
    return made / made.diagonal()


def _chunks(x: Tensor) -> Tensor:
    made = x * 2
    first, _ = made.unsafe_split_with_sizes([1, 2])
    return (first + 1).sum() + made.sum()


def _several_results(x: Tensor) -> Tensor:
    made = x + 1
    largest, _ = made.max(dim=0)
    first, *_ = made.unbind()
    return torch.relu(largest + 1) + (first - 2) + made


def _recurrent(x: Tensor, weights: Tensor) -> Tensor:
    """A cell of an LSTM: kernels of several results."""
    hidden, cell = torch.lstm_cell(x, [torch.zeros(3, 3), torch.ones(3, 3)], weights, weights)
    return hidden * cell


def _slope(x: Tensor) -> Tensor:
    """The squared length of a gradient."""

    def height(y: Tensor) -> Tensor:
        return (torch.relu(y) ** 3 / (1 + y * y)).sum()

    slope: Tensor = grad(height)(x)
    return slope.square().sum()


def _of_network(ps: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    hidden = functional.relu(functional.conv1d(x[:, None], ps["kernel"], padding=1)).flatten(1)
    return functional.cross_entropy(hidden @ ps["head"], labels)


def _step(ps: Mapping[str, Tensor], lr: Tensor, x: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    gradients, loss = grad_and_value(_of_network)(ps, x, labels)
    return {name: p - lr * gradients[name] for name, p in ps.items()}, loss


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "an operand that is used later": (_used_later, (numbers(3, 3),)),
    "an operand that is a result": (_returned, (numbers(3, 3),)),
    "a view that is a result": (_view_returned, (numbers(3, 3),)),
    "a view that is used later": (_view_used_later, (numbers(3, 3),)),
    "kernels that write by themselves": (_written_in_place, (numbers(3, 3),)),
    "an argument": (lambda x: torch.relu(x) + (x - 1), (numbers(3, 3),)),
    "an argument as result": (lambda x: (x, x.view(3, 3), x.expand(3, 3), x + 1), (numbers(3, 3),)),
    "one result twice": (lambda x: [x + 1] * 2, (numbers(3),)),
    "the same operand twice": (lambda x: (x + 1) * (x + 1) + (x * 2) * (x * 2), (numbers(3),)),
    "a sum with its transpose": (_turned, (numbers(3, 3),)),
    "a sum with its first row": (lambda x: [h + h[0] for h in [x * 2]], (numbers(3, 3),)),
    "a product with its first column": (lambda x: [h * h[:, :1] for h in [x * 2]], (numbers(3, 3),)),
    "a difference with its diagonal": (lambda x: [h - h.diagonal() for h in [x * 2]], (numbers(3, 3),)),
    "a quotient by its diagonal": (lambda x: [h / h.diagonal()[:, None] for h in [x * 2]], (numbers(3, 3),)),
    "a product with a transpose, in memory that is used again": (_turned_after_reuse, (numbers(3, 3),)),
    "a quotient by a diagonal, in memory that is used again": (_diagonal_after_reuse, (numbers(3, 3),)),
    "a transpose that is written": (lambda x: torch.relu((x * 2).mT + 1) + x, (numbers(3, 3),)),
    "one row for all": (lambda x, y: torch.relu((x * y + 1) - y) / (y * y + 1), (numbers(4, 3), numbers(3, seed=1))),
    "a row that is expanded": (lambda x, y: (y * 2).expand(4, 3) + x, (numbers(4, 3), numbers(3, seed=1))),
    "views of no change": (lambda x: (x * 1.0).view(3, 3).expand(3, 3) * 1 + x.reshape(3, 3), (numbers(3, 3),)),
    "a constant": (lambda x: (x + CONSTANT.view(3).expand(3, 3)) * CONSTANT + CONSTANT, (numbers(3, 3),)),
    "integers and truth values": (lambda x, k: (x * k + (k > 0)) * k, (numbers(3), torch.tensor([1, -2, 3]))),
    "one number of a wide type": (lambda x, a: a * x + a, (numbers(3), torch.tensor(0.1, dtype=torch.float64))),
    "kernels of several results": (_several_results, (numbers(3, 3),)),
    "chunks that hide that they are views": (_chunks, (numbers(3, 3),)),
    "a recurrent cell": (_recurrent, (numbers(3, 3), numbers(12, 3, seed=1))),
    "nested": (
        lambda tree, pair: {"b": [tree["a"] + pair[0], (pair[1],)], "a": {"c": tree["b"][0] * 2}, "none": []},
        ({"a": numbers(3), "b": [numbers(2)]}, (numbers(3, seed=1), numbers(1))),
    ),
    "second derivatives": (
        vmap(grad(_slope)),
        (numbers(4, 3),),
    ),
    "a step of several networks": (
        vmap(_step, in_dims=(0, 0, None, None)),
        (
            {"kernel": numbers(4, 2, 1, 3), "head": numbers(4, 10, 3)},
            torch.tensor([0.1, 0.2, 0.0, 1e30]),
            numbers(6, 5, seed=1),
            torch.tensor([0, 1, 2, 0, 1, 2]),
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_traced_function_is_the_function(case: str) -> None:
    function, examples = CASES[case]
    check(function, *examples)


Instruction = tuple[str, int, int]
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "relu": lambda x, _: torch.relu(x),
    "gate": lambda x, y: torch.ops.aten.threshold_backward(x, y, 0),
    "turn": lambda x, _: x.mT,
    "dense": lambda x, _: x.mT.contiguous(),
    "view": lambda x, _: x.reshape(9).view(3, 3),
    "row": lambda x, y: x + y[1],
    "column": lambda x, y: x * y[:, 2:],
    "diagonal": lambda x, y: x - y.diagonal(),
    "spread": lambda x, _: x[0].expand(3, 3),
    "product": lambda x, y: x @ y,
    "once": lambda x, _: x * 1,
    "write": lambda x, y: (x + 0).add_(y),
    "write a row": lambda x, y: (x + 0).index_put_((torch.tensor(1),), y[0]),
}


@settings(deadline=None, max_examples=150)
@given(
    instructions=st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=14
    ),
    results=st.lists(st.integers(0, 30), max_size=3),
)
def test_any_traced_function_is_the_function(instructions: list[Instruction], results: list[int]) -> None:
    """Any few kernels, each over any two of what is there; the last is a result, others may be."""

    def function(first: Tensor, second: list[Tensor]) -> dict[str, Any]:
        there = [first, *second]
        for name, one, other in instructions:
            there.append(OPERATIONS[name](there[one % len(there)], there[other % len(there)]))
        return {"last": there[-1], "others": [there[index % len(there)] for index in results]}

    check(function, numbers(3, 3), [numbers(3, 3, seed=1)])


def graph_of(function: Callable[..., Any], *examples: Any) -> Graph:
    graph = make_fx(function)(*examples).graph
    take_away(graph)
    reuse_memory(graph)
    graph.lint()
    return graph


def kernels(graph: Graph) -> list[str]:
    return [str(node.target).removeprefix("aten.") for node in graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: torch.relu(x * 2) + 1, ["mul.Tensor", "relu_.default", "add.out"]),
        (lambda x: (x + 1) / (x - 1), ["add.Tensor", "sub.Tensor", "div.out"]),
        (lambda x: x + 1, ["add.Tensor"]),
        (lambda x: torch.relu(x.view(3, 3)), ["relu.default"]),
        (lambda x: (x + 1).view(9) * 2, ["add.Tensor", "view.default", "mul.out"]),
        (lambda x: (x + 1)[0] + 2, ["add.Tensor", "select.int", "add.out"]),
        (_used_later, ["mul.Tensor", "add.Tensor", "sub.out"]),
        (_returned, ["mul.Tensor", "add.Tensor"]),
        (_turned, ["mul.Tensor", "transpose.int", "add.Tensor"]),
    ],
)
def test_memory_is_used_again_where_nobody_needs_it(function: Callable[..., Any], expected: list[str]) -> None:
    assert kernels(graph_of(function, numbers(3, 3))) == expected


def test_what_changes_nothing_is_taken_away() -> None:
    graph = graph_of(
        lambda x: torch.ops.aten.mul.Scalar(x.view(3, 3).expand(3, 3), 1) + x.view(1, 9).view(3, 3), numbers(3, 3)
    )
    assert kernels(graph) == ["view.default", "view.default", "add.Tensor"]
    assert kernels(graph_of(lambda x: [x.exp(), x + 1][1], numbers(3))) == ["add.Tensor"]
    assert "mul.Scalar" in kernels(graph_of(lambda x: torch.ops.aten.mul.Scalar(x, 1.0), torch.tensor([1, 2])))
