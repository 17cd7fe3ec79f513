"""Graphs: a function mapped over cells, traced to the kernels that it comes down to.

Under ``torch.func`` every call of a small kernel passes through several layers of Python and dispatch, which cost more
than the kernel. Traced once, the same kernels run without them, forward, backward and update in one list. Then memory
is what counts: a kernel whose operand nobody needs afterwards writes its result there, where it is in the cache.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

Traced = Callable[..., Any]
aten = torch.ops.aten

# kernels whose results lie in the memory of their operand, though their schemas do not say so
SILENT_VIEWS = (
    aten._unsafe_view.default,
    aten.reshape.default,
    aten.contiguous.default,
    aten.unsafe_split.Tensor,
    aten.unsafe_split_with_sizes.default,
    aten.unsafe_chunk.default,
)

# kernels that read and write each element alone, and the form of each that writes where it is told, without a copy
WRITING: dict[Any, tuple[Any, str | None]] = {
    aten.add.Tensor: (aten.add.out, "out"),
    aten.sub.Tensor: (aten.sub.out, "out"),
    aten.mul.Tensor: (aten.mul.out, "out"),
    aten.div.Tensor: (aten.div.out, "out"),
    aten.relu.default: (aten.relu_.default, None),  # relu.out computes elsewhere and copies
    aten.threshold_backward.default: (aten.threshold_backward.grad_input, "grad_input"),
}


def traced(function: Callable[..., Any], *examples: Any) -> Traced:
    """Return a function that does what ``function`` did with the examples, for arguments of the same shapes.

    Args:
        function: pure; branches on shapes alone, never on values.
        examples: arguments: tensors in nested lists, tuples and dictionaries.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # takes half a second, and few processes trace

    leaves, spec = pytree.tree_flatten(examples)
    result_spec: list[Any] = []

    def flat(*given: Tensor) -> list[Any]:
        values, found = pytree.tree_flatten(function(*pytree.tree_unflatten(list(given), spec)))
        result_spec[:] = [found]
        return values

    with torch.no_grad():
        module = make_fx(flat)(*leaves)
    take_away(module.graph)
    reuse_memory(module.graph)
    module.recompile()
    run = module.forward

    def call(*arguments: Any) -> Any:
        with torch.no_grad():
            return pytree.tree_unflatten(run(*pytree.tree_leaves(arguments)), result_spec[0])

    return call


def take_away(graph: Graph) -> None:
    """Take away what changes nothing: views of the form that their operand has already, factors of 1, unused results.

    Args:
        graph: of kernels alone, as ``make_fx`` traces them; it is changed.
    """
    for node in list(graph.nodes):
        if node.target in (aten.expand.default, aten.view.default, aten._unsafe_view.default):
            operand, same = node.args[0], _form(node)[:3] == _form(node.args[0])[:3]
        elif node.target is aten.mul.Scalar:
            operand, same = node.args[0], node.args[1] == 1 and _form(node) == _form(node.args[0])
        else:
            continue
        if same:
            node.replace_all_uses_with(operand)
            graph.erase_node(node)
    graph.eliminate_dead_code()


def reuse_memory(graph: Graph) -> None:
    """Let elementwise kernels write into an operand of the result's form that was made in the graph and ends there.

    Args:
        graph: of kernels alone, as ``make_fx`` traces them; it is changed.
    """
    owner = _owners(graph)
    last_use: dict[Node, Node] = {}
    for node in graph.nodes:
        for operand in node.all_input_nodes:
            last_use[owner[operand]] = node
    taken: dict[Node, Node] = {}  # owners whose results now lie in the memory of another

    def memory(node: Node) -> Node:
        made = owner[node]
        while made in taken:
            made = taken[made]
        return made

    for node in list(graph.nodes):
        form = WRITING.get(node.target)
        if form is None:
            continue
        operands = node.all_input_nodes
        for operand in operands:
            made = memory(operand)
            # another view of the same memory would be read after parts of it are written
            is_alone = all(memory(other) is not made for other in operands if other is not operand)
            if made.op == "call_function" and last_use[made] is node and is_alone and _same_form(operand, node):
                kernel, name = form
                with graph.inserting_before(node):
                    told = {name: operand} if name else {}
                    written = graph.call_function(kernel, node.args, {**node.kwargs, **told})
                written.meta = dict(node.meta)
                owner[written] = taken[node] = made
                last_use[made] = last_use.get(node, written)
                node.replace_all_uses_with(written)
                graph.erase_node(node)
                break


def _owners(graph: Graph) -> dict[Node, Node]:
    """Return, for each node, the one whose memory its result lies in."""
    owner: dict[Node, Node] = {}
    for node in graph.nodes:
        owner[node] = owner[node.all_input_nodes[0]] if _is_view(node) else node
    return owner


def _is_view(node: Node) -> bool:
    if node.op != "call_function" or not node.all_input_nodes:
        return False
    if node.target in SILENT_VIEWS:
        return True
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(result.alias_info is not None for result in schema.returns)


def _same_form(operand: Node, node: Node) -> bool:
    """Return whether both are dense tensors of one shape and type."""
    mine, theirs = _form(operand), _form(node)
    return mine == theirs and mine[-1]


def _form(node: Node) -> tuple[Any, ...]:
    """Return shape, strides and type of a node's result, and whether it fills its memory in order."""
    value: Tensor = node.meta["val"]
    return value.shape, value.stride(), value.dtype, value.is_contiguous()
