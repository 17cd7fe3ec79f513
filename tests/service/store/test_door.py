"""The store's door is exact, and nobody else goes to the database."""

import ast
from pathlib import Path

import service
import service.store


def test_the_door_is_sorted_and_complete() -> None:
    assert service.store.__all__ == sorted(service.store.__all__)
    assert [name for name in service.store.__all__ if not hasattr(service.store, name)] == []


def test_only_the_store_imports_the_database_libraries() -> None:
    root = Path(service.__file__).parent
    for path in root.parent.glob("*/**/*.py"):
        if path.is_relative_to(root / "store") or path.relative_to(root.parent).parts[0] not in (
            "optimizers",
            "benchmark",
            "service",
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert (module or "").split(".")[0] not in ("sqlalchemy", "alembic", "psycopg", "sqlite3"), path
