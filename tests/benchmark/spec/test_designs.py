"""Random and Sobol designs, and what a spec says of a search."""

import itertools
from typing import Any, Literal

import numpy as np
import pytest
from scipy.stats import kstest, qmc

from benchmark import Spec, SpecError
from benchmark.spec import Grid, expand
from benchmark.spec.designs import unit_points
from tests.benchmark.toys import document

RHO = {"rho": {"log": [0.01, 1.0]}}
METHODS: tuple[Literal["random", "sobol"], ...] = ("random", "sobol")
NAMES = ["lr", "rho", "momentum"]
RANDOM_7 = [[0.3673057856417158, 0.678010589249965], [0.8473853608994377, 0.3125243069839321]]
SOBOL_7 = [[0.7173097054979732, 0.7521049693766967], [0.05382829503361974, 0.3527262207993789]]


def search_document(method: str = "sobol", n: int = 16, **changes: Any) -> dict[str, Any]:
    optimizers = [{"name": name, "space": {"rho": {"log": [0.01, 1.0]}}} for name in ("sam", "msam")]
    search = {"method": method, "n_configurations": n}
    return document(**{"optimizers": optimizers, "space": {"lr": {"log": [1e-3, 1.0]}}, "search": search, **changes})


def grids_of(**changes: Any) -> tuple[Grid, ...]:
    return Spec.from_mapping(search_document(**changes)).grids


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_points_are_uniform_and_a_larger_design_begins_with_the_smaller(
    method: Literal["random", "sobol"], seed: int
) -> None:
    points = unit_points(method, seed, NAMES, 1000, NAMES)
    assert points.shape == (1000, 3)
    assert ((points >= 0) & (points < 1)).all()
    assert min(kstest(column, "uniform").pvalue for column in points.T) > 1e-4
    assert np.abs(np.corrcoef(points.T) - np.eye(3)).max() < 0.15
    for n in (1, 2, 37, 512, 513):
        assert (unit_points(method, seed, NAMES, n, NAMES) == points[:n]).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_axis_has_the_same_points_whatever_other_axes_there_are(method: Literal["random", "sobol"]) -> None:
    points = unit_points(method, 3, NAMES, 64, NAMES)
    assert (unit_points(method, 3, ["rho"], 64, NAMES)[:, 0] == points[:, 1]).all()
    assert (unit_points(method, 3, ["rho", "lr"], 64, NAMES) == points[:, [1, 0]]).all()
    assert not np.isin(unit_points(method, 4, ["rho"], 64, NAMES), points).any()


@pytest.mark.parametrize("seed", range(5))
def test_a_sobol_design_of_a_power_of_two_is_a_net(seed: int) -> None:
    """Every elementary interval of the plane holds its one point, as in the sequence before it was scrambled."""
    points = unit_points("sobol", seed, NAMES[:2], 64, NAMES[:2])
    for k in range(7):
        boxes = {(int(x * 2**k), int(y * 2 ** (6 - k))) for x, y in points}
        assert len(boxes) == 64
    random = unit_points("random", seed, NAMES[:2], 64, NAMES[:2])
    assert qmc.discrepancy(points) < qmc.discrepancy(random) / 5


def test_points_stay_what_they_were() -> None:
    """A job's cells are found again from its spec: these numbers may never change."""
    assert unit_points("random", 7, NAMES[:2], 2, NAMES[:2]).tolist() == RANDOM_7
    assert unit_points("sobol", 7, NAMES[:2], 2, NAMES[:2]).tolist() == SOBOL_7


@pytest.mark.parametrize("method", METHODS)
def test_optimizers_share_their_points(method: str) -> None:
    gd, sam, msam = grids_of(method=method)
    assert list(sam.points) == list(msam.points)
    assert list(gd.points) == [(lr,) for lr, _ in sam.points]
    assert len(set(sam.points)) == sam.n_configurations == 16
    assert all(1e-3 <= lr <= 1 and 0.01 <= rho <= 1 for lr, rho in sam.points)
    spec = Spec.from_mapping(search_document(method=method))
    assert len(list(expand(spec))) == spec.n_cells == 3 * 16 * 2
    assert Spec.from_mapping(spec.to_dict()) == spec


@pytest.mark.parametrize("method", METHODS)
def test_more_configurations_of_the_same_seed_contain_the_fewer(method: str) -> None:
    fewer, more = ({cell.key for cell in expand(Spec.from_mapping(search_document(method, n)))} for n in (5, 21))
    assert fewer < more
    other = search_document(method, 21) | {"search": {"method": method, "n_configurations": 21, "seed": 1}}
    assert fewer.isdisjoint(cell.key for cell in expand(Spec.from_mapping(other)))


def test_values_of_every_kind_of_axis() -> None:
    space = {
        "k": {"linear": [2, 5]},
        "rho": {"linear": [0.1, 0.2]},
        "momentum": {"values": [0.0, 0.9]},
        "nesterov": {"values": [False]},
    }
    (grid,) = grids_of(n=64, optimizers=[{"name": "look_sam", "space": space}], gd=False, base={"name": "sgd"})
    columns = dict(zip([axis.name for axis in grid.axes], zip(*grid.points, strict=True), strict=True))
    assert {value: columns["k"].count(value) for value in set(columns["k"])} == dict.fromkeys((2, 3, 4, 5), 16)
    assert all(type(value) is int for value in columns["k"])
    assert columns["momentum"].count(0.9) == 32
    assert all(0.1 <= value <= 0.2 for value in columns["rho"])
    assert all(grid.holds(grid.setting.key, configuration) for configuration in grid.configurations())


