import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.errors import TaskDataError
from benchmark.records import Status
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Spec, expand
from benchmark.tasks import charlm, task_class
from benchmark.tasks.charlm import ALPHABET, CharlmTransformer
from benchmark.training import train
from tests.benchmark.toys import CPU

pytestmark = pytest.mark.slow

TASK = CharlmTransformer()
SMALL = CharlmTransformer({"width": 8, "heads": 2, "context": 16})


def initialised(task: CharlmTransformer, seed: int) -> nn.Module:
    with seeded_torch(seed, Stream.INIT):
        return task.model(seed)


def text_of(characters: Tensor) -> str:
    return "".join(ALPHABET[code] for code in characters.flatten().tolist())


def names_of(split: tuple[Tensor, ...]) -> list[str]:
    """The whole names in the blocks of a split, but for the last, of which a part may be left out."""
    characters, following = split
    return (text_of(characters) + text_of(following[-1, -1])).split("\n")[:-1]


def test_the_text_is_what_the_task_says_of_it() -> None:
    text = "".join(f"{name}\n" for name in charlm._names())
    assert (len(charlm._names()), len(text)) == (12_886, charlm.N_CHARACTERS)
    assert sorted(set(text)) == list(ALPHABET)
    assert Counter(text).most_common(1) == [(" ", charlm.N_SPACES)]
    assert "GREEK SMALL LETTER OMEGA" in charlm._names()
    assert not any("UNIFIED IDEOGRAPH" in name for name in charlm._names())


def test_names_are_those_that_this_python_has_today() -> None:
    """Unicode never changes a name: those of version 3.2 are those of the newest, but for their number."""
    assert set(charlm._names()) <= {unicodedata.name(chr(code), "") for code in range(0x110000)}


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_splits_divide_the_names(seed: int) -> None:
    splits = TASK.splits(seed)
    parts = [names_of(split) for split in (splits.train, splits.validation, splits.test)]
    assert [round(len(part) / 12_886, 2) for part in parts] == [0.8, 0.1, 0.1]
    assert len(set(itertools.chain(*parts))) == sum(map(len, parts)), "a name must stand in one split"
    assert set(itertools.chain(*parts)) <= set(charlm._names())
    assert len(set(charlm._names())) - sum(map(len, parts)) <= 6, "only ends that fill no block are left out"


def test_a_block_is_followed_by_its_own_characters() -> None:
    for characters, following in (TASK.splits(0).train, SMALL.splits(0).test):
        assert characters.shape == following.shape
        assert torch.equal(characters[:, 1:], following[:, :-1])
        assert torch.equal(characters[1:, 0], following[:-1, -1])
        assert characters.dtype == torch.int64


def test_splits_depend_on_the_seed_alone() -> None:
    first, again, other = SMALL.splits(0), CharlmTransformer({"context": 16, "depth": 1}).splits(0), SMALL.splits(1)
    assert torch.equal(first.train[0], again.train[0])
    assert not torch.equal(first.test[0][:50], other.test[0][:50])


def test_fewer_names_to_train_on_leave_the_others_as_they_are() -> None:
    few, whole = CharlmTransformer({"train_share": 0.1}).splits(3), TASK.splits(3)
    assert set(names_of(few.train)) < {*names_of(whole.train), *charlm._names()}
    assert len(few.train[0]) == pytest.approx(0.1 * len(whole.train[0]), rel=0.05)
    assert not set(names_of(few.train)[:-1]) & {*names_of(whole.validation), *names_of(whole.test)}
    assert torch.equal(few.test[0], whole.test[0])


@pytest.mark.parametrize(
    ("params", "n_parameters"),
    [
        ({}, 39 * 64 * 2 + 32 * 64 + 2 * 64 + 2 * (12 * 64**2 + 13 * 64)),
        ({"width": 8, "heads": 1, "depth": 1, "context": 4}, 39 * 8 * 2 + 4 * 8 + 2 * 8 + 12 * 8**2 + 13 * 8),
    ],
)
def test_the_network_has_its_size(params: dict[str, int], n_parameters: int) -> None:
    model = CharlmTransformer(params).model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters


def test_a_prediction_knows_nothing_of_what_follows() -> None:
    model, (characters, _) = initialised(TASK, 0), TASK.splits(0).test
    block = characters[:1]
    changed = block.clone()
    changed[0, 20] = (changed[0, 20] + 1) % len(ALPHABET)
    with torch.no_grad():
        logits, others = model(block), model(changed)
    assert torch.equal(logits[0, :20], others[0, :20])
    assert not torch.allclose(logits[0, 20:], others[0, 20:])
    assert logits.shape == (1, 32, len(ALPHABET))


