"""Plain values with tensors among them, such as the state of an optimizer: as one JSON text and tensors by name."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_LEAVES = (str, int, float, bool, type(None))


def packed(value: Any) -> tuple[str, dict[str, Tensor]]:
    """Return a value as JSON, and apart from it copies, on the CPU, of the tensors in it by the names it has for them.

    Lists of floating-point numbers are among the tensors: there may be one for every step.

    Args:
        value: of dictionaries whose keys are texts or whole numbers, lists, tuples, tensors, texts, numbers and None.

    Raises:
        TypeError: for anything else.
    """
    tensors: dict[str, Tensor] = {}
    return json.dumps(_packed(value, tensors)), tensors


def unpacked(document: str, tensors: Mapping[str, Tensor]) -> Any:
    """Return the value that `packed` took, its tensors on the CPU.

    Raises:
        ValueError, LookupError or TypeError: when it is nothing that `packed` returned.
    """
    return _unpacked(json.loads(document), tensors)


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    name = str(len(tensors))
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            raise TypeError(f"a key must be a text or a whole number, but got {list(value)}.")
        return {"dict": [[key, _packed(item, tensors)] for key, item in value.items()]}
    if type(value) is list and value and all(type(item) is float for item in value):
        tensors[name] = torch.tensor(value, dtype=torch.float64)
        return {"floats": name}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_packed(item, tensors) for item in value]}
    if type(value) not in _LEAVES:
        raise TypeError(f"a value must be plain or a tensor, but got a {type(value).__name__}: {value!r}.")
    return value


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "floats":
            return tensors[content].tolist()
        case "dict":
            return {key: _unpacked(item, tensors) for key, item in content}
        case "list":
            return [_unpacked(item, tensors) for item in content]
        case "tuple":
            return tuple(_unpacked(item, tensors) for item in content)
    raise ValueError(f"a value must be of a known kind, but got {kind}.")
