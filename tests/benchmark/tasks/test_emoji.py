import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.errors import TaskDataError
from benchmark.records import Status
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Spec, expand
from benchmark.tasks import emoji, load_task, task_class
from benchmark.tasks.emoji import EmojiAlignment
from benchmark.training import train
from tests.benchmark.emoji import write_emoji
from tests.benchmark.toys import CPU

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    return tmp_path


def test_splits_are_disjoint_and_scored_on_384_whatever_the_font(datasets: Path) -> None:
    write_emoji(datasets, 1000)
    task = EmojiAlignment()
    for seed in (0, 7):
        parts = task.rows(seed)
        assert [len(part) for part in parts] == [1000 - 768, 384, 384]
        assert sorted(np.concatenate(parts)) == list(range(1000))
    splits = task.splits(0)
    assert [view.shape[1] for view in splits.train] == [24, 12]
    for view in splits.train:
        assert view.mean(dim=0).abs().max() < 1e-5
        assert view.std(dim=0, correction=0).sub(1).abs().max() < 1e-5
    assert not torch.equal(splits.test[0], task.splits(1).test[0])


def test_fewer_emoji_to_train_on_leave_the_others_as_they_are(datasets: Path) -> None:
    write_emoji(datasets, 1000)
    whole, few = EmojiAlignment().splits(0), EmojiAlignment({"train_share": 0.7}).splits(0)
    assert len(few.train[0]) == round(0.7 * 232)
    assert len(EmojiAlignment({"train_share": 0.125}).splits(0).train[0]) == 128, "one block of the loss"
    assert torch.equal(few.test[1], whole.test[1])
    assert (few.train[1][:, None] == whole.train[1]).all(dim=2).any(dim=1).all()


def brute_force(a: Tensor, b: Tensor, k: int) -> float:
    """The share of rows of `a` whose pair is among the k nearest of `b`."""
    hits = 0
    for place, row in enumerate(a.double().numpy()):
        similarities = [float(np.dot(row, other)) for other in b.double().numpy()]
        hits += sum(similarity > similarities[place] for similarity in similarities) < k
    return hits / len(a)


def common_neighbours(a: Tensor, b: Tensor, k: int) -> float:
    """The mean share of the k nearest rows that both views have in common."""
    shared = 0
    for place in range(len(a)):
        nearest = []
        for view in (a, b):
            distances = (view.double() - view[place].double()).norm(dim=1)
            distances[place] = math.inf
            nearest.append(set(distances.argsort()[:k].tolist()))
        shared += len(nearest[0] & nearest[1])
    return shared / len(a) / k


def test_retrieval_is_that_of_brute_force(datasets: Path) -> None:
    write_emoji(datasets)
    task = EmojiAlignment({"hidden": 32, "dim": 16})
    with seeded_torch(0, Stream.INIT):
        model = task.model(0)
    split = task.splits(0).test
    with torch.no_grad():
        a, b, _ = model(*split)
        scores = {**task.evaluate(model, split), **task.evaluate_end(model, split)}
    found = {name: value.item() for name, value in scores.items()}
    for k in (1, 5, 10):
        assert found[f"image_to_text_recall_at_{k}"] == pytest.approx(brute_force(a, b, k))
        assert found[f"text_to_image_recall_at_{k}"] == pytest.approx(brute_force(b, a, k))
        assert found[f"recall_at_{k}"] == pytest.approx((brute_force(a, b, k) + brute_force(b, a, k)) / 2)
    assert found["mutual_knn"] == pytest.approx(common_neighbours(a, b, 8), abs=1e-3)


def test_a_good_cell_finds_pairs(datasets: Path) -> None:
    write_emoji(datasets)
    spec = Spec.from_mapping(
        {
            "name": "emoji",
            "tasks": [{"name": "emoji-alignment", "params": {"hidden": 32, "dim": 16}}],
            "budget": {"epochs": 30, "batch_size": 116},
            "base": {"name": "sgd", "momentum": 0.9},
            "optimizers": [{"name": "msam", "fixed": {"rho": 0.05}}],
            "gd": False,
            "space": {"lr": {"values": [0.05]}},
            "seeds": {"count": 1},
        }
    )
    (cell,) = expand(spec)
    task = load_task("emoji-alignment", cell.setting.task_params)
    outcome = train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=math.inf)
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    assert outcome.metrics["test_recall_at_10"] > 5 * 10 / 384


def test_missing_emoji_say_what_to_run_and_to_install(datasets: Path) -> None:
    with pytest.raises(TaskDataError) as caught:
        EmojiAlignment().splits(0)
    words = str(caught.value)
    assert f"must be in {datasets / 'emoji'}" in words
    for needed in ("fonts-noto-color-emoji unicode-data", "rhobust[vision]", "wordllama", "rhobust build emoji"):
        assert needed in words
    with pytest.raises(TaskDataError, match="rhobust build emoji"):
        _ = EmojiAlignment().data_version
    write_emoji(datasets)
    assert len(EmojiAlignment().splits(0).test[0]) == 384, "an error is not remembered"


def test_too_few_emoji_are_refused(datasets: Path) -> None:
    write_emoji(datasets, 895)
    with pytest.raises(TaskDataError, match=r"must be at least 896 emoji, but .* has 895"):
        EmojiAlignment().splits(0)


def test_a_damaged_file_is_named(datasets: Path) -> None:
    file = write_emoji(datasets)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(TaskDataError, match=rf"{file}\. Delete this file, and build it again\. Run `apt-get install"):
        EmojiAlignment().splits(0)


def test_what_a_task_declares(datasets: Path) -> None:
    assert task_class("emoji-alignment") is EmojiAlignment
    file = write_emoji(datasets)
    assert EmojiAlignment().data_version == file.suffixes[0][1:]
    chances = {metric.name: metric.chance for metric in EmojiAlignment.metrics}
    assert chances["recall_at_10"] == pytest.approx(10 / 384)
    assert chances["mutual_knn"] == pytest.approx(8 / 383)
    assert EmojiAlignment().chance("loss") == pytest.approx(math.log(128))
    assert "SIL Open Font License" in EmojiAlignment.source
    assert emoji.N_SCORED % 128 == 0, "every scored row is in a block of the loss"