def test_attention_is_that_of_torch() -> None:
    layer = charlm._Layer(TASK.params)
    theirs = nn.MultiheadAttention(64, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(layer.asked.weight)
        theirs.in_proj_bias.copy_(layer.asked.bias)
        theirs.out_proj.weight.copy_(layer.mixed.weight)
        theirs.out_proj.bias.copy_(layer.mixed.bias)
        states = torch.randn(3, 32, 64)
        expected, _ = theirs(states, states, states, attn_mask=layer.is_later, need_weights=False)
        torch.testing.assert_close(layer._attention(states), expected, rtol=1e-4, atol=1e-5)


def test_an_untrained_network_is_at_chance() -> None:
    model, split = initialised(TASK, 1), TASK.splits(1).test
    with torch.no_grad():
        scores = TASK.evaluate(model, split)
    assert scores["loss"].item() == pytest.approx(math.log2(39), abs=0.03)
    assert TASK.has_collapsed(scores["loss"].item(), {"loss": scores["loss"].item()})


@pytest.mark.parametrize(
    ("train_loss", "loss", "collapsed"), [(5.24, 4.0, True), (2.0, 5.29, True), (5.2, 5.2, False), (1.5, 1.9, False)]
)
def test_collapsed_is_no_better_than_a_uniform_guess(train_loss: float, loss: float, collapsed: bool) -> None:
    assert TASK.has_collapsed(train_loss, {"loss": loss, "accuracy": 0.5}) is collapsed


def test_losses_are_in_bits_and_scores_do_not_depend_on_how_a_split_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = initialised(SMALL, 0), tuple(part[:300] for part in SMALL.splits(0).test)
    with torch.no_grad():
        logits = model(split[0])
        nats = functional.cross_entropy(logits.flatten(0, 1), split[1].flatten()).item()
        scores = SMALL.evaluate(model, split)
        monkeypatch.setattr(charlm, "BLOCKS_AT_ONCE", 7)
        again = SMALL.evaluate(model, split)
        scaled = CharlmTransformer({"loss_scale": 2.0}).loss(model, split).item()
    assert scores["loss"].item() == pytest.approx(nats / math.log(2), rel=1e-5)
    assert scores["accuracy"].item() == pytest.approx((logits.argmax(-1) == split[1]).double().mean().item())
    assert {name: value.item() for name, value in again.items()} == pytest.approx(
        {name: value.item() for name, value in scores.items()}, rel=1e-5
    )
    assert scaled == pytest.approx(2 * nats / math.log(2), rel=1e-5)


def test_a_good_cell_is_better_than_counting_characters() -> None:
    spec = Spec.from_mapping(
        {
            "name": "charlm",
            "tasks": [{"name": "charlm-transformer", "params": {"width": 32, "train_share": 0.3}}],
            "budget": {"epochs": 3, "batch_size": 32},
            "base": {"name": "adamw"},
            "optimizers": [{"name": "msam", "fixed": {"rho": 0.05}}],
            "gd": False,
            "space": {"lr": {"values": [0.003]}},
            "seeds": {"count": 1},
        }
    )
    (cell,) = expand(spec)
    task = CharlmTransformer(cell.setting.task_params)
    outcome = train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=math.inf)
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    text = "".join(f"{name}\n" for name in charlm._names())
    unigram = -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
    assert outcome.metrics["test_loss"] < unigram - 0.5
    assert outcome.metrics["test_accuracy"] > 0.25


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    charlm._names.cache_clear()
    yield monkeypatch
    charlm._names.cache_clear()


def test_other_names_are_refused(no_names: pytest.MonkeyPatch) -> None:
    no_names.setattr(charlm, "RULED", ())
    with pytest.raises(TaskDataError, match=r"must have the sha256 ed37fef8.*Use another build of Python"):
        TASK.splits(0)
    with pytest.raises(TaskDataError, match="sha256"):
        _ = CharlmTransformer().data_version


def test_what_a_task_declares() -> None:
    assert task_class("charlm-transformer") is CharlmTransformer
    assert [metric.name for metric in TASK.metrics] == ["loss", "accuracy"]
    assert TASK.metrics[0].goal == "minimize"
    assert TASK.data_version == charlm.SHA256[:16]
    _, problems = CharlmTransformer.parse_params({"width": 10, "heads": 3})
    assert ["width must be a multiple of heads" in problem.detail for problem in problems] == [True]
    assert CharlmTransformer.version == 1
