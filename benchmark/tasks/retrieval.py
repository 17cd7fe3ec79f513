"""How well two sets of embeddings match, row by row: the contrastive loss, retrieval and the shape of the space.

Everywhere `a` and `b` are embeddings (n, d) of the same n things in two views, row i of one paired with row i of the
other, and every row has length 1. The functions are pure, run on the device of their arguments and may be mapped by
`torch.func.vmap`; each returns a scalar.

Ties count as their expectation under a random order. Where all embeddings are one point, as in a network whose units
have died, retrieval and neighbours are therefore at chance; counted in favour they would look perfect.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def info_nce(a: Tensor, b: Tensor, scale: Tensor | float) -> Tensor:
    """Return the symmetric contrastive loss, in nats.

    With logits s_ij = scale <a_i, b_j>, the mean of the cross-entropy of each row and of each column against its pair,
    1/(2n) sum_i [log sum_j exp(s_ij) + log sum_j exp(s_ji)] - 1/n sum_i s_ii; log n where all similarities are equal.
    Source: InfoNCE of A. van den Oord, Y. Li, O. Vinyals, Representation Learning with Contrastive Predictive Coding
    (2018); symmetric with a learned scale as in A. Radford et al., Learning Transferable Visual Models From Natural
    Language Supervision (2021).

    Args:
        a: embeddings (..., n, d); of several blocks the mean loss is returned.
        b: their pairs, of the same shape.
        scale: inverse temperature, positive.
    """
    logits = scale * (a @ b.mT)
    log_sums = (logits.logsumexp(dim=-1).mean() + logits.logsumexp(dim=-2).mean()) / 2
    return log_sums - logits.diagonal(dim1=-2, dim2=-1).mean()


def recall_at(ranks: Sequence[int], similarities: Tensor) -> list[Tensor]:
    """Return the share of rows whose pair is among their k most similar, for each k; in [0, 1], chance k/n.

    1/n sum_i P(rank of column i in row i <= k); NaN where a similarity is.

    Args:
        ranks: each k, at least 1.
        similarities: (n, n) of rows and columns, of which row i and column i are a pair.
    """
    own = similarities.diagonal()[:, None]
    # in the type of the similarities: sums of truth values are slow
    n_better, n_tied = (is_so.to(own.dtype).sum(dim=1) for is_so in (similarities > own, similarities == own))
    known = torch.where(n_tied > 0, n_tied, math.nan)  # a pair ties with itself, unless it is not a number
    return [((k - n_better) / known).clamp(0, 1).mean() for k in ranks]


def mutual_knn(a: Tensor, b: Tensor, k: int = 8) -> Tensor:
    """Return the mean share of nearest neighbours that both views have in common; in [0, 1], chance k/(n - 1).

    1/n sum_i |N_a(i) & N_b(i)| / k, where N_a(i) are the k rows of `a` most similar to row i, itself excluded.
    Source: M. Huh, B. Cheung, T. Wang, P. Isola, The Platonic Representation Hypothesis (2024).

    Args:
        a: embeddings (n, d) of one view.
        b: embeddings (n, d) of the other.
        k: number of neighbours, 1 to n - 1.

    Raises:
        ValueError: when there are not so many neighbours.
    """
    if not 1 <= k < len(a):
        raise ValueError(f"1 <= k < n must hold, but got k={k}, n={len(a)}.")
    return (_memberships(a, k) * _memberships(b, k)).sum(dim=1).mean() / k


def _memberships(x: Tensor, k: int) -> Tensor:
    """Return the probability (n, n) with which each row is among the k nearest of each: 0 or 1 but for ties."""
    similarities = _without_self(x @ x.mT)
    last = similarities.topk(k, dim=1).values[:, -1:]
    is_nearer, is_tied = similarities > last, similarities == last
    nearer, tied = is_nearer.to(x.dtype), is_tied.to(x.dtype)
    share = (k - nearer.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
    return torch.where(is_tied, share, nearer)


def modality_gap(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance of the centroids of both views, |mean_i a_i - mean_i b_i|; in [0, 2].

    Source: W. Liang, Y. Zhang, Y. Kwon, S. Yeung, J. Zou, Mind the Gap: Understanding the Modality Gap in Multi-modal
    Contrastive Representation Learning (2022).
    """
    gap: Tensor = torch.linalg.vector_norm(a.mean(dim=0) - b.mean(dim=0))
    return gap


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared distance of the pairs, 1/n sum_i |a_i - b_i|^2; in [0, 4], 2 where they are unrelated.

    Source: T. Wang, P. Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on
    the Hypersphere (2020), with exponent 2.
    """
    return (a - b).square().sum(dim=1).mean()


def uniformity(a: Tensor, b: Tensor) -> Tensor:
    """Return how evenly the embeddings of a view fill the sphere, the mean of both views; in [-8, 0], 0 for one point.

    Of a view of n >= 2 rows: log of the mean of exp(-2 |x_i - x_j|^2) over all i < j. Lower is more even.
    Source: T. Wang, P. Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on
    the Hypersphere (2020), with t = 2.
    """
    return (_log_mean_potential(a) + _log_mean_potential(b)) / 2


def _log_mean_potential(x: Tensor) -> Tensor:
    n = len(x)
    squared_distances = 2 - 2 * (x @ x.mT)  # of rows of length 1
    exponents = _without_self(-2 * squared_distances)
    return exponents.flatten().logsumexp(dim=0) - math.log(n * (n - 1))


def _without_self(pairwise: Tensor) -> Tensor:
    """Return a matrix (n, n) with minus infinity on its diagonal."""
    is_self = torch.eye(len(pairwise), dtype=torch.bool, device=pairwise.device)
    return pairwise.masked_fill(is_self, -math.inf)
