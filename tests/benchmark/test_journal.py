"""What a run writes down on its way."""

import pytest
import torch

from benchmark.journal import Journal
from benchmark.records import Cost
from benchmark.tasks import load_task

THIRD = float(torch.tensor(1 / 3))


@pytest.mark.parametrize(
    ("losses", "mean"),
    [((1.0, 0.0, 0.0), THIRD), ((THIRD, 1.0), float(torch.tensor((THIRD + 1) / 2))), ((0.1, 0.3), 0.2)],
    ids=["single", "single that is rounded", "double"],
)
def test_a_mean_loss_has_the_precision_of_the_losses(losses: tuple[float, ...], mean: float) -> None:
    task = load_task("digits-mlp", {"hidden": 4})
    journal = Journal(task)
    journal.read(len(losses), losses, [1.0] * len(losses), [], parameters_are_finite=True)
    journal.add_point(len(losses), dict.fromkeys(task.score_names("accuracy") + task.score_names("loss"), 0.5), {})
    outcome = journal.outcome(Cost(len(losses), len(losses), 1.0, False, "sequential", "cpu"), None)
    assert outcome.curve["train_loss"] == (mean,)
