import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark import PluginError, Spec, SpecError, TaskFaultError, load_plugins
from benchmark.canonical import content_hash
from benchmark.choice import choose_execution, device_name, timing_key
from benchmark.execution import Execution, cell_fingerprint, train_cell, train_cells
from benchmark.fingerprint import own_making
from benchmark.origins import optimizer_origin, task_origin
from benchmark.plan import price
from benchmark.plugins import added, adopt, installed_plugins, loaded_plugins
from benchmark.rayenv import RayOptions, prepare_ray_environment
from benchmark.records import PackPlace
from benchmark.spec import Cell, expand
from benchmark.tasks import register_task, task_names
from optimizers import optimizer_names, register_optimizer, rule_info
from tests.benchmark.packages import SOURCES, Source, fresh_process, write_package, write_rule, write_source
from tests.benchmark.toys import CPU, Toy, document

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
EXAMPLE_POINTS: dict[str, Any] = {
    "optimizers": {
        "sign_sam": "rhobust_example.optimizers:SIGN_SAM",
        "normalized_gd": "rhobust_example.optimizers:NORMALIZED_GD",
    },
    "tasks": {"spirals": "rhobust_example.tasks:Spirals"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on the path, in a process that has loaded nothing."""
    with fresh_process(tmp_path):
        yield tmp_path


@pytest.fixture
def example(folder: Path) -> Path:
    """The example, installed."""
    sources = sorted((EXAMPLE / "src").rglob("*.py"))
    modules = {path.relative_to(EXAMPLE / "src").as_posix(): path.read_text() for path in sources}
    write_package(folder, "rhobust-example", modules, **EXAMPLE_POINTS, version="0.1.0")
    return folder


def cells_of(**changes: Any) -> list[Cell]:
    return list(expand(Spec.from_mapping(document(**changes))))


def turned_cell() -> Cell:
    return next(cell for cell in cells_of(optimizers=[{"name": "turned"}]) if cell.optimizer == "turned")


def test_specs_name_what_an_allowed_package_offers(example: Path) -> None:
    (plugin,) = load_plugins(["Rhobust_Example"])
    assert (plugin.distribution, plugin.version) == ("rhobust-example", "0.1.0")
    assert plugin.optimizers == ("normalized_gd", "sign_sam")
    assert plugin.tasks == ("spirals",)
    assert load_plugins(["rhobust-example", "rhobust.example"]) == (plugin,)
    assert loaded_plugins() == (plugin,)
    assert {"normalized_gd", "sign_sam"} <= {*optimizer_names()}
    assert "spirals" in task_names()
    assert [str(optimizer_origin(name)) for name in ("sign_sam", "sam")] == ["rhobust-example 0.1.0", "builtin"]
    assert [str(task_origin(name)) for name in ("spirals", "digits-mlp")] == ["rhobust-example 0.1.0", "builtin"]
    schema = Spec.json_schema()["$defs"]
    assert "sign_sam" in schema["OptimizerEntry"]["properties"]["name"]["enum"]
    assert "spirals" in schema["TaskEntry"]["properties"]["name"]["enum"]
    assert schema["BaseEntry"]["properties"]["name"]["enum"] == ["adam", "adamw", "sgd"]


def test_what_an_allowed_package_offers_is_trained(example: Path) -> None:
    load_plugins(["rhobust-example"])
    spec = Spec.from_file(EXAMPLE / "spec.yaml")
    assert spec.n_cells == (4 + 16 + 16 + 4) * 5
    for name, n_passes in (("sign_sam", 2), ("normalized_gd", 1)):
        cell = next(cell for cell in expand(spec) if cell.optimizer == name and 0.1 < cell.hyperparameters["lr"] < 1)
        record = train_cell(cell, PackPlace("pack", 1, 0), device=CPU, limit_s=60)
        assert record.outcome.error is None
        assert record.outcome.status == "completed"
        assert record.outcome.cost.gradient_evaluations == n_passes * record.outcome.cost.steps
        assert record.outcome.metrics["val_accuracy"] > 0.5


def test_a_package_that_is_not_allowed_is_not_imported(folder: Path) -> None:
    text = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    write_package(folder, "unwanted", {"unwanted.py": text}, optimizers={"unwanted": "unwanted:X"})
    write_rule(folder)
    load_plugins([])
    load_plugins(["turned-rule"])
    assert {"unwanted", "turned-rule"} <= {*installed_plugins()}
    assert "turned" in optimizer_names()
    assert "unwanted" not in sys.modules
    assert not (folder / "ran").exists()


def broken(text: str) -> Callable[[Path], None]:
    return lambda folder: write_package(folder, "odd", {"odd.py": text}, optimizers={"odd": "odd:THING"})


def a_task(body: str) -> Callable[[Path], None]:
    text = f"from tests.benchmark.toys import Toy\n\nclass Odd(Toy):\n    name = 'odd'\n{body}"
    return lambda folder: write_package(folder, "odd", {"odd.py": text}, tasks={"odd": "odd:Odd"})


def a_rule(name: str, entry: str) -> Callable[[Path], None]:
    text = f"from optimizers import rule_info\nTHING = rule_info('{name}', lambda s: s.gradients, title='x', rho=.1)\n"
    return lambda folder: write_package(folder, "odd", {"odd.py": text}, optimizers={entry: "odd:THING"})


def two_of_a_name(folder: Path) -> None:
    write_rule(folder, "first")
    write_rule(folder, "odd")


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "not installed": (lambda folder: None, "the plug-in 'odd' is allowed but not installed here; install it"),
    "offers nothing": (lambda folder: write_package(folder, "odd", {}), "the package 'odd' is no plug-in"),
    "no such module": (
        lambda folder: write_package(folder, "odd", {}, optimizers={"odd": "nowhere_at_all:X"}),
        r"'odd' \(nowhere_at_all:X\) of the plug-in odd 1.0 cannot be imported: ModuleNotFoundError",
    ),
    "no such object": (broken(""), "cannot be imported: AttributeError"),
    "fails": (broken("1 / 0"), "cannot be imported: ZeroDivisionError: division by zero"),
    "exits": (broken("raise SystemExit('bye')"), "cannot be imported: SystemExit: bye"),
    "syntax": (broken("def"), "cannot be imported: SyntaxError"),
    "a class": (broken("from torch.optim import SGD as THING"), "class_info returned, but is the class SGD"),
    "a number": (broken("THING = 1"), "class_info returned, but is of type int"),
    "undeclared": (
        broken(
            "import torch\nfrom optimizers import class_info\n"
            "def make(params, lr, beta): ...\nTHING = class_info('odd', make, title='x')"
        ),
        "each argument that 'odd' needs must be a declared hyperparameter, but beta is not",
    ),
    "another name": (a_rule("even", "odd"), "it must have the name of what it offers, which is 'even'"),
    "one of ours": (a_rule("sam", "sam"), "'sam' of odd.<lambda> is one of ours; choose another"),
    "twice": (two_of_a_name, "its name is taken by the plug-in first 1.0"),
    "no task": (
        lambda folder: write_package(folder, "odd", {"odd.py": "X = dict"}, tasks={"odd": "odd:X"}),
        "must be a class derived from benchmark.tasks.Task, but is the class dict",
    ),
    "a task of ours": (a_task("    name = 'digits-mlp'\n"), "the name 'digits-mlp' is taken by"),
    "no metrics": (a_task("    metrics = ('loss',)\n"), "cannot be used: AttributeError: 'str' object"),
    "bad parameters": (a_task("    Parameters = dict\n"), "must be a SpecModel, but Odd has dict"),
    "not made": (
        a_task("    def __init__(self, params=None):\n        raise OSError('no data')\n"),
        "a task must be made without parameters, but Odd fails: OSError: no data",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_package_that_cannot_be_used_says_why_and_adds_nothing(folder: Path, fault: str) -> None:
    write, message = FAULTS[fault]
    write(folder)
    before = optimizer_names(), task_names()
    if fault == "twice":
        load_plugins(["first"])
        before = optimizer_names(), task_names()
    with pytest.raises(PluginError, match=message):
        load_plugins(["odd"])
    assert (optimizer_names(), task_names()) == before


def test_every_fault_is_told_and_what_is_well_is_loaded(folder: Path) -> None:
    write_rule(folder)
    broken("1 / 0")(folder)
    with pytest.raises(PluginError, match=r"(?s)'missing' is allowed but not.*ZeroDivisionError"):
        load_plugins(["missing", "odd", "turned-rule"])
    assert "turned" in optimizer_names()


def test_a_package_is_known_by_its_files_and_not_by_its_version(tmp_path: Path) -> None:
    seen = {}
    for place, factor in (("one", 1.0), ("same", 1.0), ("other", 2.0)):
        write_rule(tmp_path / place, factor=factor)
        with fresh_process(tmp_path / place):
            (plugin,) = load_plugins(["turned-rule"])
            cell = turned_cell()
            plain = next(cell for cell in cells_of() if cell.optimizer == "sam")
            assert optimizer_origin("turned").source == plugin.source
            seen[place] = (
                plugin.source,
                cell.key,
                cell_fingerprint(cell, CPU).key,
                timing_key(cell.setting, "cpu"),
                content_hash(own_making()),
                cell_fingerprint(plain, CPU).key,
                timing_key(plain.setting, "cpu"),
            )
    assert seen["one"] == seen["same"]
    differs = [a != b for a, b in zip(seen["one"], seen["other"], strict=True)]
    assert differs == [True, False, True, True, True, False, False]


@pytest.mark.parametrize("is_editable", [False, True])
def test_every_file_of_a_package_counts(tmp_path: Path, is_editable: bool) -> None:
    site, project = tmp_path / "site", tmp_path / "project"

    def source(change: str | None) -> str:
        for place in (site, project):
            shutil.rmtree(place, ignore_errors=True)
        rule = "from optimizers import rule_info\nfrom mine.deep.part import turned\n"
        rule += "TURNED = rule_info('turned', turned, title='x', rho=.1)\n"
        files = {
            "mine/__init__.py": "",
            "mine/rules.py": rule,
            "mine/deep/__init__.py": "",
            "mine/deep/part.py": "def turned(seen):\n    return list(seen.gradients)\n",
            "mine/table.csv": "1,2\n",
            "mine/later.py": "# imported when it is needed\n",
        }
        if change:
            files[change] += "\n"
        write_package(project if is_editable else site, "mine", files, optimizers={"turned": "mine.rules:TURNED"})
        if is_editable:
            (notes,) = project.glob("*.dist-info")
            kept = [line for line in (notes / "RECORD").read_text().splitlines() if ".dist-info" in line]
            (notes / "RECORD").write_text("\n".join([*kept, "mine.pth,,"]))
            told = {"url": project.as_uri(), "dir_info": {"editable": True}}
            (notes / "direct_url.json").write_text(json.dumps(told))
            site.mkdir()
            notes.rename(site / notes.name)
        with fresh_process(site), fresh_process(project):
            return load_plugins(["mine"])[0].source

    first = source(None)
    assert source(None) == first
    for change in ("mine/rules.py", "mine/deep/part.py", "mine/table.csv", "mine/later.py"):
        assert source(change) != first


@pytest.mark.parametrize("kind", SOURCES)
def test_the_source_of_a_package_is_known_where_its_installer_noted_one(folder: Path, kind: Source) -> None:
    project, commit = folder / "project", "b" * 40
    write_rule(folder)
    write_source(folder, kind, project, commit)
    (plugin,) = load_plugins(["turned-rule"])
    assert plugin.project == (project if kind == "editable" else None)
    assert plugin.commit == (commit if kind == "of a repository" else None)


def test_a_worker_loads_packages_itself_and_takes_over_the_rest(folder: Path) -> None:
    write_rule(folder)
    load_plugins(["turned-rule"])
    register_task(Toy)
    register_optimizer(rule_info("mine", lambda seen: list(seen.gradients), title="Mine", rho=0.1))
    known = added()
    assert (known.plugins, [*known.optimizers], [*known.tasks]) == (("turned-rule",), ["mine"], ["toy"])
    prepare_ray_environment(RayOptions())  # Ray reads it when it is imported, for all tests of this process
    from ray import cloudpickle

    sent = cloudpickle.dumps(known)  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    with fresh_process(folder):
        adopt(cloudpickle.loads(sent))
        assert {"turned", "mine"} <= {*optimizer_names()}
        assert str(optimizer_origin("mine")) == "own"
        assert "toy" in task_names()
    with fresh_process(folder / "elsewhere"):
        shutil.rmtree(folder / "turned_rule-1.0.dist-info")
        with pytest.raises(PluginError, match="'turned-rule' is allowed but not installed here"):
            adopt(cloudpickle.loads(sent))
        assert "mine" in optimizer_names()


HOSTILE = [
    "os.system",
    "os:system",
    "rhobust_example.optimizers:SIGN_SAM",
    "rhobust_example",
    "unwanted",
    "unwanted:X",
    "../unwanted.py",
    "/etc/unwanted.py",
    "__import__('os').system('true')",
    "lambda: 0",
    "!!python/object/apply:os.system [true]",
    "{eval: 1}",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["optimizer", "task", "base", "metric", "search", "sharpness", "hyperparameter"])
def test_a_spec_names_no_module_no_file_and_no_expression(folder: Path, name: str, place: str) -> None:
    text = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    write_package(folder, "unwanted", {"unwanted.py": text}, optimizers={"unwanted": "unwanted:X"})
    places: dict[str, dict[str, Any]] = {
        "optimizer": {"optimizers": [{"name": name}]},
        "task": {"tasks": [{"name": name}]},
        "base": {"base": {"name": name}},
        "metric": {"metric": {"name": name}},
        "search": {"search": {"method": name}},
        "sharpness": {"sharpness": [name]},
        "hyperparameter": {"fixed": {"lr": name}, "space": {}},
    }
    with pytest.raises(SpecError, match=r"unknown|a number is needed|Input should be"):
        Spec.from_mapping(document(**places[place]))
    assert "unwanted" not in sys.modules
    assert not (folder / "ran").exists()


def test_an_optimizer_without_a_base_goes_beside_those_that_have_one(example: Path) -> None:
    load_plugins(["rhobust-example"])
    alone = {"name": "normalized_gd", "fixed": {"momentum": 0.5}}
    spec = Spec.from_mapping(document(optimizers=[alone, {"name": "sam", "fixed": {"rho": 0.1}}]))
    settings = {grid.optimizer: grid for grid in spec.grids}
    assert settings["normalized_gd"].setting.base == "none"
    assert dict(settings["normalized_gd"].fixed) == {"momentum": 0.5}
    assert settings["sam"].fixed["momentum"] == 0.9
    refused = [
        (
            {**alone, "base": {"name": "sgd"}},
            "/optimizers/0/base: an optimizer that takes the descent step itself has no",
        ),
        ({"name": "normalized_gd", "fixed": {"nesterov": True}}, "unknown hyperparameter of normalized_gd 'nesterov'"),
        ({"name": "normalized_gd", "fixed": {"momentum": 1.0}}, "0 <= momentum < 1 must hold"),
        ({"name": "sam", "base": {"name": "none"}}, "unknown base optimizer 'none'"),
    ]
    for entry, message in refused:
        with pytest.raises(SpecError, match=message):
            Spec.from_mapping(document(optimizers=[entry]))
    with pytest.raises(SpecError, match="/resources/pack: every optimizer, task and budget must allow to train fused"):
        Spec.from_mapping(document(optimizers=[alone], resources={"pack": "fused"}))


FAILING_TASK = """
from tests.benchmark.toys import Toy

class Odd(Toy):
    name = "odd"

    def __init__(self, params=None):
        super().__init__(params)
        if self.params.n_train == 7:
            raise OverflowError("seven is too many")

    def splits(self, seed):
        raise FileNotFoundError("odd.csv")
"""


def test_a_task_whose_code_fails_is_told_by_its_name(folder: Path) -> None:
    write_package(folder, "odd", {"odd.py": FAILING_TASK}, tasks={"odd": "odd:Odd"})
    load_plugins(["odd"])
    metric = {"name": "loss"}
    with pytest.raises(SpecError, match="/tasks/0/params: the code of the task 'odd' fails: OverflowError: seven is"):
        Spec.from_mapping(document(tasks=[{"name": "odd", "params": {"n_train": 7}}], metric=metric))
    spec = Spec.from_mapping(document(tasks=[{"name": "odd"}], metric=metric))
    with pytest.raises(TaskFaultError, match=r"the code of the task 'odd' fails: FileNotFoundError: odd\.csv"):
        price(spec)
    record = train_cell(next(expand(spec)), PackPlace("pack", 1, 0), device=CPU, limit_s=60)
    assert record.outcome.error == "FileNotFoundError: odd.csv"


def test_auto_chooses_what_each_optimizer_allows(example: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_plugins(["rhobust-example"])
    spec = Spec.from_mapping(
        document(
            tasks=[{"name": "spirals"}],
            budget={"epochs": 1, "batch_size": 100},
            optimizers=[{"name": "normalized_gd"}, {"name": "sign_sam"}],
            space={"lr": {"log": [0.01, 1.0], "n": 16}},
            seeds={"count": 1},
        )
    )
    cells = list(expand(spec))
    choice = choose_execution(spec, cells, CPU)
    chosen = {cell.optimizer: choice.executions[cell.setting.key] for cell in cells}
    assert chosen["normalized_gd"] == "sequential"
    timed = choice.timings[timing_key(next(c for c in cells if c.optimizer == "sign_sam").setting, device_name(CPU))]
    assert timed.fused_s is not None
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    mine = [cell for cell in cells if cell.optimizer == "sign_sam"][::5]
    places = [PackPlace("pack", len(mine), place) for place in range(len(mine))]
    both: tuple[Execution, Execution] = ("sequential", "fused")
    ways = [train_cells(mine, places, device=CPU, limit_s=60, execution=way) for way in both]
    for alone, together in zip(*ways, strict=True):
        assert alone.outcome.metrics == pytest.approx(together.outcome.metrics, rel=1e-3, abs=1e-3)
        assert together.outcome.cost.execution == "fused"
