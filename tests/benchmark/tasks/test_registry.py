from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from benchmark import Spec, UnknownTaskError
from benchmark.execution import cell_fingerprint
from benchmark.spec import expand
from benchmark.tasks import (
    Metric,
    Splits,
    Task,
    adopt_task,
    load_task,
    register_task,
    registered_tasks,
    registry,
    task_class,
    task_names,
    task_source,
)
from benchmark.tasks.digits import DigitsMLP
from tests.benchmark.toys import CPU, Toy, document


class Mine(Toy):
    name: ClassVar[str] = "mine"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_sources", {})
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


def test_a_task_is_found_by_its_name() -> None:
    assert "digits-mlp" in task_names()
    assert list(task_names()) == sorted(task_names())
    assert task_class("digits-mlp") is DigitsMLP


@pytest.mark.parametrize("find", [task_class, lambda name: load_task(name, {})])
def test_an_unknown_task_comes_with_the_nearest(find: object) -> None:
    assert callable(find)
    with pytest.raises(UnknownTaskError, match="unknown task 'digit-mlp'; did you mean 'digits-mlp'"):
        find("digit-mlp")


def test_a_process_makes_each_task_once() -> None:
    first = load_task("digits-mlp", {"hidden": 3, "depth": 2})
    assert load_task("digits-mlp", {"depth": 2, "hidden": 3}) is first
    assert load_task("digits-mlp", {"hidden": 4, "depth": 2}) is not first


def test_cells_share_the_data_of_a_seed() -> None:
    task = load_task("digits-mlp")
    assert task.data(5, CPU) is task.data(5, CPU)
    assert task.data(6, CPU) is not task.data(5, CPU)


def test_a_registered_task_can_be_named_by_a_spec() -> None:
    assert register_task(Mine) is Mine
    assert "mine" in task_names()
    spec = Spec.from_mapping(document(tasks=[{"name": "mine"}], metric={"name": "loss"}))
    assert spec.grids[0].setting.task == "mine"
    assert isinstance(load_task("mine"), Mine)
    with pytest.raises(UnknownTaskError, match=r"unknown task 'yours'.*Known: .*mine"):
        task_class("yours")


def test_the_source_of_a_registered_task_is_part_of_the_fingerprint() -> None:
    register_task(Mine)
    cell = next(expand(Spec.from_mapping(document(tasks=[{"name": "mine"}], metric={"name": "loss"}))))
    before = cell_fingerprint(cell, CPU)
    adopt_task(Mine, "another source")
    assert task_source("mine") == "another source"
    assert cell_fingerprint(cell, CPU).key != before.key
    assert task_source("digits-mlp") == ""


def test_another_process_adopts_what_was_registered() -> None:
    register_task(Mine)
    ((name, (task, source)),) = registered_tasks().items()
    assert (name, task) == ("mine", Mine)
    registry._registered.clear()
    registry._sources.clear()
    adopt_task(task, source)
    assert registered_tasks() == {name: (task, source)}


def test_registering_again_replaces() -> None:
    register_task(Mine)
    first = load_task("mine")
    register_task(Mine)
    assert load_task("mine") is not first


def incomplete(**changes: Any) -> type[Task]:
    return type("Other", (Toy,), {"name": "other", **changes})


def without_source() -> type[Task]:
    space: dict[str, Any] = {"Toy": Toy, "__name__": "nowhere"}
    space["Other"] = type("Other", (Toy,), {"name": "other", "__module__": "nowhere"})
    return space["Other"]  # type: ignore[no-any-return]  # made by type() above


class Taken(Toy):
    name: ClassVar[str] = "digits-mlp"


class Abstract(Task):
    name: ClassVar[str] = "abstract"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "half a task"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("loss", "minimize", 0.1, 1.0, "a loss"),)

    def splits(self, seed: int) -> Splits:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Taken, "the name 'digits-mlp' is taken by benchmark.tasks.digits.DigitsMLP; choose another"),
        (Abstract, "but Abstract lacks source, evaluate, loss, model"),
        (
            incomplete(metrics=(Metric("score", "maximize", 0.1, 0.0, "a score"),)),
            "one metric of a task must be 'loss'",
        ),
        (without_source(), "the source of the task Other must be readable, but it is not"),
    ],
)
def test_a_task_that_cannot_be_registered_says_why(task: type[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register_task(task)
    assert registered_tasks() == {}
