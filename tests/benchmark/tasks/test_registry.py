import pytest

from benchmark import UnknownTaskError
from benchmark.tasks import load_task, task_class, task_names
from benchmark.tasks.digits import DigitsMLP


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
