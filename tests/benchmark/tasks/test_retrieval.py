import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmark.tasks import retrieval

AXES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # their similarities are exact: 1, 0, -1


def recall(k: int, queries: Tensor, candidates: Tensor) -> Tensor:
    (found,) = retrieval.recall_at([k], queries @ candidates.mT)
    return found


def random_views(seed: int, n: int, d: int) -> tuple[Tensor, Tensor]:
    """Two related views with rows of length 1."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, d, generator=generator, dtype=torch.float64)
    b = a + torch.randn(n, d, generator=generator, dtype=torch.float64)
    return functional.normalize(a), functional.normalize(b)


def nearest(query: Sequence[float], candidates: Sequence[Sequence[float]], order: Sequence[int]) -> list[int]:
    """Candidates from the most similar to the least; of equals the first in `order` comes first."""
    return sorted(order, key=lambda j: -sum(x * y for x, y in zip(query, candidates[j], strict=True)))


def recall_by_loops(k: int, queries: Tensor, candidates: Tensor) -> float:
    """The mean over every order in which ties may be broken, or over one where there are too many."""
    q, c = queries.tolist(), candidates.tolist()
    n = len(q)
    orders = list(itertools.permutations(range(n))) if n < 6 else [tuple(range(n))]
    hits = [i in nearest(q[i], c, order)[:k] for order in orders for i in range(n)]
    return float(np.mean(hits))


def mutual_knn_by_loops(a: Tensor, b: Tensor, k: int) -> float:
    n = len(a)
    orders = list(itertools.permutations(range(n))) if n < 5 else [tuple(range(n))]
    shares = []
    for i in range(n):
        chosen = [
            [set(nearest(x[i], x, [j for j in order if j != i])[:k]) for order in orders]
            for x in (a.tolist(), b.tolist())
        ]
        shares += [len(mine & theirs) / k for mine, theirs in itertools.product(*chosen)]
    return float(np.mean(shares))


def info_nce_by_loops(a: Tensor, b: Tensor, scale: float) -> float:
    logits = scale * a.numpy() @ b.numpy().T
    total = 0.0
    for i in range(len(a)):
        for row in (logits[i], logits[:, i]):
            total -= math.log(math.exp(row[i]) / sum(math.exp(value) for value in row))
    return total / (2 * len(a))


def uniformity_by_loops(*views: Tensor) -> float:
    logs = []
    for x in views:
        pairs = itertools.combinations(x.numpy(), 2)
        logs.append(math.log(np.mean([math.exp(-2 * ((first - second) ** 2).sum()) for first, second in pairs])))
    return float(np.mean(logs))


@pytest.mark.parametrize("n", [2, 9, 40])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_embeddings_score_as_by_loops(seed: int, n: int) -> None:
    a, b = random_views(seed, n, 5)
    for k in sorted({1, 2, n}):
        assert recall(k, a, b).item() == pytest.approx(recall_by_loops(k, a, b))
        assert recall(k, b, a).item() == pytest.approx(recall_by_loops(k, b, a))
    for k in sorted({1, min(8, n - 1), n - 1}):
        assert retrieval.mutual_knn(a, b, k).item() == pytest.approx(mutual_knn_by_loops(a, b, k))
    for scale in (1.0, 14.3):
        assert retrieval.info_nce(a, b, scale).item() == pytest.approx(info_nce_by_loops(a, b, scale))
    gap, distances = a.numpy().mean(axis=0) - b.numpy().mean(axis=0), a.numpy() - b.numpy()
    assert retrieval.modality_gap(a, b).item() == pytest.approx(math.hypot(*gap))
    assert retrieval.alignment(a, b).item() == pytest.approx(np.mean([(row**2).sum() for row in distances]))
    assert retrieval.uniformity(a, b).item() == pytest.approx(uniformity_by_loops(a, b))


@pytest.mark.parametrize("seed", range(10))
def test_ties_count_as_the_mean_over_all_orders(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a, b = (AXES[draw.integers(0, 4, size=4)] for _ in range(2))
    for k in (1, 2, 3):
        assert recall(k, a, b).item() == pytest.approx(recall_by_loops(k, a, b))
        assert retrieval.mutual_knn(a, b, k).item() == pytest.approx(mutual_knn_by_loops(a, b, k))


def test_embeddings_that_are_one_point_score_chance() -> None:
    """As those of a network whose units have died; to count ties in its favour would call it perfect."""
    a, b = (functional.normalize(torch.randn(1, 64)).expand(400, 64).contiguous() for _ in range(2))
    for k in (1, 5, 10):
        assert recall(k, a, b).item() == pytest.approx(k / 400)
    assert retrieval.mutual_knn(a, b).item() == pytest.approx(8 / 399)
    assert retrieval.info_nce(a, b, 14.3).item() == pytest.approx(math.log(400))
    assert retrieval.uniformity(a, b).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("n", [9, 30])
def test_identical_views_match_perfectly(n: int) -> None:
    a, _ = random_views(3, n, 6)
    assert recall(1, a, a).item() == 1
    assert retrieval.mutual_knn(a, a).item() == 1
    assert retrieval.modality_gap(a, a).item() == 0
    assert retrieval.alignment(a, a).item() == 0
    assert retrieval.info_nce(a, a, 1_000.0).item() == pytest.approx(0, abs=1e-3)


def test_scores_by_hand() -> None:
    a, b = AXES[[0, 1, 2]], AXES[[0, 2, 2]]
    assert recall(1, a, b).item() == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert recall(1, b, a).item() == pytest.approx((1 + 0 + 1) / 3)
    assert retrieval.modality_gap(a, b).item() == pytest.approx(math.hypot(1 / 3, 1 / 3))
    assert retrieval.alignment(a, b).item() == pytest.approx(2 / 3)
    one_apart = (math.exp(-4) + math.exp(-8) + math.exp(-4)) / 3
    together = (math.exp(-8) + math.exp(-8) + 1) / 3
    assert retrieval.uniformity(a, b).item() == pytest.approx((math.log(one_apart) + math.log(together)) / 2)
    # neighbours in a: 1; 0 or 2; 1. In b: 1 or 2; 2; 1
    assert retrieval.mutual_knn(a, b, 1).item() == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)


def test_the_loss_of_blocks_is_the_mean_of_their_losses() -> None:
    a, b = random_views(4, 24, 5)
    blocks = [retrieval.info_nce(a[i : i + 8], b[i : i + 8], 5.0) for i in (0, 8, 16)]
    assert retrieval.info_nce(a.view(3, 8, 5), b.view(3, 8, 5), 5.0).item() == pytest.approx(np.mean(blocks))


def test_the_loss_is_that_of_clip() -> None:
    a, b = random_views(5, 16, 4)
    logits, targets = 14.3 * a @ b.T, torch.arange(16)
    clip = (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)) / 2
    assert retrieval.info_nce(a, b, torch.tensor(14.3)).item() == pytest.approx(clip.item())


def test_what_is_not_a_number_is_no_hit() -> None:
    a, b = random_views(6, 9, 4)
    assert recall(10, torch.full_like(a, math.nan), b).isnan()
    assert not retrieval.mutual_knn(torch.full_like(a, math.nan), b) > 0


@pytest.mark.parametrize("k", [0, 9, 10])
def test_there_must_be_k_neighbours(k: int) -> None:
    with pytest.raises(ValueError, match=rf"1 <= k < n must hold, but got k={k}, n=9\."):
        retrieval.mutual_knn(*random_views(7, 9, 4), k)


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "info_nce": lambda a, b: retrieval.info_nce(a, b, 14.3),
    "recall_at": lambda a, b: recall(3, a, b),
    "mutual_knn": retrieval.mutual_knn,
    "modality_gap": retrieval.modality_gap,
    "alignment": retrieval.alignment,
    "uniformity": retrieval.uniformity,
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_can_be_mapped_and_leave_their_arguments_alone(name: str) -> None:
    pairs = [random_views(seed, 20, 4) for seed in (8, 9, 10)]
    a, b = (torch.stack(views) for views in zip(*pairs, strict=True))
    before = a.clone(), b.clone()
    mapped = torch.func.vmap(SCORES[name])(a, b)
    assert mapped.tolist() == pytest.approx([SCORES[name](*pair).item() for pair in pairs])
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


@pytest.mark.parametrize("name", SCORES)
def test_scores_depend_neither_on_the_order_nor_on_a_rotation(name: str) -> None:
    a, b = random_views(11, 20, 4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(random_views(12, 4, 4)[0])
    score = SCORES[name](a, b).item()
    assert SCORES[name](a[order], b[order]).item() == pytest.approx(score)
    assert SCORES[name](a @ rotation, b @ rotation).item() == pytest.approx(score)
