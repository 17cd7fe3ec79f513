import pytest

from benchmark.execution import train_cell
from benchmark.plan import price
from benchmark.records import PackPlace
from benchmark.spec import expand
from tests.benchmark.toys import CPU, make_spec


@pytest.mark.parametrize("budget", [{"epochs": 1, "batch_size": 256}, {"gradient_evaluations": 7}])
def test_the_price_is_what_cells_take(budget: dict[str, int]) -> None:
    spec = make_spec(
        budget=budget,
        optimizers=[{"name": "sam", "fixed": {"rho": 0.1}}, {"name": "look_sam", "space": {"k": {"values": [1, 2]}}}],
        space={"lr": {"values": [0.01]}},
    )
    spent: dict[str, int] = {}
    for cell in expand(spec):
        record = train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60)
        spent[cell.optimizer] = spent.get(cell.optimizer, 0) + record.outcome.cost.gradient_evaluations
    prices = price(spec)
    assert {one.optimizer: one.n_cells for one in prices} == {"gd": 2, "sam": 2, "look_sam": 4}
    for one in prices:
        assert one.gradient_evaluations == pytest.approx(spent[one.optimizer], rel=0.15)
        if one.optimizer != "look_sam":
            assert one.gradient_evaluations == spent[one.optimizer]


def test_an_adaptive_search_costs_its_dearest_configuration_without_a_look_at_every_one() -> None:
    values = {"values": [0.1 + index / 1_000 for index in range(500)]}
    space = {"rho": {"log": [0.01, 1.0]}, "alpha": values, "momentum": values, "k": {"linear": [2, 5]}}
    spec = make_spec(
        optimizers=[{"name": "look_sam", "space": space}],
        base={"name": "sgd"},
        space={"lr": values},
        gd=False,
        search={"method": "tpe", "n_configurations": 3},
        budget={"gradient_evaluations": 60},
    )
    (one,) = price(spec)
    assert (one.n_configurations, one.n_cells) == (3, 6)
    assert one.gradient_evaluations == pytest.approx(6 * 60, rel=0.1)
