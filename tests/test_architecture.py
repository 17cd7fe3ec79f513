"""The walls between packages and around libraries, read from the sources."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("optimizers", "benchmark", "service")
SOURCES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# where a library may be imported: folders and files
WALLS = {
    "ray": tuple(f"benchmark/ray{part}.py" for part in ("session", "tune", "pack", "ranks", "search")),
    "optuna": ("benchmark/raysearch.py", "benchmark/studies.py"),
    "sqlalchemy": ("service/store",),
    "alembic": ("service/store",),
    "psycopg": ("service/store",),
    "fastapi": ("service/web", "service/serve.py"),
    "starlette": ("service/web", "service/serve.py"),
    "prometheus_client": ("service/web/metrics.py",),
    "uvicorn": ("service/web", "service/serve.py"),
    "matplotlib": ("benchmark/figures",),
    "plotly": ("benchmark/figures",),
    "yaml": ("benchmark/documents.py", "benchmark/writing.py", "service/cli"),
    "typer": ("service/cli",),
    "sklearn": ("benchmark/tasks",),
    "mnist1d": ("benchmark/tasks",),
    "transformers": ("benchmark/tasks",),
    "tokenizers": ("benchmark/tasks", "benchmark/building"),
    "safetensors": ("benchmark/tasks", "benchmark/building", "benchmark/checkpoints.py"),
    "PIL": ("benchmark/tasks", "benchmark/building"),
    "pyarrow": ("service/export.py",),
    "pickle": (),
    "cloudpickle": (),
    "dill": (),
    "marshal": (),
    "shelve": (),
    "joblib": (),
}
# what a package may import besides the standard library and itself; None: anything
MAY_IMPORT = {"optimizers": {"torch"}, "benchmark": None, "service": None}
MAY_NOT_IMPORT = {"optimizers": {"benchmark", "service"}, "benchmark": {"service"}, "service": set[str]()}


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every imported module with its line, also from inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.module or "", node.lineno


def tree_of(source: Path) -> ast.Module:
    return ast.parse((ROOT / source).read_text(encoding="utf-8"))


def breaches(source: Path, tree: ast.AST) -> list[str]:
    """Return what in a source breaks a wall."""
    package = source.parts[0]
    found = []
    for module, line in imports(tree):
        library = module.partition(".")[0]
        allowed = WALLS.get(library)
        if allowed is not None and not any(source.is_relative_to(place) for place in allowed):
            found.append(f"{source}:{line} imports {module}, which is for {allowed or 'nobody'}")
        foreign = library not in sys.stdlib_module_names and library != package
        choices = MAY_IMPORT[package]
        if library in MAY_NOT_IMPORT[package] or (foreign and choices is not None and library not in choices):
            found.append(f"{source}:{line} imports {module}, which {package} must not know")
    return found


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_source_keeps_within_the_walls(source: Path) -> None:
    assert breaches(source, tree_of(source)) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("optimizers/rules.py", "import numpy"),
        ("optimizers/rules.py", "from benchmark.spec import Spec"),
        ("benchmark/spec/spec.py", "import service.store"),
        ("benchmark/running.py", "def f():\n    import ray"),
        ("benchmark/running.py", "from ray import tune"),
        ("service/jobs/driver.py", "import ray"),
        ("service/jobs/driver.py", "from sqlalchemy import text"),
        ("service/cli/commands.py", "import fastapi"),
        ("service/web/app.py", "import matplotlib.pyplot"),
        ("service/store/codec.py", "import pickle"),
    ],
)
def test_a_breach_is_seen(source: str, code: str) -> None:
    assert len(breaches(Path(source), ast.parse(code))) == 1


OF_RAY = ("benchmark.raysession", "benchmark.raytune", "benchmark.raysearch", "benchmark.rayranks")
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))


def test_no_test_imports_ray_when_it_is_collected() -> None:
    """Ray reads its settings on import: the first test that prepares them must be the one that imports it."""
    at_once = [
        f"{test}: {module}"
        for test in TESTS
        for node in tree_of(test).body
        for module, _ in imports(node)
        if isinstance(node, ast.Import | ast.ImportFrom) and (module.partition(".")[0] == "ray" or module in OF_RAY)
    ]
    assert at_once == []


DOORS = [source for source in SOURCES if source.name == "__init__.py"]


def exports_of(tree: ast.Module) -> list[ast.stmt]:
    """Return the imports of a lazy door: those for type checkers, which `lazy_door` reads too."""
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    return [node for block in blocks for node in block.body]


@pytest.mark.parametrize("door", [door for door in DOORS if exports_of(tree_of(door))], ids=str)
def test_a_lazy_door_hides_no_submodule(door: Path) -> None:
    """Whoever imports a submodule puts it into the package, in the place of an export of the same name."""
    exports = exports_of(tree_of(door))
    assert all(isinstance(node, ast.ImportFrom) for node in exports)
    names = {alias.asname or alias.name for node in exports if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names & {path.stem for path in (ROOT / door).parent.iterdir()} == set()


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_door_is_exact(door: Path) -> None:
    """A public name is imported or made in a door if and only if it is in its `__all__`, which is sorted."""
    tree = tree_of(door)
    exported: list[str] | None = None
    public: set[str] = set()
    for node in [*tree.body, *exports_of(tree)]:
        if isinstance(node, ast.ImportFrom | ast.Import):
            public |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            public.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__":
                exported = ast.literal_eval(node.value)
            else:
                public.add(node.targets[0].id)
    public = {name for name in public - {"TYPE_CHECKING", "lazy_door"} if not name.startswith("_")}
    assert ast.get_docstring(tree)
    assert set(exported or ()) == public
    assert len(exported or ()) == len(public)
    assert (exported or []) == sorted(exported or (), key=_isort_key)


def _isort_key(name: str) -> tuple[int, str]:
    """The order that the linter keeps: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_imported_without_heavy_libraries(package: str) -> None:
    program = f"import sys, {package}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert package in loaded
    heavy = {"ray", "torch", "pandas", "numpy", "scipy", "matplotlib", "plotly", "fastapi", "sqlalchemy", "service"}
    heavy |= {"transformers", "PIL"}
    assert (heavy - {package}) & loaded == set()


def test_there_is_something_to_read() -> None:
    assert {source.parts[0] for source in SOURCES} == set(PACKAGES)
    assert len(DOORS) >= len(PACKAGES)
