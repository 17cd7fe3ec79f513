"""Doors of packages that load what they export when it is first asked for: a command need not wait for torch."""

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path


def lazy_door(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package (PEP 562) that load its public names from their modules.

    Which those are stands in the source of the door: in its imports under `if TYPE_CHECKING`, which type checkers read.
    None of the names may be that of a submodule, which would hide it.

    Args:
        package: its full name.
        file: its `__init__.py`.
    """
    home_of = dict(_exports(ast.parse(Path(file).read_text(encoding="utf-8"))))

    def load(name: str) -> object:
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        found = getattr(import_module(home), name)
        setattr(sys.modules[package], name, found)  # it is asked for once
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return load, names


def _exports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that are imported for type checkers, each with its module."""
    for block in tree.body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom) and node.module is not None:
                    yield from ((alias.name, node.module) for alias in node.names)
