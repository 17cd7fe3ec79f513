"""The kinds of figures by name, and the figure that a notebook shows and a file keeps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import Records, Spec, TableError
from benchmark.figures import FigureData, figure_kinds, figure_of
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores
from tests.service.filling import completed, curved, landscape_spec, records_by_key, small_spec, trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data() -> FigureData:
    return FigureData.of_frame(frame_of(noisy_scores(2)), ACCURACY)


def test_names_are_unique_and_described() -> None:
    kinds = figure_kinds()
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert all(kind.description.endswith(".") for kind in kinds)


@pytest.mark.parametrize("kind", [kind.name for kind in figure_kinds()])
def test_every_kind_is_drawn_of_records(kind: str) -> None:
    document, outcome_of = {
        "trajectories": (landscape_spec(), trained),
        "sharpness": (small_spec(sharpness=["sam"]), curved),
    }.get(kind, (small_spec(), completed))
    spec = Spec.from_mapping(document)
    records = records_by_key(spec, outcome_of)
    figure = Records(spec, tuple(records.values())).plot(kind)
    assert figure.image("png", dpi=40).startswith(b"\x89PNG")
    assert set(figure.plotly()) == {"data", "layout"}
    assert "<svg" in figure._repr_svg_()
    assert len(figure.csv().splitlines()) == len(figure.to_pandas()) + 1 > 1


def test_a_figure_is_saved_by_the_ending_of_the_file(data: FigureData, tmp_path: Path) -> None:
    figure = figure_of(data, "heatmap")
    for ending, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        figure.save(tmp_path / f"a.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes().startswith(start)
    figure.save(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv"), figure.to_pandas(), check_dtype=False)
    with pytest.raises(TableError, match=r"must end in .svg, .png, .pdf, .csv, but got 'a.gif'"):
        figure.save(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "heatmpa"}, "unknown figure 'heatmpa'; did you mean 'heatmap'"),
        ({"name": "heatmap", "task": "digit"}, "unknown task 'digit'; did you mean 'digits'"),
        ({"name": "heatmap", "optimizers": ["smam"]}, "unknown optimizer 'smam'; did you mean"),
        ({"name": "trajectories"}, "trajectories need the records of a spec"),
        ({"name": "curves"}, "learning curves need records with their curves"),
    ],
)
def test_what_there_is_not_is_said(data: FigureData, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        figure_of(data, **arguments)  # type: ignore[arg-type]  # one table of cases for arguments of several types


def test_some_optimizers_keep_the_reference_of_all(data: FigureData) -> None:
    whole, some = figure_of(data, "heatmap").prepared, figure_of(data, "heatmap", optimizers=["sam"]).prepared
    assert [panel.optimizer for panel in some.panels] == ["sam"]
    assert some.y_ref == whole.y_ref
    np.testing.assert_array_equal(some.panels[0].good, whole.panels[1].good)


def test_the_first_task_is_drawn_unless_another_is_named() -> None:
    tasks = [{"name": "digits-mlp", "label": label} for label in ("one", "two")]
    spec = Spec.from_mapping(small_spec(tasks=[tasks[0], tasks[1] | {"params": {"hidden": 8}}]))
    records = Records(spec, tuple(records_by_key(spec).values()))
    assert records.plot("heatmap").prepared.task == "one"
    assert records.plot("heatmap", task="two").prepared.task == "two"
    assert len(records.plot("profiles").prepared.panels) == 2
    assert len(records.plot("profiles", task="two").prepared.panels) == 1
