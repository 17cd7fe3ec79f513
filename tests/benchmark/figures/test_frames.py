"""Figures as data frames: what is drawn is there, a row each."""

import io

import numpy as np
import pandas as pd
import pytest

from benchmark import Records, Spec
from benchmark.figures import Figure, FigureData, figure_of
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, noisy_scores
from tests.service.filling import curved, landscape_spec, records_by_key, small_spec, trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data() -> FigureData:
    return FigureData.of_frame(frame_of(noisy_scores(2)), ACCURACY)


def read(figure: Figure) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(figure.csv()))


def test_a_heat_map_has_a_row_a_configuration(data: FigureData) -> None:
    figure = figure_of(data, "heatmap")
    found = read(figure)
    assert len(found) == len(LRS) + 2 * len(LRS) * len(RHOS)
    assert found.groupby("optimizer")["best"].sum().to_dict() == {"gd": 1, "msam": 1, "sam": 1}
    assert found[found["optimizer"] == "gd"]["rho"].isna().all(), "it has none"
    panel = figure.prepared.panels[1]
    own = found[found["optimizer"] == "sam"].set_index(["lr", "rho"])
    assert own.loc[(LRS[2], RHOS[1]), "test accuracy"] == pytest.approx(panel.mean[2, 1])
    assert own["within_tolerance"].sum() == panel.good.sum()


def test_a_difference_map_has_a_row_a_cell_of_each_pair(data: FigureData) -> None:
    figure = figure_of(data, "difference", optimizers=["msam", "sam"])
    found = read(figure)
    assert set(zip(found["first"], found["second"], strict=True)) == {("msam", "sam")}
    assert len(found) == len(LRS) * len(RHOS)
    one = found[(found["lr"] == LRS[1]) & (found["rho"] == RHOS[2])].iloc[0]
    panel = figure.prepared.panels[0]
    assert (one["difference"], one["low"]) == pytest.approx((panel.mean[1, 2], panel.low[1, 2]))


@pytest.mark.parametrize("kind", ["profiles", "slices", "tuning"])
def test_a_figure_of_lines_has_a_row_a_point(data: FigureData, kind: str) -> None:
    figure = figure_of(data, kind)
    found = read(figure)
    lines = [line for panel in figure.prepared.panels for line in panel.lines]
    assert len(found) == sum(len(line.x) for line in lines)
    np.testing.assert_allclose(found["y"], np.concatenate([line.y for line in lines]))
    assert set(found["line"]) == {"gd", "sam", "msam"}
    assert found["x_title"].notna().all()


def test_sharpness_has_a_row_a_run() -> None:
    spec = Spec.from_mapping(small_spec(sharpness=["sam"]))
    found = read(Records(spec, tuple(records_by_key(spec, curved).values())).plot("sharpness"))
    assert len(found) == 20
    np.testing.assert_allclose(found["sharpness"], 2.0 - found["test accuracy"])


def test_trajectories_have_a_row_a_point_from_the_start_on() -> None:
    spec = Spec.from_mapping(landscape_spec())
    found = read(Records(spec, tuple(records_by_key(spec, trained).values())).plot("trajectories"))
    assert (found["theta_0"].iloc[0], found["theta_1"].iloc[0]) == (-1.5, 0.5)
    for _, run in found.groupby("configuration"):
        assert run["point"].tolist() == list(range(len(run)))
        assert run["loss"].iloc[-1] < run["loss"].iloc[0]


def test_a_label_is_no_formula() -> None:
    frame = frame_of({"=1+1": noisy_scores(1)["sam"]})
    found = figure_of(FigureData.of_frame(frame, ACCURACY), "heatmap").csv()
    assert "'=1+1" in found
