import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from benchmark.records import Outcome, Status
from benchmark.seeding import Stream, seeded_torch, torch_generator
from benchmark.spec import expand
from benchmark.tasks import load_task
from benchmark.tasks.breast_cancer import BreastCancerMLP
from benchmark.tasks.classification import Classification, stratified, with_noise
from benchmark.tasks.digits import DigitsCNN, DigitsMLP
from benchmark.tasks.mnist1d import MNIST1DCNN
from benchmark.training import train
from tests.benchmark.toys import CPU, make_spec

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A task with a good cell, what it reaches, and what must never change without a new version."""

    task: type[Classification]
    lr: float
    epochs: int
    accuracy: float
    sizes: tuple[int, int, int]
    first_batch: str
    initial: str
    data: str
    collapsed: tuple[tuple[float, float, bool], ...]  # training loss, test accuracy, verdict

    def __str__(self) -> str:
        return self.task.name


LN_10 = math.log(10)
CASES = [
    Case(
        DigitsMLP,
        0.3,
        10,
        0.95,
        (1078, 359, 360),
        "befdd4fdeaf04b37",
        "16798502707e7502",
        "8b3b6ae90863430b",
        ((0.1, 0.9, False), (0.1, 0.18, True), (0.1, 0.2, False), (0.991 * LN_10, 0.9, True), (2.27, 0.9, False)),
    ),
    Case(
        DigitsCNN,
        0.1,
        10,
        0.97,
        (1078, 359, 360),
        "befdd4fdeaf04b37",
        "0c8a775372cf799b",
        "8b3b6ae90863430b",
        ((0.1, 0.9, False), (0.1, 0.16, True), (0.1, 0.18, False), (0.991 * LN_10, 0.9, True), (2.27, 0.9, False)),
    ),
    Case(
        BreastCancerMLP,
        0.1,
        20,
        0.95,
        (341, 113, 115),
        "431396865988d067",
        "92410a749ceac4fb",
        "f86286b06e0eb4fb",
        ((0.1, 0.95, False), (0.1, 0.9, True), (0.1, 0.93, False), (0.99 * 0.694, 0.95, True), (0.68, 0.95, False)),
    ),
    Case(
        MNIST1DCNN,
        0.05,
        8,
        0.7,
        (3200, 800, 1000),
        "b00f70d9a21d30e7",
        "099adca1a54a8170",
        "f7e6b4ae17666120",
        ((0.1, 0.9, False), (0.1, 0.13, True), (0.1, 0.15, False), (0.991 * LN_10, 0.9, True), (2.27, 0.9, False)),
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
FUSED: list[tuple[type[Classification], dict[str, Any]]] = [
    (DigitsMLP, {}),
    (DigitsMLP, {"depth": 3, "hidden": 5, "loss_scale": 3.0, "reduction": "sum"}),
    (DigitsCNN, {"norm": "none", "channels": 3}),
    (DigitsCNN, {"norm": "group", "channels": 6}),
    (BreastCancerMLP, {}),
    (MNIST1DCNN, {}),
]
SEEDS = [0, 1, 2**31 - 1]


def run(
    task: Classification, lr: float, epochs: int, optimizer: dict[str, Any] | None = None, batch_size: int = 64
) -> Outcome:
    spec = make_spec(
        tasks=[{"name": task.name}],
        budget={"epochs": epochs, "batch_size": batch_size},
        optimizers=[optimizer or {"name": "gd"}],
        gd=False,
        space={"lr": {"values": [lr]}},
    )
    cell = next(expand(spec))
    return train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=math.inf)


def initial(task: Classification, seed: int) -> nn.Module:
    with seeded_torch(seed, Stream.INIT):
        return task.model(seed)


def digest(*tensors: Tensor) -> str:
    """The checksum of numbers to four decimals: what other processors make of the last bits does not count."""
    rounded = [(tensor.detach().double() * 1e4).round().to(torch.int64) for tensor in tensors]
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in rounded)).hexdigest()[:16]


@every_case
def test_a_good_cell_learns(case: Case) -> None:
    outcome = run(case.task(), case.lr, case.epochs)
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    assert outcome.metrics["val_accuracy"] > case.accuracy
    assert outcome.metrics["test_accuracy"] > case.accuracy


@every_case
def test_without_learning_the_score_is_one_of_start(case: Case) -> None:
    task = load_task(case.task.name)
    outcome = run(case.task(), 1e-30, 1)
    assert outcome.collapsed
    for metric, scores in task.start.items():
        assert len(scores) == 200
        assert scores.min() <= outcome.metrics[f"test_{metric}"] <= scores.max()
    if case.task is not BreastCancerMLP:  # constant guesses are right for more than half of its samples
        assert task.start["accuracy"].mean() == pytest.approx(task.chance("accuracy"), abs=0.01)
    assert task.start["loss"].mean() == pytest.approx(task.chance("loss"), abs=0.02)


@every_case
def test_a_run_has_collapsed_at_chance_or_among_untrained_models(case: Case) -> None:
    task = load_task(case.task.name)
    for train_loss, accuracy, verdict in case.collapsed:
        assert task.has_collapsed(train_loss, {"accuracy": accuracy}) is verdict, (train_loss, accuracy)


@every_case
@pytest.mark.parametrize("seed", SEEDS)
def test_splits_are_disjoint_whole_and_stratified(case: Case, seed: int) -> None:
    task = case.task()
    features, labels = task.examples()
    indices = task.indices(seed)
    assert tuple(map(len, indices)) == case.sizes
    assert sorted(np.concatenate(indices)) == list(range(len(labels)))
    n_stratified = 3 if case.task is not MNIST1DCNN else 2  # its test split is that of the paper
    divided = np.concatenate(indices[:n_stratified])
    for part in indices[:n_stratified]:
        wanted = np.bincount(labels[divided]) * len(part) / len(divided)
        np.testing.assert_allclose(np.bincount(labels[part]), wanted, atol=2.1)
    splits, scaled = task.splits(seed), task.scaled(features, indices[0])
    for (inputs, targets), index in zip((splits.train, splits.validation, splits.test), indices, strict=True):
        np.testing.assert_array_equal(inputs, scaled[index])
        np.testing.assert_array_equal(targets, labels[index])
        assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)


@every_case
def test_splits_depend_on_the_seed_alone(case: Case) -> None:
    first, again, other = case.task().splits(0), case.task({"loss_scale": 2.0}).splits(0), case.task().splits(1)
    for name in ("train", "validation", "test"):
        assert all(map(torch.equal, getattr(first, name), getattr(again, name)))
    assert not torch.equal(first.train[0], other.train[0])


@every_case
def test_a_version_is_its_first_batch_its_initial_parameters_and_its_data(case: Case) -> None:
    """Where one of these changes on purpose, the version of the task goes up."""
    task, seed = case.task(), 7
    order = torch.randperm(case.sizes[0], generator=torch_generator(seed, Stream.ORDER))[:64]
    assert digest(*(tensor[order] for tensor in task.splits(seed).train)) == case.first_batch
    assert digest(*initial(task, seed).parameters()) == case.initial
    assert task.data_version == case.data
    assert task.version == 1


@every_case
def test_scores_by_hand(case: Case) -> None:
    """A model that always says the same: e against one for the first class."""
    task = case.task({"loss_scale": 3.0, "reduction": "sum"})
    n_classes = int(task.examples()[1].max()) + 1
    logits = torch.tensor([1.0] + [0.0] * (n_classes - 1))
    batch = (torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]))
    log_sum = math.log(math.e + n_classes - 1)
    scores = task.evaluate(lambda inputs: logits.expand(len(inputs), -1), batch)
    assert {name: value.item() for name, value in scores.items()} == pytest.approx(
        {"accuracy": 0.75, "loss": log_sum - 0.75}
    )
    assert [(metric.name, metric.goal) for metric in task.metrics] == [("accuracy", "maximize"), ("loss", "minimize")]
    assert task.chance("loss") == pytest.approx(math.log(n_classes))
    largest = np.bincount(task.examples()[1]).max() / len(task.examples()[1])
    assert task.chance("accuracy") == pytest.approx(largest, abs=0.002)


@pytest.mark.parametrize(
    ("params", "factor"),
    [({}, 1), ({"loss_scale": 0.25}, 0.25), ({"reduction": "sum"}, 32), ({"loss_scale": 3, "reduction": "sum"}, 96)],
)
def test_scale_and_reduction_change_the_training_loss_and_no_score(params: dict[str, Any], factor: float) -> None:
    plain, task = DigitsMLP(), DigitsMLP(params)
    model, split = initial(task, 0), task.splits(0).train
    batch = (split[0][:32], split[1][:32])
    assert plain.loss(model, batch).item() == pytest.approx(functional.cross_entropy(model(batch[0]), batch[1]).item())
    assert task.loss(model, batch).item() == pytest.approx(factor * plain.loss(model, batch).item())
    assert task.evaluate(model, split) == plain.evaluate(model, split)


@pytest.mark.parametrize(("rule", "is_invariant"), [("gd", True), ("sam", True), ("msam", False)])
@pytest.mark.parametrize(("params", "factor"), [({"loss_scale": 4.0}, 4), ({"reduction": "sum"}, 64)])
def test_m_sam_alone_feels_the_scale_of_the_loss(
    rule: str, is_invariant: bool, params: dict[str, Any], factor: float
) -> None:
    """A loss times c, at a learning rate divided by c, is another problem to M-SAM only."""
    optimizer: dict[str, Any] = {"name": rule} if rule == "gd" else {"name": rule, "fixed": {"rho": 0.5}}
    plain = run(DigitsMLP({"hidden": 8}), 0.125, 2, optimizer)
    scaled = run(DigitsMLP({"hidden": 8, **params}), 0.125 / factor, 2, optimizer)
    assert (scaled.metrics == pytest.approx(plain.metrics, rel=1e-4)) is is_invariant


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 0.99])
def test_noise_changes_an_exact_share_of_the_training_labels_and_nothing_else(noise: float) -> None:
    clean, noisy = DigitsMLP().splits(3), DigitsMLP({"label_noise": noise}).splits(3)
    changed = clean.train[1] != noisy.train[1]
    assert int(changed.sum()) == round(noise * 1078)
    assert torch.equal(clean.train[0], noisy.train[0])
    assert set(noisy.train[1].tolist()) == set(range(10))
    for name in ("validation", "test"):
        assert all(map(torch.equal, getattr(clean, name), getattr(noisy, name)))


def test_more_noise_keeps_what_less_noise_changed() -> None:
    labels = [DigitsMLP({"label_noise": noise}).splits(0).train[1] for noise in (0.0, 0.2, 0.6)]
    changed = labels[0] != labels[1]
    assert torch.equal(labels[1][changed], labels[2][changed])
    assert not torch.equal(labels[1], DigitsMLP({"label_noise": 0.2}).splits(1).train[1])


@given(st.integers(2, 12), st.floats(0, 1, exclude_max=True), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_noise_is_exact_and_within_the_classes(n_classes: int, share: float, n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, n)
    noisy = with_noise(labels, n_classes, share, generator)
    assert np.count_nonzero(noisy != labels) == round(share * n)
    assert noisy.min() >= 0
    assert noisy.max() < n_classes


def test_noise_is_uniform_over_the_other_classes() -> None:
    labels = np.full(30_000, 2)
    counts = np.bincount(with_noise(labels, 4, 0.5, np.random.default_rng(0)), minlength=4)
    assert counts[2] == 15_000
    np.testing.assert_allclose(counts[[0, 1, 3]], 5_000, atol=5 * math.sqrt(15_000 * 2 / 9))


@every_case
def test_a_share_of_the_training_split_is_exact_stratified_and_leaves_the_rest_alone(case: Case) -> None:
    whole = case.task().splits(0)
    n_classes = torch.bincount(whole.train[1])
    smaller: set[tuple[float, ...]] = set()
    for share in (1e-9, 0.1, 0.5):
        part = case.task({"train_share": share}).splits(0)
        wanted = [max(1, round(share * int(n))) for n in n_classes]
        assert torch.bincount(part.train[1]).tolist() == wanted
        rows = {tuple(row) for row in part.train[0].flatten(1).tolist()}
        assert smaller < rows
        smaller = rows
        for name in ("validation", "test"):
            assert all(map(torch.equal, getattr(whole, name), getattr(part, name)))
    assert smaller < {tuple(row) for row in whole.train[0].flatten(1).tolist()}


def test_noise_counts_the_labels_in_use() -> None:
    clean = DigitsMLP({"train_share": 0.3}).splits(0).train[1]
    noisy = DigitsMLP({"train_share": 0.3, "label_noise": 0.25}).splits(0).train[1]
    assert int((clean != noisy).sum()) == round(0.25 * len(clean))


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.lists(st.integers(1, 10), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_parts_hold_every_example_once(sizes: list[int], weights: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(labels)
    shares = [weight / sum(weights) for weight in weights]
    parts = stratified(labels, shares, np.random.default_rng(seed))
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all(first < second for part in parts for first, second in pairwise(part))
    assert np.bincount(labels[parts[0]]).tolist() == [max(1, round(shares[0] * n)) for n in sizes]


def test_parameters_in_common_are_part_of_a_spec() -> None:
    usual = {"label_noise": 0.0, "loss_scale": 1.0, "reduction": "mean", "train_share": 1.0}
    assert DigitsMLP.parse_params({}) == ({"hidden": 64, "depth": 1, **usual}, [])
    unusual = {"label_noise": 0.2, "loss_scale": 2.0, "reduction": "sum", "train_share": 0.5}
    assert MNIST1DCNN.parse_params(unusual) == ({"channels": 25, **unusual}, [])


@pytest.mark.parametrize(
    ("params", "pointer", "detail"),
    [
        ({"label_noise": 1.0}, "/label_noise", "less than 1"),
        ({"label_noise": -0.1}, "/label_noise", "greater than or equal to 0"),
        ({"label_noise": math.nan}, "/label_noise", "finite"),
        ({"loss_scale": 0.0}, "/loss_scale", "greater than 0"),
        ({"train_share": 0.0}, "/train_share", "greater than 0"),
        ({"train_share": 1.1}, "/train_share", "less than or equal to 1"),
        ({"reduction": "max"}, "/reduction", "'mean' or 'sum'"),
        ({"label_nois": 0.1}, "/label_nois", "did you mean 'label_noise'"),
    ],
)
@every_case
def test_parameters_out_of_range_are_named(case: Case, params: dict[str, Any], pointer: str, detail: str) -> None:
    (problem,) = case.task.parse_params(params)[1]
    assert problem.pointer == pointer
    assert detail in problem.detail


@pytest.mark.parametrize(("task_class", "params"), FUSED, ids=str)
def test_stacked_models_have_the_gradients_and_scores_of_a_loop(
    task_class: type[Classification], params: dict[str, Any]
) -> None:
    task = task_class(params)
    assert task.can_fuse
    models = [initial(task, seed) for seed in range(3)]
    split = task.splits(0)
    batch = tuple(tensor[:16] for tensor in split.train)
    stacked, buffers = stack_module_state(models)
    assert not buffers

    def model_of(parameters: dict[str, Tensor]) -> Any:
        return lambda inputs: functional_call(models[0], parameters, (inputs,))

    fused = vmap(grad(lambda parameters: task.loss(model_of(parameters), batch)))(stacked)
    scores = vmap(lambda parameters: task.evaluate(model_of(parameters), split.validation))(stacked)
    for index, model in enumerate(models):
        alone = torch.autograd.grad(task.loss(model, batch), list(model.parameters()))
        for (name, _), expected in zip(model.named_parameters(), alone, strict=True):
            torch.testing.assert_close(fused[name][index], expected, rtol=1e-4, atol=1e-6)
        for name, value in task.evaluate(model, split.validation).items():
            torch.testing.assert_close(scores[name][index], value, rtol=1e-4, atol=1e-6)


def test_running_statistics_are_not_fused() -> None:
    assert not DigitsCNN().can_fuse