def test_points_that_rounding_makes_equal_are_replaced() -> None:
    narrow = {"lr": {"linear": [1.0, 1.00001]}}
    (grid,) = grids_of(method="random", n=5_000, optimizers=[{"name": "gd"}], space=narrow)
    assert len(set(grid.points)) == 5_000


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        ({"search": {"method": "tpe"}}, "/search", "n_configurations must be given with method=tpe"),
        ({"search": {"method": "random", "n_configurations": 0}}, "/search/n_configurations", "greater than or equal"),
        ({"search": {"n_configurations": 3}}, "/search", "goes with random, sobol and tpe"),
        ({"search": {"seed": 3}}, "/search", "seed goes with random, sobol and tpe"),
        ({"search": {"method": "tpee", "n_configurations": 3}}, "/search/method", "'grid', 'random', 'sobol' or 'tpe'"),
        ({"search": {"method": "grid"}}, "/space/lr", "n, the number of points, must be given with log in a grid"),
        ({"space": {"lr": {"log": [1e-3, 1.0], "n": 4}}}, "/space/lr/n", "n goes with a grid only"),
        ({"space": {"lr": {"values": [0.1, 0.2]}}}, "/gd", "needs an interval of real numbers"),
        ({"space": {"lr": {"log": [0.1, 0.1]}}}, "/gd", "low < high must hold by a millionth"),
        (
            {"space": {"weight_decay": {"linear": [0.0, 5e-324]}}, "fixed": {"lr": 0.1}},
            "/gd",
            "low < high must hold by",
        ),
        ({"search": {"method": "tpe", "n_configurations": 2_001}}, "/search", "n_configurations <= 2,000 must hold"),
        ({"space": {"lr": {"log": [-0.1, 0.1]}}}, "/space/lr", "low > 0 must hold"),
        ({"space": {"lr": {"linear": [-0.1, 0.1]}}}, "/space/lr/linear/0", "lr"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(changes: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.from_mapping(search_document(**changes))
    assert any(one.pointer == pointer and message in one.detail for one in caught.value.problems), caught.value


def test_too_many_cells_are_refused_before_a_point_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.spec.grids.unit_points", lambda *given: pytest.fail("no point is to be drawn"))
    entries = [{"label": f"s{index}", "name": "sam", "fixed": {"rho_warmup": index / 200}} for index in range(100)]
    with pytest.raises(SpecError, match="n_cells <= 100,000 must hold, but this spec has 20,200,000 cells"):
        grids_of(method="random", n=100_000, optimizers=[{**entry, "space": RHO} for entry in entries])
    assert len(grids_of(method="random", n=10, optimizers=[{**entry, "space": RHO} for entry in entries[:3]])) == 4


def test_which_optimizers_there_are_does_not_change_the_points_of_the_others() -> None:
    space = {"rho": {"log": [0.01, 1.0]}, "lr": {"log": [1e-3, 1.0]}}
    alone = grids_of(n=9, optimizers=[{"name": "sam"}], space=space, gd=False)[-1]
    with_gd = grids_of(n=9, optimizers=[{"name": "sam"}], space=space)[-1]
    assert list(alone.points) == list(with_gd.points)


def test_an_optimizer_without_axes_has_one_configuration_under_any_search() -> None:
    for method in (*METHODS, "tpe"):
        fixed = [{"name": "gd", "fixed": {"lr": 0.1}}, {"name": "sam", "space": {"rho": {"log": [0.01, 1.0]}}}]
        one, many = grids_of(method=method, optimizers=fixed)
        assert (one.n_configurations, one.is_adaptive, len(list(one.configurations()))) == (1, False, 1)
        assert (many.n_configurations, many.is_adaptive) == (16, method == "tpe")


def test_an_adaptive_search_has_cells_that_are_counted_and_not_known() -> None:
    spec = Spec.from_mapping(search_document("tpe", 12))
    assert spec.n_cells == 3 * 12 * 2
    assert list(expand(spec)) == []


@pytest.mark.parametrize(("method", "is_twin"), [("tpe", True), ("sobol", False), ("random", False)])
def test_twins(method: str, is_twin: bool) -> None:
    """Adaptive searches whose intervals overlap could choose the same; designs over other intervals do not."""
    entries = [
        {"name": "sam", "label": label, "space": {"rho": {"log": span}}}
        for label, span in (("low", [0.01, 0.5]), ("high", [0.1, 1.0]), ("far", [2.0, 3.0]))
    ]
    for pair in itertools.combinations(entries, 2):
        labels = {entry["label"] for entry in pair}
        may_meet = is_twin and labels == {"low", "high"}
        if may_meet:
            with pytest.raises(SpecError, match="no configuration may stand twice"):
                grids_of(method=method, optimizers=list(pair))
        else:
            assert len(grids_of(method=method, optimizers=list(pair))) == 3
    with pytest.raises(SpecError, match="no configuration may stand twice"):
        grids_of(method=method, optimizers=[entries[0], {**entries[0], "label": "again"}])
