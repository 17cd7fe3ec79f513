"""Landscapes: heights, gradients and critical points by hand, starts, and the figures of the paper through a spec."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import Spec
from benchmark.errors import SpecError
from benchmark.records import Outcome, Status
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import expand
from benchmark.tasks import load_task
from benchmark.tasks.critical_points import kind_of_end
from benchmark.tasks.landscape import Landscape
from benchmark.tasks.landscapes import LANDSCAPES, SERIES_BELOW, Banana, Himmelblau, Parabola, Rosenbrock, Saddle, Sinc
from benchmark.training import train
from tests.benchmark.toys import CPU, document

pytestmark = pytest.mark.slow

PAPER = Path(__file__).parents[3] / "examples" / "paper"
BATCH = (torch.zeros(1, 1),)


def landscape(name: str, **params: Any) -> Landscape:
    task = load_task(name, params)
    assert isinstance(task, Landscape)
    return task


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def kind(task: Landscape, *end: float, **changes: float) -> str | None:
    """The kind of critical point at which a run ended; None where at none."""
    limits = {"reach": task.params.reach, "flat_below": task.params.flat_below, **changes}
    found = [name for name, value in kind_of_end(task.value, torch.tensor(end), **limits).items() if value == 1]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("name", "params", "point", "height", "gradient"),
    [
        ("banana", {}, (2.0, 0.5), 0.0, (0.0, 0.0)),
        ("banana", {}, (-1.5, 0.5), 1.75**2, (-1.75, 5.25)),
        ("sinc", {}, (0.0, 0.0), 0.0, (0.0, 0.0)),
        ("sinc", {}, (math.pi, 1.0), 1.0, (math.sin(1) / math.pi, 0.0)),
        ("sinc", {}, (math.pi / 2, 0.0), 1 - 2 / math.pi, (4 / math.pi**2, 0.0)),
        ("sinc", {"frequency": 2}, (math.pi / 4, 0.0), 1 - 2 / math.pi, (8 / math.pi**2, 0.0)),
        ("parabola", {}, (0.5,), 0.25, (1.0,)),
        ("parabola", {"dimension": 3, "curvature": 2}, (1.0, -1.0, 2.0), 12.0, (4.0, -4.0, 8.0)),
        ("saddle", {}, (2.0, 4.0), -6.0, (2.0, -4.0)),
        ("saddle", {"eigenvalues": [3, -1, 0.5]}, (1.0, 2.0, 2.0), 0.5, (3.0, -2.0, 1.0)),
        ("beale", {}, (3.0, 0.5), 0.0, (0.0, 0.0)),
        ("beale", {}, (0.0, 2.0), 1.5**2 + 2.25**2 + 2.625**2, (53.25, 0.0)),
        ("himmelblau", {}, (3.0, 2.0), 0.0, (0.0, 0.0)),
        ("himmelblau", {}, (0.0, 0.0), 170.0, (-14.0, -22.0)),
        ("rosenbrock", {}, (1.0, 1.0), 0.0, (0.0, 0.0)),
        ("rosenbrock", {}, (-1.0, 2.0), 104.0, (396.0, 200.0)),
    ],
)
def test_height_and_gradient_by_hand(
    name: str, params: dict[str, Any], point: tuple[float, ...], height: float, gradient: tuple[float, ...]
) -> None:
    task = landscape(name, **params)
    found = torch.func.grad_and_value(task.value)(double(*point))
    assert found[1].item() == pytest.approx(height, abs=1e-12)
    assert found[0].tolist() == pytest.approx(gradient, abs=1e-12)


def test_sinc_is_smooth_where_its_series_takes_over() -> None:
    def exact(x: float) -> tuple[float, float]:
        """sin(x)/x and its second derivative by thirty terms of the series."""
        terms = [(-1) ** k / math.factorial(2 * k + 1) for k in range(30)]
        second = sum(2 * k * (2 * k - 1) * c * x ** (2 * k - 2) for k, c in enumerate(terms) if k)
        return sum(c * x ** (2 * k) for k, c in enumerate(terms)), second

    task = Sinc()
    for x in (0.0, 1e-9, 1e-4, 0.1, SERIES_BELOW - 1e-6, SERIES_BELOW, SERIES_BELOW + 1e-6, 1.0, 3.0):
        value, second = exact(x)
        assert task.value(double(x, 0.0)).item() == pytest.approx(1 - value, abs=1e-13)
        point = double(x, 0.0).requires_grad_()
        (slope,) = torch.autograd.grad(task.value(point), [point], create_graph=True)
        by_autograd = [torch.autograd.grad(slope[index], [point], retain_graph=True)[0] for index in range(2)]
        for hessian in (torch.stack(by_autograd), torch.func.jacrev(torch.func.grad(task.value))(double(x, 0.0))):
            assert hessian[0, 0].item() == pytest.approx(-second, abs=1e-10)
            assert hessian[1, 1].item() == pytest.approx(value / 3, abs=1e-10)


@pytest.mark.parametrize(
    ("task", "end", "expected"),
    [
        (Banana(), (0.0, 0.0), "saddle"),
        (Banana(), (0.3, -0.2), "saddle"),
        (Banana(), (1.0, 1.0), "flat_minimum"),
        (Banana(), (-0.945, -0.941), "flat_minimum"),
        (Banana(), (3.1, 0.3), "sharp_minimum"),
        (Banana(), (-1.546, -0.647), "sharp_minimum"),
        (Banana(), (1.5, 0.0), None),
        (Banana({"flat_below": 20}), (3.0, 0.33), "flat_minimum"),
        (Sinc(), (0.1, 0.0), "flat_minimum"),
        (Sinc({"flat_below": 0.3}), (0.1, 0.0), "sharp_minimum"),
        (Sinc(), (4.5, 0.1), "maximum"),
        (Sinc(), (0.0, -4.5), "maximum"),
        (Sinc(), (4.5, -4.5), "flat_minimum"),
        (Sinc(), (3.1, 6.3), "saddle"),
        (Sinc(), (2.0, 2.0), None),
        (Himmelblau(), (3.0, 2.0), "flat_minimum"),
        (Himmelblau(), (-2.8, 3.1), "flat_minimum"),
        (Himmelblau(), (-3.8, -3.3), "sharp_minimum"),
        (Himmelblau(), (3.6, -1.8), "sharp_minimum"),
        (Himmelblau(), (-0.3, -0.9), "maximum"),
        (Himmelblau(), (0.1, 2.9), "saddle"),
        (Himmelblau(), (-3.1, -0.1), "saddle"),
        (Himmelblau(), (-0.1, -2.0), "saddle"),
        (Himmelblau(), (3.4, 0.1), "saddle"),
        (landscape("beale"), (2.8, 0.4), "flat_minimum"),
        (landscape("beale"), (0.1, 1.1), "saddle"),
        (Rosenbrock(), (1.2, 1.44), "flat_minimum"),
        (Rosenbrock(), (0.7, 0.49), None),
        (Parabola(), (0.4,), "flat_minimum"),
        (Parabola({"curvature": 2}), (0.4,), "sharp_minimum"),
        (Parabola(), (0.6,), None),
        (Saddle(), (0.1, 0.2), "saddle"),
        (Saddle({"eigenvalues": [-1, -2, -0.5]}), (0.1, 0.2, 0.0), "maximum"),
        (Saddle({"eigenvalues": [1, 0.2]}), (0.1, 0.2), "flat_minimum"),
        (Saddle({"eigenvalues": [1, -1e-4]}), (0.1, 0.2), "flat_minimum"),
    ],
)
def test_kind_of_the_point_where_a_run_ended(task: Landscape, end: tuple[float, ...], expected: str | None) -> None:
    assert kind(task, *end) == expected


def test_the_valley_is_reached_at_its_nearest_point() -> None:
    t = np.linspace(3, 3.5, 10_001)
    distance = float(np.hypot(t - 3.2, 1 / t - 0.5).min())
    assert kind(Banana(), 3.2, 0.5, reach=1.02 * distance) == "sharp_minimum"
    assert kind(Banana(), 3.2, 0.5, reach=0.98 * distance) is None


def test_an_end_that_hovers_belongs_to_what_it_hovers_around() -> None:
    """SAM at a parabola of curvature lambda = 2 ends in a cycle of half-width eta lambda rho / (2 - eta lambda)."""
    half_width = 0.66 * 2 * 0.3 / (2 - 0.66 * 2)
    assert kind(Parabola(), half_width) is None
    assert kind(Parabola({"reach": 0.6}), half_width) == "flat_minimum"


@pytest.mark.parametrize("task", [one() for one in LANDSCAPES], ids=lambda task: task.name)
@pytest.mark.parametrize("value", [1e30, -3e38, math.inf, math.nan])
def test_a_run_that_ended_far_out_ended_nowhere(task: Landscape, value: float) -> None:
    assert kind(task, *[value] * task.params.n_dimensions) is None


@pytest.mark.parametrize("task", [one() for one in LANDSCAPES], ids=lambda task: task.name)
def test_the_declared_level_of_chance_is_the_mean_over_the_box(task: Landscape) -> None:
    low, high = task.params.box
    n = 700
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n * (high - low) + low
    points = torch.cartesian_prod(*[middles] * task.params.n_dimensions).reshape(-1, task.params.n_dimensions)
    mean = torch.func.vmap(task.value)(points).mean().item()
    assert task.metrics[0].chance == pytest.approx(mean, rel=1e-3, abs=1e-9)
    levels = {metric.name: metric.chance for metric in task.metrics[1:]}
    assert levels == {"at_saddle": 1.0, "at_maximum": 1.0, "at_sharp_minimum": 1.0, "at_flat_minimum": 0.0}
    assert all(task.chance(name) == level for name, level in levels.items())


def test_chance_of_the_loss_is_that_of_the_starts() -> None:
    task = Himmelblau({"box": [-1, 0]})
    assert task.chance("loss") == pytest.approx(task.start["loss"].mean(), rel=1e-6)
    assert task.chance("loss") == task.chance("loss") != Himmelblau().chance("loss")
    assert Banana({"start": [-1.5, 0.5]}).chance("loss") == 1.75**2
    grid = Banana({"start": "grid", "grid": 2, "box": [-1, 2]})
    assert grid.chance("loss") == pytest.approx((0 + 9 + 9 + 9) / 4)


class TestStarts:
    def test_the_grid_covers_the_box_row_by_row_with_its_ends(self) -> None:
        task = Banana({"start": "grid", "grid": 3, "box": [-1, 3]})
        points = [tuple(task.start_of(seed).tolist()) for seed in range(9)]
        assert points == [(a, b) for a in (-1.0, 1.0, 3.0) for b in (-1.0, 1.0, 3.0)]
        assert task.start_of(9).tolist() == [-1.0, -1.0]
        assert task.start_of(2**31).tolist() == list(points[2**31 % 9])

    def test_the_grid_has_the_dimension_of_the_landscape(self) -> None:
        task = Parabola({"start": "grid", "grid": 1000, "dimension": 16})
        assert task.start_of(2**31).shape == (16,)
        assert Parabola({"start": "grid", "grid": 2}).start_of(1).tolist() == [3.0]

    def test_random_starts_fill_the_box(self) -> None:
        task = Sinc({"box": [2, 2.5]})
        starts = torch.stack([task.start_of(seed) for seed in range(300)])
        assert 2 <= starts.min() < 2.01
        assert 2.49 < starts.max() <= 2.5
        assert torch.unique(starts).numel() == 600

    def test_random_starts_depend_on_the_seed_alone_and_are_what_torch_draws(self) -> None:
        task = Banana()
        with seeded_torch(7, Stream.INIT):
            first = task.model(7)()
        with seeded_torch(8, Stream.TRAIN):
            again = task.model(7)()
        with seeded_torch(7, Stream.INIT):
            drawn = torch.rand(2) * 6 - 3
        assert torch.equal(first, again)
        torch.testing.assert_close(first.detach(), drawn)
        assert first.dtype == torch.float32

    def test_a_start_of_coordinates_is_that_of_every_seed(self) -> None:
        task = Saddle({"start": [1, 2, 3], "eigenvalues": [1, -1, 2]})
        assert [task.model(seed)().tolist() for seed in (0, 5)] == [[1.0, 2.0, 3.0]] * 2


@pytest.mark.parametrize(
    ("name", "params", "place", "message"),
    [
        ("banana", {"start": [1.0]}, "", r"start must be .* a list of 2 numbers.* but got \[1\.0\]"),
        ("parabola", {"start": [1, 2]}, "", r"a list of 1 numbers"),
        ("saddle", {"start": [1, 2], "eigenvalues": [1, 2, -3]}, "", r"a list of 3 numbers"),
        ("banana", {"start": "middle"}, "/start", r"'random' or 'grid'.*but got 'middle'"),
        ("banana", {"start": [1, 2_000]}, "/start", r"less than or equal to 1000, but got 2000"),
        ("banana", {"box": [1, 1]}, "/box", r"two numbers, low < high, but got \[1\.0, 1\.0\]"),
        ("banana", {"box": [3, -3]}, "/box", r"low < high, but got \[3\.0, -3\.0\]"),
        ("banana", {"box": [1]}, "/box", r"low < high, but got \[1\.0\]"),
        ("banana", {"box": [1, 2, 3]}, "/box", r"low < high, but got \[1\.0, 2\.0, 3\.0\]"),
        ("banana", {"box": [1, math.nan]}, "/box", r"a finite number is needed, but got nan"),
        ("banana", {"grid": 1}, "/grid", r"greater than or equal to 2, but got 1"),
        ("banana", {"flat_below": 0}, "/flat_below", r"greater than 0, but got 0"),
        ("banana", {"reach": -1}, "/reach", r"greater than 0, but got -1"),
        ("banana", {"raech": 1}, "/raech", r"unknown key 'raech'; did you mean 'reach'\?"),
        ("parabola", {"dimension": 0}, "/dimension", r"greater than or equal to 1, but got 0"),
        ("parabola", {"curvature": -1}, "/curvature", r"greater than 0, but got -1"),
        ("saddle", {"eigenvalues": [1]}, "/eigenvalues", r"2 to 16 numbers other than 0, but got \[1\.0\]"),
        ("saddle", {"eigenvalues": [1, 0]}, "/eigenvalues", r"other than 0, but got \[1\.0, 0\.0\]"),
        ("saddle", {"eigenvalues": [1.0] * 17}, "/eigenvalues", r"2 to 16 numbers"),
        ("saddle", {"eigenvalues": [1, math.inf]}, "/eigenvalues", r"a finite number is needed"),
        ("sinc", {"frequency": 0}, "/frequency", r"greater than 0, but got 0"),
    ],
)
def test_a_bad_parameter_is_refused_where_it_stands(
    name: str, params: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(SpecError, match=f"/tasks/0/params{place}: .*{message}"):
        Spec.from_mapping(document(tasks=[{"name": name, "params": params}]))


def outcomes(spec: Spec) -> dict[tuple[str, float], Outcome]:
    """Train every cell of a spec in the plain loop; the outcomes by optimizer and learning rate."""
    found = {}
    for cell in expand(spec):
        task = load_task(cell.setting.task, cell.setting.task_params)
        outcome = train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=60)
        found[cell.optimizer, float(cell.hyperparameters["lr"])] = outcome
    return found


def test_figure_1_of_the_paper() -> None:
    found = outcomes(Spec.from_file(PAPER / "figure1.yaml"))
    ends = {name: [outcome.curve[f"theta_{axis}"][-1] for axis in (0, 1)] for (name, _), outcome in found.items()}
    assert ends["msam"] == pytest.approx([-0.945, -0.941], abs=1e-3)
    assert ends["gd"] == pytest.approx([-1.546, -0.647], abs=1e-3)
    assert ends["sam"] == pytest.approx([0, 0], abs=0.01)
    losses = {name: outcome.metrics["loss"] for (name, _), outcome in found.items()}
    assert losses == pytest.approx({"sam": 1.0, "msam": 0.012, "gd": 0.0}, abs=1e-3)
    at = {
        name: [metric for metric, value in outcome.metrics.items() if metric.startswith("at_") and value == 1]
        for (name, _), outcome in found.items()
    }
    assert at == {"sam": ["at_saddle"], "msam": ["at_flat_minimum"], "gd": ["at_sharp_minimum"]}
    for outcome in found.values():
        assert outcome.status is Status.COMPLETED
        assert not outcome.collapsed
        assert outcome.cost.steps == len(outcome.curve["theta_0"]) == 200


def test_figure_3_of_the_paper() -> None:
    found = {key: outcome.metrics["loss"] for key, outcome in outcomes(Spec.from_file(PAPER / "figure3.yaml")).items()}
    wanted = {("sam", 0.66): 0.3391, ("sam", 0.74): 0.7291, ("msam", 0.66): 0.1919, ("msam", 0.74): 0.3198}
    assert found == pytest.approx(wanted | {("gd", 0.66): 0.0, ("gd", 0.74): 0.0}, abs=6e-5)


@pytest.mark.parametrize(("figure", "n_cells"), [("figure1", 3), ("figure2", 2000), ("figure3", 6), ("figure5", 500)])
def test_the_specs_of_the_paper_are_valid(figure: str, n_cells: int) -> None:
    assert Spec.from_file(PAPER / f"{figure}.yaml").n_cells == n_cells
    assert (PAPER / f"{figure}.yaml").read_text().startswith(f"# Figure {figure[-1]}: ")


def one_cell(name: str, lr: float, epochs: int, **params: Any) -> Outcome:
    spec = Spec.from_mapping(
        document(
            tasks=[{"name": name, "params": params}],
            base={"name": "sgd"},
            optimizers=[],
            space={"lr": {"values": [lr]}},
            budget={"epochs": epochs, "batch_size": 1},
            seeds={"count": 1},
        )
    )
    (outcome,) = outcomes(spec).values()
    return outcome


def test_at_a_learning_rate_of_nearly_nothing_a_run_stays_where_it_started() -> None:
    outcome = one_cell("himmelblau", 1e-30, 3)
    start = Himmelblau().start_of(0).tolist()
    assert [outcome.curve["theta_0"], outcome.curve["theta_1"]] == [(start[0],) * 3, (start[1],) * 3]


def test_gradient_descent_by_hand() -> None:
    outcome = one_cell("parabola", 0.25, 3, start=[1.0])
    assert outcome.curve["theta_0"] == (0.5, 0.25, 0.125)
    assert outcome.curve["loss"] == (0.25, 0.0625, 0.015625)


def test_a_run_that_diverges_is_diverged_and_not_failed() -> None:
    outcome = one_cell("beale", 1.0, 50, start=[4, 4])
    assert outcome.status is Status.DIVERGED
    assert outcome.metrics == {}


@pytest.mark.parametrize("task", [one() for one in LANDSCAPES], ids=lambda task: task.name)
def test_stacked_runs_are_the_runs(task: Landscape) -> None:
    """Losses, gradients and ends of stacked runs, one at NaN among them, are those of the loop."""
    models = [task.model(seed) for seed in range(5)]
    stacked = torch.stack([model().detach() for model in models])
    stacked[4] = math.nan

    def loss(theta: Tensor) -> Tensor:
        return task.loss(lambda: theta, BATCH)

    def measured(theta: Tensor) -> dict[str, Tensor]:
        parts = (task.evaluate, task.evaluate_end)
        values = {name: value for part in parts for name, value in part(lambda: theta, BATCH).items()}
        return values | task.trace(lambda: theta)

    gradients, losses = torch.func.vmap(torch.func.grad_and_value(loss))(stacked)
    with torch.no_grad():
        together = torch.func.vmap(measured)(stacked)
    assert task.can_fuse
    for index, model in enumerate(models[:4]):
        alone = task.loss(model, BATCH)
        (gradient,) = torch.autograd.grad(alone, list(model.parameters()))
        torch.testing.assert_close(losses[index], alone.detach())
        torch.testing.assert_close(gradients[index], gradient)
        with torch.no_grad():
            for name, value in measured(model()).items():
                assert value.shape == ()
                torch.testing.assert_close(together[name][index], value)
    assert all(together[metric.name][4] == 0 for metric in task.metrics if metric.at_end)


def test_a_landscape_has_no_data_and_none_collapses() -> None:
    task = Rosenbrock()
    assert [len(part) for part in (task.splits(0).train, task.splits(0).validation)] == [1, 0]
    assert not task.has_split
    assert not task.has_collapsed(math.inf, {"loss": 1e9})
    assert task.data_version == Banana().data_version
    assert list(task.trace(task.model(0))) == ["theta_0", "theta_1"]


def test_every_landscape_is_registered_and_says_where_it_is_from() -> None:
    assert {type(load_task(one.name)) for one in LANDSCAPES} == set(LANDSCAPES)
    assert len({one.name for one in LANDSCAPES}) == 7
    for one in LANDSCAPES:
        assert one.title
        assert one.source
        params, problems = one.parse_params({})
        assert not problems
        assert np.isfinite([value for value in params.values() if isinstance(value, float)]).all()
        assert one(params).params == one().params
