"""Records as files of any size: csv and parquet written a page at a time, into pieces that are sent as they come."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from benchmark import Spec
from benchmark.frame import frame_columns
from benchmark.robustness.rendering.escaping import csv_text
from service.store.exporting import Columns

ROW_GROUP = 50_000  # rows; of long curves a group ends earlier
MAX_CURVE_POINTS = 1_000_000
WHOLE = ("diverged_at_step", "steps", "gradient_evaluations")
ARROW_TYPES = {"str": pa.string(), "boolean": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
# beside the columns of a spec's data frame: which record it is, and why it failed
OF_A_RECORD = {"id": pa.string(), "fingerprint": pa.string(), "reused": pa.bool_(), "error": pa.string()}
CURVE = pa.map_(pa.string(), pa.list_(pa.float64()))


def export_schema(spec: Spec, *, curves: bool = False) -> pa.Schema:
    """Return the columns of a job's records with their types: the same for every page and every filter.

    Args:
        spec: of the job.
        curves: whether there is a column with the series of each record by name.
    """
    kinds = {name: pa.int64() if name in WHOLE else ARROW_TYPES[kind] for name, kind in frame_columns(spec).items()}
    return pa.schema({**kinds, **OF_A_RECORD, **({"curve": CURVE} if curves else {})})


def csv_pieces(pages: Iterable[Columns], schema: pa.Schema) -> Iterator[bytes]:
    """Yield csv: a header, then a line a record; text that a spreadsheet would take for a formula is marked as text."""
    outlet = _Outlet()
    with csv.CSVWriter(outlet, schema) as writer:
        yield outlet.taken()
        for page in pages:
            texts = {field.name for field in schema if field.type == pa.string()} & page.keys()
            writer.write_batch(_batch(page | {name: _harmless(page[name]) for name in texts}, schema))
            yield outlet.taken()


def parquet_pieces(pages: Iterable[Columns], schema: pa.Schema) -> Iterator[bytes]:
    """Yield parquet, which keeps types, and texts as they are; a group of rows is held in memory at once."""
    outlet = _Outlet()
    with parquet.ParquetWriter(outlet, schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        n_points = 0
        for page in pages:
            waiting.append(_batch(page, schema))
            n_points += sum(map(_n_points, page.get("curve", ())))
            if sum(batch.num_rows for batch in waiting) >= ROW_GROUP or n_points >= MAX_CURVE_POINTS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, n_points = [], 0
                yield outlet.taken()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    yield outlet.taken()


def _batch(page: Columns, schema: pa.Schema) -> pa.RecordBatch:
    n_rows = len(page["id"])
    return pa.record_batch([_array(page.get(field.name), field.type, n_rows) for field in schema], schema=schema)


def _array(values: NDArray[Any] | None, kind: pa.DataType, n_rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(n_rows, kind)
    if kind == CURVE:
        return pa.array([list(curve.items()) for curve in values], kind)
    if values.dtype != np.float64:
        return pa.array(values, kind)
    if kind == pa.bool_():
        return pa.array(values == 1.0, mask=np.isnan(values))
    return pa.array(values, from_pandas=True).cast(kind)


def _n_points(curve: Mapping[str, Sequence[float]]) -> int:
    return sum(map(len, curve.values()))


def _harmless(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column of texts that are no formulas; most of them stand in many rows."""
    texts = {value: csv_text(value) for value in set(values.tolist()) if value is not None}
    if not any(map(str.__ne__, texts, texts.values())):
        return values
    return np.array([texts.get(value, value) for value in values.tolist()], dtype=object)


class _Outlet(io.RawIOBase):
    """A file without a place: what is written waits until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
