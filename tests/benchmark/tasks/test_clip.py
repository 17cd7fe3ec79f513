import csv
import dataclasses
import itertools
import math
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import TaskDataError
from benchmark.execution import train_cell
from benchmark.records import PackPlace, Status
from benchmark.sharpness import MEASURES
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import LazyRows, Splits, retrieval, task_class
from benchmark.tasks.clip import ClipAlignment
from benchmark.tasks.lazy import in_memory
from benchmark.tasks.pairs import Tokens, pixels_of
from benchmark.training import train
from tests.benchmark.toys import CPU
from tests.benchmark.vision import N_TOKENS, SIDE, WORDS, write_clip, write_pairs

pytestmark = pytest.mark.slow

PARAMS = {"model": "small", "pairs": "squares", "n_scored": 128}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    write_clip(folder)
    write_pairs(folder)
    return folder


@pytest.fixture
def datasets(written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(written))
    return written


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    return tmp_path


def captions(folder: Path) -> list[str]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def test_splits_are_the_pairs_of_the_folders(datasets: Path) -> None:
    task = ClipAlignment(PARAMS)
    splits = task.splits(0)
    for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        images, tokens = in_memory(split)
        assert (images.shape, images.dtype) == ((128, 3, SIDE, SIDE), torch.uint8)
        words = captions(datasets / "pairs" / "squares" / name)[5].split()
        assert tokens[5].tolist() == [10, *map(WORDS.index, words), *[11] * (N_TOKENS - 1 - len(words))]
    assert task.data(0, CPU) is task.data(1, CPU), "seeds share what is large"


def test_images_are_scaled_and_their_middle_is_cut_out(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:, 16:48] = (10, 200, 30)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).convert("RGBA").save(tmp_path / "high.png")
    Image.fromarray(pixels[:3, :5]).save(tmp_path / "tiny.png")
    (found,) = in_memory((pixels_of([tmp_path / name for name in ("wide.png", "high.png", "tiny.png")], 16),))
    assert found.shape == (3, 3, 16, 16)
    for image in found[:2]:
        assert (image[:, 4:12, 4:12] == torch.tensor([10, 200, 30])[:, None, None]).all()


def test_a_caption_that_is_too_long_still_ends(datasets: Path) -> None:
    tokens = Tokens.load(datasets / "models" / "small", N_TOKENS)
    codes = tokens.codes_of(["red " * 20, "blue", ""])
    assert codes.tolist() == [[10, *[2] * 8, 11], [10, 4, *[11] * 8], [10, *[11] * 9]]


def test_what_follows_the_end_of_a_caption_is_not_seen(datasets: Path) -> None:
    task = ClipAlignment(PARAMS)
    model, (images, tokens) = task.model(0).eval(), task.splits(0).test
    changed = tokens.clone()
    changed[:, -1] = 3
    with torch.no_grad():
        torch.testing.assert_close(model(images, tokens)[1], model(images, changed)[1])


