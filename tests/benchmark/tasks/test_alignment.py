import hashlib
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from benchmark.records import Outcome, Status
from benchmark.seeding import Stream, seeded_torch, torch_generator
from benchmark.spec import Spec, expand
from benchmark.tasks import Splits, alignment, mfeat, retrieval, task_class
from benchmark.tasks.mfeat import AlignmentMfeat
from benchmark.training import train
from tests.benchmark.toys import CPU

pytestmark = pytest.mark.slow

TASK = AlignmentMfeat()
SMALL = AlignmentMfeat({"hidden": 8, "dim": 4})
SIZES = (1200, 400, 400)


def parts_of(splits: Splits) -> tuple[tuple[Tensor, ...], ...]:
    return splits.train, splits.validation, splits.test


def initialised(task: AlignmentMfeat, seed: int) -> nn.Module:
    with seeded_torch(seed, Stream.INIT):
        return task.model(seed)


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the digits, rows whose every feature is the row's number, left as it is."""
    rows = np.arange(2000)
    pix, fou = (np.tile(rows[:, None], (1, width)) for width in (240, 76))
    arrays = {"pix": pix, "fou": fou, "labels": (rows // 200).astype(np.uint8)}
    monkeypatch.setattr(mfeat, "package_arrays", lambda _name, _sha256: arrays)
    monkeypatch.setattr(alignment, "_standardised", lambda features, _train: features.astype(np.float32))


def rows_of(splits: Splits) -> list[list[int]]:
    """The numbers of the rows of each split."""
    return [part[0][:, 0].long().tolist() for part in parts_of(splits)]


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
@pytest.mark.usefixtures("numbered")
def test_splits_are_disjoint_stratified_and_shuffled(seed: int) -> None:
    splits = SMALL.splits(seed)
    assert sorted(itertools.chain(*rows_of(splits))) == list(range(2000))
    for part, rows, size in zip(parts_of(splits), rows_of(splits), SIZES, strict=True):
        assert torch.equal(part[0][:, :76], part[1]), "a row of one view must be the same digit as that of the other"
        labels = np.array(rows) // 200
        assert np.bincount(labels).tolist() == [size // 10] * 10
        blocks = np.split(labels[: size // 128 * 128], size // 128)
        assert all(len(set(block)) == 10 for block in blocks), "a block must be like any other"


def test_splits_depend_on_the_seed_alone() -> None:
    first, again, other = TASK.splits(0), SMALL.splits(0), TASK.splits(1)
    for one, same, different in zip(parts_of(first), parts_of(again), parts_of(other), strict=True):
        assert all(map(torch.equal, one, same))
        assert not torch.equal(one[0], different[0])


def test_fewer_digits_to_train_on_leave_the_others_as_they_are() -> None:
    whole, few = TASK.splits(0), AlignmentMfeat({"train_share": 0.125}).splits(0)
    assert [len(part[0]) for part in parts_of(few)] == [150, 400, 400]
    is_same = (few.train[1][:, None] == whole.train[1]).all(dim=2)
    assert is_same.any(dim=1).all()
    for one, other in zip(parts_of(few)[1:], parts_of(whole)[1:], strict=True):
        assert all(map(torch.equal, one, other))
    assert SMALL.evaluate(initialised(SMALL, 0), few.train)["loss"].isfinite()


def test_features_are_standardised_on_the_training_split() -> None:
    splits = TASK.splits(0)
    for view in splits.train:
        assert view.dtype == torch.float32
        assert view.mean(dim=0).abs().max() < 1e-5
        assert view.std(dim=0, correction=0).sub(1).abs().max() < 1e-5
    assert splits.test[0].mean(dim=0).abs().max() > 0.05
    assert [view.shape[1] for view in splits.test] == [240, 76]


def test_a_constant_feature_is_only_centred(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(2000)
    pix = np.where(np.arange(240) == 7, 5, np.tile(rows[:, None], (1, 240)))
    arrays = {"pix": pix, "fou": pix[:, :76], "labels": (rows // 200).astype(np.uint8)}
    monkeypatch.setattr(mfeat, "package_arrays", lambda _name, _sha256: arrays)
    for view in SMALL.splits(0).test:
        assert view.isfinite().all()
        assert (view[:, 7] == 0).all()


@pytest.mark.parametrize(
    ("params", "n_parameters"),
    [
        ({}, (240 + 1 + 76 + 1) * 128 + 2 * (128 + 1) * 64 + 1),
        ({"hidden": 3, "dim": 2}, (240 + 1 + 76 + 1) * 3 + 2 * (3 + 1) * 2 + 1),
        ({"hidden": 3, "dim": 2, "depth": 2}, (240 + 1 + 76 + 1) * 3 + 2 * 4 * 3 + 2 * 4 * 2 + 1),
    ],
)
def test_the_networks_have_their_size(params: dict[str, int], n_parameters: int) -> None:
    model = AlignmentMfeat(params).model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters


def test_the_model_returns_unit_rows_and_its_scale() -> None:
    a, b, scale = initialised(TASK, 0)(*TASK.splits(0).test)
    assert a.shape == b.shape == (400, 64)
    assert torch.allclose(torch.cat([a, b]).norm(dim=1), torch.ones(800))
    assert scale.item() == pytest.approx(1 / 0.07)


@pytest.mark.parametrize("log_scale", [4.7, 50.0, 1e4])
def test_the_scale_is_at_most_100_and_keeps_its_gradient_finite(log_scale: float) -> None:
    model = SMALL.model(0)
    with torch.no_grad():
        model.get_parameter("log_scale").fill_(log_scale)
    batch = SMALL.splits(0).train
    assert model(*batch)[2].item() == pytest.approx(100)
    gradients = torch.autograd.grad(SMALL.loss(model, batch), list(model.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def two_points(pix: Tensor, fou: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A model that has learned nothing: each view is one point, and the two are at right angles."""
    axes = torch.eye(2).expand(len(pix), 2, 2)
    return axes[:, 0], axes[:, 1], torch.tensor(14.3)


def test_one_point_a_view_scores_chance_in_every_metric() -> None:
    split = TASK.splits(0).test
    scores = TASK.evaluate(two_points, split) | TASK.evaluate_end(two_points, split)
    chances = {metric.name: metric.chance for metric in TASK.metrics}
    assert {name: value.item() for name, value in scores.items()} == pytest.approx(chances, abs=1e-6)
    batch = tuple(view[:50] for view in split)
    for scale in (1, 0.25):
        loss = AlignmentMfeat({"loss_scale": scale}).loss(two_points, batch)
        assert loss.item() == pytest.approx(scale * math.log(50))


def test_scores_are_those_of_the_embeddings() -> None:
    model, split = initialised(SMALL, 0), SMALL.splits(0).test
    with torch.no_grad():
        a, b, scale = model(*split)
        scores = {name: value.item() for name, value in SMALL.evaluate(model, split).items()}
        ends = {name: value.item() for name, value in SMALL.evaluate_end(model, split).items()}
    recalls = {
        f"{direction}_recall_at_{k}": retrieval.recall_at([k], queries @ candidates.mT)[0].item()
        for direction, (queries, candidates) in {"pix_to_fou": (a, b), "fou_to_pix": (b, a)}.items()
        for k in (1, 5, 10)
    }
    means = {f"recall_at_{k}": np.mean([v for n, v in recalls.items() if n.endswith(f"_{k}")]) for k in (1, 5, 10)}
    losses = []
    for first in (0, 128, 256):  # the last 16 of 400 fill no block
        logits, targets = scale * a[first : first + 128] @ b[first : first + 128].T, torch.arange(128)
        losses += [functional.cross_entropy(side, targets).item() for side in (logits, logits.T)]
    assert scores["loss"] == pytest.approx(np.mean(losses))
    assert scores["recall_at_10"] == pytest.approx(means.pop("recall_at_10"))
    assert ends["mutual_knn"] == pytest.approx(retrieval.mutual_knn(a, b, 8).item())
    assert {name: value for name, value in ends.items() if "recall" in name} == pytest.approx(recalls | means)
    assert ends["modality_gap"] == pytest.approx(retrieval.modality_gap(a, b).item())


def test_scores_of_untrained_networks_are_start() -> None:
    """The untrained networks of any seed lie inside `start`, up to the one in a hundred that its percentile leaves."""
    n_outside = 0
    for seed in range(1_000, 1_050):
        with torch.no_grad():
            scores = TASK.evaluate(initialised(TASK, seed), TASK.splits(seed).test)
        n_outside += not TASK.has_collapsed(0.0, {"recall_at_10": scores["recall_at_10"].item()})
    assert n_outside <= 3
    assert TASK.start["recall_at_10"].mean() == pytest.approx(10 / 400, abs=0.002)


@pytest.mark.parametrize(
    ("train_loss", "recall", "collapsed"),
    [(0.5, 0.6, False), (0.5, 0.025, True), (4.81, 0.6, True), (4.79, 0.6, False), (4.852, 0.06, True)],
)
def test_collapsed_is_a_loss_at_chance_or_a_recall_of_untrained_networks(
    train_loss: float, recall: float, collapsed: bool
) -> None:
    assert TASK.has_collapsed(train_loss, {"recall_at_10": recall}) is collapsed


def run_cell(rule: str, lr: float, rho: float | None = None, epochs: int = 20) -> Outcome:
    optimizers = [] if rho is None else [{"name": rule, "fixed": {"rho": rho}}]
    spec = Spec.from_mapping(
        {
            "name": "alignment",
            "tasks": [{"name": "alignment-mfeat"}],
            "budget": {"epochs": epochs, "batch_size": 128},
            "base": {"name": "sgd", "momentum": 0.9},
            "gd": rho is None,
            "optimizers": optimizers,
            "space": {"lr": {"values": [lr]}},
            "seeds": {"count": 1},
        }
    )
    (cell,) = expand(spec)
    return train(TASK, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=math.inf)


@pytest.mark.parametrize(("rule", "rho"), [("sam", 0.1), ("msam", 0.3), ("gd", None)])
def test_a_good_cell_finds_most_pairs(rule: str, rho: float | None) -> None:
    outcome = run_cell(rule, 0.1, rho)
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    assert outcome.metrics["test_recall_at_10"] > 0.55
    assert outcome.metrics["test_recall_at_1"] > 0.08
    assert outcome.metrics["test_mutual_knn"] > 0.25
    assert outcome.metrics["train_loss"] < 1.5
    assert len(outcome.curve["val_recall_at_10"]) == 20
    assert outcome.curve["val_recall_at_10"][-1] == outcome.metrics["val_recall_at_10"]


def test_a_learning_rate_that_is_too_high_collapses_to_the_loss_of_chance() -> None:
    outcome = run_cell("sam", 1.0, 0.3, epochs=4)
    assert outcome.collapsed
    assert outcome.metrics["train_loss"] == pytest.approx(math.log(128), rel=0.01)
    assert outcome.metrics["test_recall_at_10"] < 0.1


def test_gradients_and_scores_of_stacked_networks_are_those_of_each() -> None:
    assert SMALL.can_fuse
    models = [initialised(SMALL, seed) for seed in range(3)]
    stacked, buffers = stack_module_state(models)
    splits = SMALL.splits(0)
    batch = tuple(view[:64] for view in splits.train)

    def called(parameters: Mapping[str, Any]) -> Any:
        return lambda *inputs: functional_call(models[0], (dict(parameters), buffers), inputs)

    gradients = vmap(grad(lambda parameters: SMALL.loss(called(parameters), batch)))(stacked)
    curves = vmap(lambda parameters: SMALL.evaluate(called(parameters), splits.test))(stacked)
    ends = vmap(lambda parameters: SMALL.evaluate_end(called(parameters), splits.test))(stacked)
    for index, model in enumerate(models):
        parameters = dict(model.named_parameters())
        alone = torch.autograd.grad(SMALL.loss(model, batch), list(parameters.values()))
        for name, gradient in zip(parameters, alone, strict=True):
            torch.testing.assert_close(gradients[name][index], gradient, rtol=1e-4, atol=1e-6)
        scores = SMALL.evaluate(model, splits.test) | SMALL.evaluate_end(model, splits.test)
        for name, values in itertools.chain(curves.items(), ends.items()):
            assert values[index].item() == pytest.approx(scores[name].item(), abs=0.003)


def test_what_a_task_declares() -> None:
    along = [metric.name for metric in AlignmentMfeat.metrics if not metric.at_end]
    assert along == ["recall_at_10", "loss"]
    assert len({metric.name for metric in AlignmentMfeat.metrics}) == len(AlignmentMfeat.metrics) == 14
    assert task_class("alignment-mfeat") is AlignmentMfeat
    assert "CC BY 4.0" in AlignmentMfeat.source
    _, problems = AlignmentMfeat.parse_params({"dim": 1, "train_share": 0.1, "loss_scale": 0, "hiden": 3})
    assert sorted(problem.pointer for problem in problems) == ["/dim", "/hiden", "/loss_scale", "/train_share"]


def checksum(tensors: tuple[Tensor, ...]) -> str:
    """Of four decimals, for the last ones are the machine's."""
    rounded = [np.round(tensor.detach().numpy().astype(np.float64), 4) + 0.0 for tensor in tensors]  # no -0.0
    return hashlib.sha256(b"".join(values.tobytes() for values in rounded)).hexdigest()[:16]


def test_a_version_fixes_data_order_and_initialisation() -> None:
    """Where one of these changes, results do: raise the version of the task."""
    train_split = TASK.splits(0).train
    order = torch.randperm(1200, generator=torch_generator(0, Stream.ORDER))[:128]
    assert AlignmentMfeat.version == 1
    assert TASK.data_version == "c6bd38041b5c3914"
    assert checksum(tuple(view[order] for view in train_split)) == "2021499fb05086fc"
    assert checksum(tuple(initialised(TASK, 0).parameters())) == "e3eadba904fabe62"
