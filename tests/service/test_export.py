"""Files of records: how much is held while they are written."""

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from benchmark import Spec
from service import export
from service.export import csv_pieces, export_schema, parquet_pieces
from service.store.exporting import Columns
from tests.service.filling import small_spec

N_ROWS = 10


def texts(*values: str | None) -> NDArray[np.object_]:
    return np.array(values, dtype=object)


def pages_of(n_pages: int, seen: list[int], n_points: int = 0) -> Iterator[Columns]:
    for page in range(n_pages):
        seen.append(page)
        columns: Columns = {
            "id": texts(*(f"{page}-{row}" for row in range(N_ROWS))),
            "seed": np.arange(N_ROWS),
            "lr": np.full(N_ROWS, 0.1),
        }
        if n_points:
            columns["curve"] = np.array([{"step": (1.0,) * n_points}] * N_ROWS)
        yield columns


@pytest.fixture
def schema() -> pa.Schema:
    return export_schema(Spec.from_mapping(small_spec()))


def test_csv_leaves_page_by_page(schema: pa.Schema) -> None:
    seen: list[int] = []
    pieces = csv_pieces(pages_of(3, seen), schema)
    assert b"config_key" in next(pieces)
    assert seen == []
    for n_pages in (1, 2, 3):
        assert next(pieces).count(b"\n") == N_ROWS
        assert len(seen) == n_pages


def test_parquet_leaves_by_groups_of_rows(schema: pa.Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROW_GROUP", 2 * N_ROWS)
    seen: list[int] = []
    pieces = parquet_pieces(pages_of(5, seen), schema)
    written = next(pieces)
    assert len(seen) == 2
    frame = pd.read_parquet(io.BytesIO(b"".join([written, *pieces])))
    assert list(frame["id"]) == [f"{page}-{row}" for page in range(5) for row in range(N_ROWS)]
    assert frame["rho"].isna().all()


def test_long_curves_end_a_group_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_CURVE_POINTS", 100 * N_ROWS)
    seen: list[int] = []
    next(parquet_pieces(pages_of(5, seen, 100), export_schema(Spec.from_mapping(small_spec()), curves=True)))
    assert len(seen) == 1


def test_every_kind_of_number_has_its_type_and_its_gaps(schema: pa.Schema) -> None:
    page: Columns = {
        "id": texts("a", "b", "c"),
        "lr": np.array([1.0, np.inf, np.nan]),
        "nesterov": np.array([1.0, 0.0, np.nan]),
        "diverged_at_step": np.array([7.0, np.nan, 2.0**31 - 1]),
        "collapsed": np.array([True, False, True]),
    }
    frame = pd.read_parquet(io.BytesIO(b"".join(parquet_pieces([page], schema))))
    assert frame["lr"].tolist()[:2] == [1.0, np.inf]
    assert frame["lr"].isna().tolist() == [False, False, True]
    assert frame["nesterov"].tolist() == [True, False, None]
    assert frame["diverged_at_step"].tolist()[::2] == [7, 2**31 - 1]
    assert frame["collapsed"].tolist() == [True, False, True]
    lines = b"".join(csv_pieces([page], schema)).decode().splitlines()
    fields = dict(zip(lines[0].replace('"', "").split(","), lines[1].replace('"', "").split(","), strict=True))
    assert (fields["diverged_at_step"], fields["nesterov"], fields["rho"]) == ("7", "true", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\0"])
def test_text_that_a_spreadsheet_would_run_is_marked_in_csv(schema: pa.Schema, start: str) -> None:
    said = texts(f"{start}1", "a=1", None)
    page: Columns = {"id": texts("a", "b", "c"), "task": said, "error": said, "lr": np.array([-1.0, 2.0, np.nan])}
    text = b"".join(csv_pieces([page], schema)).decode()
    frame = pd.read_csv(io.StringIO(text, newline=""))
    for name in ("task", "error"):
        assert frame[name].tolist()[:2] == [f"'{start}1", "a=1"]
    assert frame["lr"].tolist()[:2] == [-1.0, 2.0], "numbers stay numbers"
    kept = pd.read_parquet(io.BytesIO(b"".join(parquet_pieces([page], schema))))
    assert kept["task"].tolist()[:2] == said.tolist()[:2]
