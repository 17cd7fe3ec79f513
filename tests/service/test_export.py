"""Files of records: how much is held while they are written."""

import io
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pytest

from benchmark import Spec
from service import export
from service.export import csv_pieces, export_schema, parquet_pieces
from service.store.exporting import Columns
from tests.service.filling import small_spec

N_ROWS = 10


def pages_of(n_pages: int, seen: list[int], n_points: int = 0) -> Iterator[Columns]:
    for page in range(n_pages):
        seen.append(page)
        columns: Columns = {
            "id": [f"{page}-{row}" for row in range(N_ROWS)],
            "seed": list(range(N_ROWS)),
            "lr": [0.1] * N_ROWS,
        }
        if n_points:
            columns["curve"] = [{"step": (1.0,) * n_points}] * N_ROWS
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


def test_whole_numbers_and_truth_values_stand_among_fractions(schema: pa.Schema) -> None:
    page: Columns = {"id": ["a", "b", "c", "d"], "lr": [1, True, 0.5, None], "nesterov": [True, False, None, True]}
    frame = pd.read_parquet(io.BytesIO(b"".join(parquet_pieces([page], schema))))
    assert frame["lr"].tolist()[:3] == [1.0, 1.0, 0.5]
    assert frame["lr"].isna().tolist() == [False, False, False, True]
    assert frame["nesterov"].tolist() == [True, False, None, True]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\0"])
def test_text_that_a_spreadsheet_would_run_is_marked_in_csv(schema: pa.Schema, start: str) -> None:
    texts, numbers = [f"{start}1", "a=1", None], [-1.0, 2.0, None]
    page: Columns = {"id": ["a", "b", "c"], "task": texts, "error": texts, "lr": numbers}
    text = b"".join(csv_pieces([page], schema)).decode()
    frame = pd.read_csv(io.StringIO(text, newline=""))
    for name in ("task", "error"):
        assert frame[name].tolist()[:2] == [f"'{start}1", "a=1"]
    assert frame["lr"].tolist()[:2] == [-1.0, 2.0], "numbers stay numbers"
    kept = pd.read_parquet(io.BytesIO(b"".join(parquet_pieces([page], schema))))
    assert kept["task"].tolist()[:2] == texts[:2]
