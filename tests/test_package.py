"""What is released: what is in the wheel and the source distribution, and that they work where nothing else is."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("optimizers", "benchmark", "service")
SPEC = """
name: installed
tasks: [{name: banana, params: {start: [-1.5, 0.5]}, budget: {epochs: 5}}, {name: digits-mlp, budget: {epochs: 1}}]
optimizers: [{name: sam, fixed: {rho: 0.1}}]
space: {lr: {values: [0.01]}}
seeds: {count: 1}
"""


def test_the_version_stands_in_one_place() -> None:
    """Where it is installed otherwise than it is written, `make install` has to be called again."""
    assert version("rhobust") == PROJECT["version"]
    others = [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(rf'version\w*"?\s*[:=]\s*"{re.escape(PROJECT["version"])}"', path.read_text(encoding="utf-8"))
    ]
    assert others == []


def test_hooks_run_what_make_lint_runs_and_download_nothing() -> None:
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = document["repos"]
    assert repository["repo"] == "local"
    programs = {tuple(hook["entry"].split()[:2]) for hook in repository["hooks"]}
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    made = {tuple(line.split()[:2]) for line in lint.replace("$(BIN)", ".venv/bin").splitlines()[1:]}
    assert programs == made


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def build(source: Path, target: Path, kind: str) -> Path:
    """Build a distribution of a folder."""
    run(sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", target, cwd=source)
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(build(ROOT, folder / "dist", "sdist")) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"rhobust-{PROJECT['version']}"


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources() -> set[str]:
    """Every file of the packages, as the working copy has it."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
def test_the_wheel_has_the_three_packages_whole_and_nothing_else(wheel: Path) -> None:
    info = f"rhobust-{PROJECT['version']}.dist-info"
    meta = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert files_of(wheel) == sources() | meta | {f"{info}/licenses/{name}" for name in ("LICENSE", "NOTICE")}
    assert {"optimizers/py.typed", "benchmark/py.typed", "service/py.typed"} <= files_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "rhobust = service.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    needed = re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, flags=re.MULTILINE)
    assert sorted(re.split(r"[<>=\[]", one)[0] for one in needed) == sorted(
        re.split(r"[<>=\[]", one)[0] for one in PROJECT["dependencies"]
    )
    assert f"Version: {PROJECT['version']}\n" in metadata
    assert "How robust is an optimizer to its hyperparameters?" in metadata


@pytest.mark.slow
def test_the_source_distribution_makes_the_same_wheel_and_has_all_that_is_needed_to_work_on_it(
    wheel: Path, unpacked: Path, tmp_path: Path
) -> None:
    assert files_of(build(unpacked, tmp_path, "wheel")) == files_of(wheel)
    for name in (
        "Makefile",
        "requirements.lock",
        "CONTRIBUTING.md",
        "tests/conftest.py",
        "docs/index.md",
        "mkdocs.yml",
    ):
        assert (unpacked / name).is_file(), name
    folders = {path.name for path in unpacked.rglob("*") if path.is_dir()}
    strangers = folders & {"__pycache__", ".venv", "build", "dist", ".git"}
    assert strangers == set()


@pytest.fixture(params=["wheel", "sdist"])
def programs(request: pytest.FixtureRequest, tmp_path: Path, wheel: Path, unpacked: Path) -> Path:
    """Programs of an environment with nothing in it but the distribution and, by a path, the libraries that it needs.

    The libraries are those of this environment, which has them from the lock file: to download them again would take
    gigabytes. Our own packages cannot come from there, for files of paths are not followed twice.
    """
    place = wheel if request.param == "wheel" else build(unpacked, tmp_path / "built", "wheel")
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", place, cwd=tmp_path)
    assert "rhobust" in run(*pip, "list", cwd=tmp_path)
    assert run(home / "bin" / "rhobust", "--version", cwd=tmp_path, env=alone(tmp_path)).startswith("rhobust 0.")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def alone(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing leads to the working copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RHOBUST_", "PYTHON", "VIRTUAL"))}
    return {**kept, "RHOBUST_DATA_DIR": str(folder / "data"), "RHOBUST_CACHE_DIR": str(folder / "cache")}


@pytest.mark.slow
@pytest.mark.long
def test_an_installed_distribution_trains_without_the_working_copy(programs: Path, tmp_path: Path) -> None:
    env = alone(tmp_path)
    where = run(programs / "python", "-c", "import service; print(service.__file__)", cwd=tmp_path, env=env)
    assert where.startswith(str(programs.parent))
    (tmp_path / "spec.yaml").write_text(SPEC)
    table = run(programs / "rhobust", "run", "spec.yaml", "-o", "md", cwd=tmp_path, env=env)
    assert "digits" in table
    assert "banana" in table
    pages = (
        "from service.web.app import create_app; from service.settings import Settings; from service.store import Store"
    )
    code = f"{pages}; print(len(create_app(Store.open(Settings().store_url), Settings()).routes))"
    assert int(run(programs / "python", "-c", code, cwd=tmp_path, env=env)) > 0