def test_the_model_is_that_of_the_folder(datasets: Path) -> None:
    from safetensors.torch import load_file

    task = ClipAlignment(PARAMS)
    kept = load_file(datasets / "models" / "small" / "model.safetensors")
    model = task.model(4)
    state = model.state_dict()
    assert all(torch.equal(state[f"clip.{name}"], value) for name, value in kept.items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    a, b, scale = model(*task.splits(0).test)
    torch.testing.assert_close(torch.cat([a, b]).norm(dim=1), torch.ones(256))
    assert scale.item() == pytest.approx(math.exp(2.6592), rel=1e-4)


def test_the_model_is_told_how_colours_are_scaled(datasets: Path) -> None:
    model = ClipAlignment(PARAMS).model(0)
    seen: list[torch.Tensor] = []
    patches = model.get_submodule("clip.vision_model")
    patches.register_forward_pre_hook(
        lambda _module, inputs, given: seen.append(given.get("pixel_values", inputs[0] if inputs else None)),
        with_kwargs=True,
    )
    model(torch.full((1, 3, SIDE, SIDE), 255, dtype=torch.uint8), torch.tensor([[10, 2, 11, *[11] * 5]]))
    assert seen[0].aminmax() == pytest.approx((2.0, 2.0))  # (1 - .5) / .25


def nearest(x: torch.Tensor, k: int) -> list[set[int]]:
    """The k nearest rows of each, by brute force."""
    neighbours = []
    for place, row in enumerate(x.double()):
        distances = (x.double() - row).norm(dim=1)
        distances[place] = math.inf
        neighbours.append(set(distances.argsort()[:k].tolist()))
    return neighbours


def found(queries: torch.Tensor, candidates: torch.Tensor, k: int) -> float:
    """The share of queries whose pair is among their k most similar candidates, by brute force."""
    n_found = 0
    for place, query in enumerate(queries.double()):
        similarities = [float(query @ candidate) for candidate in candidates.double()]
        n_found += sum(similarity > similarities[place] for similarity in similarities) < k
    return n_found / len(queries)


class Tables(nn.Module):
    """A model whose embeddings are known: rows of two tables, numbered by images and captions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        a, noise = (torch.randn(200, 6, generator=generator) for _ in range(2))
        self.a, self.b = (nn.functional.normalize(x) for x in (a, a + noise))

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.a[images[:, 0].long()], self.b[tokens[:, 0]], torch.tensor(5.0)


def test_retrieval_and_neighbours_are_those_of_brute_force() -> None:
    task, model = ClipAlignment({**PARAMS, "n_scored": 150}), Tables()
    order = torch.arange(200)[:, None]
    scores = {**task.evaluate(model, (order, order)), **task.evaluate_end(model, (order, order))}
    a, b = model.a[:150], model.b[:150]
    shared = sum(len(one & other) for one, other in zip(nearest(a, 8), nearest(b, 8), strict=True))
    assert scores["mutual_knn"].item() == pytest.approx(shared / 150 / 8, abs=1e-4)
    for k in (1, 5, 10):
        assert scores[f"recall_at_{k}"].item() == pytest.approx((found(a, b, k) + found(b, a, k)) / 2)
    assert scores["loss"].item() == pytest.approx(
        retrieval.info_nce(model.a[:128], model.b[:128], 5.0).item(), rel=1e-5
    )


def test_a_small_clip_is_fine_tuned(datasets: Path) -> None:
    spec = Spec.from_mapping(
        {
            "name": "clip",
            "tasks": [{"name": "clip-alignment", "params": PARAMS}],
            "budget": {"gradient_evaluations": 240, "batch_size": 64},
            "base": {"name": "adamw"},
            "optimizers": [{"name": "msam", "fixed": {"rho": 0.01}}],
            "gd": False,
            "space": {"lr": {"values": [0.003]}},
            "seeds": {"count": 1},
            "sharpness": list(MEASURES),
        }
    )
    (cell,) = expand(spec)
    task = ClipAlignment(cell.setting.task_params)
    with torch.no_grad():
        start = task.evaluate(task.model(0).eval(), task.splits(0).test)
    outcome = train(task, cell.setting, cell.hyperparameters, 0, device=CPU, limit_s=math.inf, sharpness=spec.sharpness)
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    assert outcome.cost.gradient_evaluations == 240
    assert outcome.metrics["test_loss"] < start["loss"].item() - 0.5
    assert outcome.metrics["test_recall_at_10"] > start["recall_at_10"].item() + 0.1
    assert outcome.metrics["sharpness_lambda_max"] > 0


class KeptClip(ClipAlignment):
    """The same with all images in memory."""

    def splits(self, seed: int) -> Splits:
        splits = super().splits(seed)
        return dataclasses.replace(splits, train=in_memory(splits.train))


def small_cell(**params: Any) -> Cell:
    document = {
        "name": "clip",
        "tasks": [{"name": "clip-alignment", "params": {**PARAMS, **params}}],
        "budget": {"epochs": 2, "batch_size": 50},
        "optimizers": [{"name": "sam", "fixed": {"rho": 0.01}}],
        "gd": False,
        "space": {"lr": {"values": [0.003]}},
        "seeds": {"count": 1},
    }
    return next(expand(Spec.from_mapping(document)))


def test_a_cell_comes_to_the_same_whether_its_images_are_read_or_kept(datasets: Path) -> None:
    cell, outcomes = small_cell(), []
    assert isinstance(ClipAlignment(PARAMS).data(0, CPU).train[0], LazyRows)
    for kind in (ClipAlignment, KeptClip):
        task = kind(cell.setting.task_params)
        outcome = train(
            task, cell.setting, cell.hyperparameters, 0, device=CPU, limit_s=math.inf, sharpness=["adaptive"]
        )
        outcomes.append((outcome.status, outcome.metrics, outcome.curve, outcome.diagnostics))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] is Status.COMPLETED


def test_an_image_that_is_damaged_ends_the_cell_and_is_named(empty: Path) -> None:
    write_clip(empty)
    damaged = write_pairs(empty) / "train" / "7.png"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    assert ClipAlignment(PARAMS).data_version, "what is left of it looks like an image"
    cell = small_cell(loss_scale=0.5)  # of which this process has kept nothing yet
    record = train_cell(cell, PackPlace("pack", 1, 0), device=CPU, limit_s=60)
    assert record.outcome.status is Status.FAILED
    assert record.outcome.error is not None
    assert record.outcome.error.startswith(f"TaskDataError: {damaged} must be an image, but: image file is truncated")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rows")]


@pytest.mark.parametrize("content", [b"no image", None])
def test_an_image_that_is_none_is_named_before_a_job_starts(empty: Path, content: bytes | None) -> None:
    write_clip(empty)
    image = write_pairs(empty) / "train" / "7.png"
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    with pytest.raises(TaskDataError, match=r"train/7\.png must be an image, but: .*A folder of pairs has"):
        _ = ClipAlignment(PARAMS).data_version


@pytest.mark.parametrize(
    ("train_loss", "score", "collapsed"), [(4.852, 0.3, True), (1.0, 8 / 127, True), (1.0, 0.07, False)]
)
def test_collapsed_is_a_loss_or_neighbours_of_chance(train_loss: float, score: float, collapsed: bool) -> None:
    assert ClipAlignment(PARAMS).has_collapsed(train_loss, {"mutual_knn": score}) is collapsed


def test_chance_depends_on_how_many_are_scored() -> None:
    task = ClipAlignment({"n_scored": 500})
    assert task.chance("text_to_image_recall_at_5") == pytest.approx(5 / 500)
    assert task.chance("mutual_knn") == pytest.approx(8 / 499)
    assert task.chance("loss") == pytest.approx(math.log(128))
    assert {metric.name: task.chance(metric.name) for metric in ClipAlignment().metrics}


def test_the_version_is_that_of_pairs_and_weights(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ClipAlignment(PARAMS).data_version
    assert ClipAlignment({**PARAMS, "loss_scale": 2}).data_version == version
    (tmp_path / "pairs").symlink_to(datasets / "pairs")
    write_clip(tmp_path, seed=1)
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    assert ClipAlignment(PARAMS).data_version != version
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(datasets))
    images = (datasets / "pairs" / "squares" / "train").glob("*.png")
    one, other = itertools.islice(images, 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    assert ClipAlignment(PARAMS).data_version != version
    one.write_bytes(content)
    assert ClipAlignment(PARAMS).data_version == version


def test_a_model_that_is_missing_says_what_to_put_where(empty: Path) -> None:
    with pytest.raises(TaskDataError, match=r"models/small must hold the model.*no model\.safetensors\. Put a CLIP"):
        ClipAlignment(PARAMS).splits(0)
    write_clip(empty)
    (empty / "models" / "small" / "tokenizer.json").unlink()
    with pytest.raises(TaskDataError, match=r"tokenizer\.json must hold the tokens"):
        ClipAlignment(PARAMS).splits(0)


def test_pairs_that_are_missing_or_wrong_say_what_to_put_where(empty: Path) -> None:
    write_clip(empty)
    with pytest.raises(TaskDataError, match=r"train/metadata\.csv must list image-caption pairs.*file_name and text"):
        ClipAlignment(PARAMS).splits(0)
    folder = write_pairs(empty)
    with pytest.raises(TaskDataError, match=r"validation/metadata\.csv must list at least 150 pairs, but it has 128"):
        ClipAlignment({**PARAMS, "n_scored": 150}).splits(0)
    (folder / "test" / "7.png").write_bytes(b"no image")
    with pytest.raises(TaskDataError, match=r"7\.png must be an image"):
        ClipAlignment(PARAMS).splits(0)
    listed = folder / "train" / "metadata.csv"
    listed.write_text("file_name,text\n../../../../etc/passwd,a red square\n", encoding="utf-8")
    with pytest.raises(TaskDataError, match=r"every image of .* must lie in its folder"):
        ClipAlignment(PARAMS).splits(0)
    listed.write_text("file,words\n1.png,red\n", encoding="utf-8")
    with pytest.raises(TaskDataError, match=r"every row of .* must have file_name and text"):
        ClipAlignment(PARAMS).splits(0)


def test_an_extra_that_is_missing_is_named(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TaskDataError, match=r"clip-alignment needs.*pip install 'rhobust\[vision\]'"):
        _ = ClipAlignment(PARAMS).data_version


def test_what_a_task_declares() -> None:
    assert task_class("clip-alignment") is ClipAlignment
    assert [metric.name for metric in ClipAlignment.metrics if not metric.at_end] == [
        "mutual_knn", "recall_at_10", "loss"
    ]  # fmt: skip
    _, problems = ClipAlignment.parse_params({"model": "../x", "pairs": "a/b", "n_scored": 5})
    assert sorted(problem.pointer for problem in problems) == ["/model", "/n_scored", "/pairs"]
