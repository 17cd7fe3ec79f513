"""The measures: known answers, one step of each ascent, rescaling of layers, and what they leave alone."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from benchmark.sharpness import (
    ASCENT_RHO,
    COLUMNS,
    MEASURES,
    Neighbourhood,
    ascent_sharpness,
    columns_of,
    reference_batch,
    rescaled,
    sharpness,
)
from tests.benchmark.sharpness.networks import around, hessian, loss_of, losses_of, relu_network

A_HALF_SQUARED = torch.tensor([2.0, 0.5, 0.0], dtype=torch.float64)


def bowl(parameters: Sequence[Tensor]) -> Tensor:
    """l = sum a x^2 of one parameter of three numbers, (cells,)."""
    return (A_HALF_SQUARED * parameters[0].square()).sum(dim=1)


def numbers(measures: Sequence[str], neighbourhood: Neighbourhood, seeds: Sequence[int]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in sharpness(measures, neighbourhood, seeds).items()}


def test_a_bowl_has_known_answers() -> None:
    at = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    found = numbers(MEASURES, around([at], losses=bowl), [0])
    gradient = 2 * A_HALF_SQUARED * at
    norm = gradient.norm()
    deltas = {
        "sam": 0.05 * gradient / norm,
        "monge": 0.05 * gradient / (norm * (1 + norm**2).sqrt()),
        "adaptive": 0.5 * at.square() * gradient / (at * gradient).norm(),
    }
    assert found["sharpness_lambda_max"] == pytest.approx([4.0])
    assert found["sharpness_trace"] == pytest.approx([5.0])
    assert found["sharpness_trace_se"] == [0.0]
    for name, delta in deltas.items():
        rise = (A_HALF_SQUARED * ((at + delta).square() - at.square())).sum()
        assert found[f"sharpness_{name}"] == pytest.approx([rise.item()], rel=1e-9)


def test_the_names_of_a_record() -> None:
    assert columns_of(["trace", "sam"]) == ("sharpness_trace", "sharpness_trace_se", "sharpness_sam")
    assert COLUMNS["lambda_max"] == ("sharpness_lambda_max", "sharpness_lambda_max_residual")
    assert tuple(numbers(MEASURES, around(relu_network(0)), [0])) == columns_of(MEASURES)


def test_together_is_alone() -> None:
    points = [relu_network(seed) for seed in range(4)]
    together = numbers(MEASURES, around(*points), [7, 7, 8, 9])
    for place, (point, seed) in enumerate(zip(points, [7, 7, 8, 9], strict=True)):
        alone = numbers(MEASURES, around(point), [seed])
        assert {name: values[place] for name, values in together.items()} == pytest.approx(
            {name: values[0] for name, values in alone.items()}, rel=1e-9, abs=1e-12
        )


def test_probes_are_of_the_seed_alone() -> None:
    point = relu_network(0, n_hidden=40)  # of more parameters than probes
    found = numbers(["trace"], around(point, point, point), [3, 3, 4])["sharpness_trace"]
    assert found[0] == found[1] != found[2]
    assert numbers(["trace"], around(point), [3])["sharpness_trace"] == pytest.approx([found[0]], rel=1e-12)
    errors = numbers(["trace"], around(point), [3])["sharpness_trace_se"]
    assert abs(found[0] - hessian(point).trace().item()) < 5 * errors[0]


def test_parameters_stay_bit_for_bit() -> None:
    point = relu_network(0)
    kept = [tensor.clone() for tensor in point]
    stacked = [tensor.unsqueeze(0) for tensor in point]
    numbers(MEASURES, Neighbourhood(losses_of, stacked), [0])
    assert all(torch.equal(now, before) for now, before in zip(point, kept, strict=True))
    assert not any(tensor.requires_grad for tensor in (*point, *stacked))


def test_a_constant_and_a_plane_are_flat() -> None:
    at = torch.ones(3, dtype=torch.float64)
    flat = numbers(MEASURES, around([at], losses=lambda ps: 0 * ps[0].detach().sum(dim=1)), [0])
    assert {value for values in flat.values() for value in values} == {0.0}
    plane = numbers(MEASURES, around([at], losses=lambda ps: ps[0].sum(dim=1)), [0])
    assert plane["sharpness_lambda_max"] == plane["sharpness_trace"] == [0.0]
    assert plane["sharpness_sam"] == pytest.approx([0.05 * math.sqrt(3)])


def test_time_is_asked_for_before_each_measure() -> None:
    answers = iter([False, False, True])
    found = sharpness(MEASURES, around(relu_network(0)), [0], is_late=lambda: next(answers))
    assert tuple(found) == columns_of(["lambda_max", "trace"])


def test_the_reference_batch_is_fixed() -> None:
    small = (torch.arange(512), torch.arange(512))
    assert reference_batch(small) is small
    large = (torch.arange(2_000), 10 * torch.arange(2_000))
    first, second = reference_batch(large), reference_batch(large)
    assert torch.equal(first[0], second[0])
    assert torch.equal(10 * first[0], first[1])
    assert len(set(first[0].tolist())) == 512
    assert first[0].max() > 1_500  # from the whole split, and not its beginning


class TestRescalingOfLayers:
    FACTORS = (0.25, 1.0, 4.0)

    def values(self, name: str) -> list[float]:
        points = [rescaled(relu_network(3), factor) for factor in self.FACTORS]
        return numbers([name], around(*points), [0, 0, 0])[f"sharpness_{name}"]

    def test_the_function_stays(self) -> None:
        losses = [loss_of(rescaled(relu_network(3), factor)).item() for factor in self.FACTORS]
        assert losses == pytest.approx([losses[1]] * 3, rel=1e-12)

    def test_adaptive_sharpness_is_invariant(self) -> None:
        values = self.values("adaptive")
        assert values == pytest.approx([values[1]] * 3, rel=1e-9)
        assert values[1] > 0.01

    @pytest.mark.parametrize("name", [name for name in MEASURES if name != "adaptive"])
    def test_no_other_is(self, name: str) -> None:
        low, middle, high = self.values(name)
        assert middle != pytest.approx(low, rel=0.05)
        assert middle != pytest.approx(high, rel=0.05)

    def test_monge_is_at_most_sam(self) -> None:
        """Both go along the gradient, Monge less far; here the loss rises all the way."""
        pairs = zip(self.values("monge"), self.values("sam"), strict=True)
        assert all(0 < monge < sam for monge, sam in pairs)

    @pytest.mark.parametrize("factor", [0.0, -1.0, math.nan])
    def test_the_factor_is_positive(self, factor: float) -> None:
        with pytest.raises(ValueError, match=r"factor > 0 must hold.* but got factor="):
            rescaled(relu_network(3), factor)


@pytest.mark.parametrize("name", ASCENT_RHO)
def test_a_small_radius_is_the_first_order(name: str) -> None:
    """rho ||g|| of SAM, rho ||g|| / sqrt(1 + ||g||^2) of Monge, rho ||T g|| of the adaptive measure."""
    point, rho = relu_network(1), 1e-6
    here = around(point)
    gradient = torch.cat([g.reshape(-1) for g in here.gradients])
    weights = torch.cat([p.reshape(-1) for p in point]).abs()
    norm = gradient.norm()
    rise = {"sam": norm, "monge": norm / (1 + norm**2).sqrt(), "adaptive": (weights * gradient).norm()}[name]
    assert ascent_sharpness(name, here, rho).item() == pytest.approx(rho * rise.item(), rel=1e-4)
