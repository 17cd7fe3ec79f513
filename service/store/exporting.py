"""Reading the records of a job by columns: for files and tables of all of them, however many there are."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, select, type_coerce
from sqlalchemy.types import SmallInteger

from service.store.codec import unpack_curve
from service.store.decoding import unpack_arrays
from service.store.entities import EVERY, RecordFilter
from service.store.part import Part, job_seq
from service.store.reading import asked_of_links, page_of_links
from service.store.tables import STATUSES, fingerprint, label, link, origin, record, setting

EXPORT_PAGE, CURVES_PAGE = 5_000, 200  # records in memory at once; curves are long
Columns = dict[str, NDArray[Any]]

_TEXTS = (link.c.config_key, record.c.id, record.c.error)
_NUMBERS = (
    record.c.diverged_at_step,
    record.c.steps,
    record.c.gradient_evaluations,
    record.c.elapsed_s,
    record.c.grad_norm,
    record.c.delta_over_rho,
)
_FLAGS = (record.c.collapsed, record.c.amortised)
_CODES = (
    link.c.label_seq,
    record.c.fingerprint_seq,
    record.c.setting_seq,
    record.c.origin_seq,
    record.c.shape_seq,
    record.c.seed,
    type_coerce(record.c.status, SmallInteger).label("status"),
)
_PACKED = (record.c.hyperparameters, record.c.metrics)


class Exporting(Part):
    """Reading records by columns."""

    def iter_columns(self, job_id: str, which: RecordFilter = EVERY, *, curves: bool = False) -> Iterator[Columns]:
        """Yield the records that a job uses as arrays by name, a page at a time, holding no transaction between pages.

        Names are those of the record's parts; every hyperparameter and every metric that a record of the page has is a
        column of its own. Numbers that may be missing are floating, with NaN for none, and so are hyperparameters,
        truth values among them; texts are objects, with None for none. Pages follow each other by config_key: what is
        recorded meanwhile may be in them or not, and no cell is in them twice.

        Args:
            job_id: the job.
            which: of all that there are.
            curves: whether `curve` is there too: series by name.

        Raises:
            NotFoundError: if there is no such job.
        """
        size = CURVES_PAGE if curves else EXPORT_PAGE
        words = _Words(job_id, self._shapes.document)
        after = None
        while True:
            asked = asked_of_links(after, size, which)
            with self._database.read() as connection:
                values = {"job_seq": job_seq(connection, job_id), **asked}
                rows = connection.execute(_page(frozenset(asked), curves=curves), values).all()
                page = _columns(rows, connection, words) if rows else None
            if page is None:
                return
            yield page
            if len(rows) < size:
                return
            after = rows[-1].config_key


@functools.cache
def _page(asked: frozenset[str], *, curves: bool) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [*_TEXTS, *_NUMBERS, *_FLAGS, *_CODES, *_PACKED]
    columns += [record.c.curve] if curves else []
    return page_of_links(select(*columns).join_from(link, record), asked)


class _Words:
    """What small numbers stand for, remembered for one file: it never changes."""

    def __init__(self, job_id: str, shape_of: Callable[[Connection, int], Mapping[str, Any]]) -> None:
        self._job_id = job_id
        self._shape_of = shape_of
        self._known: dict[str, dict[int, Any]] = {}

    def fingerprints(self, connection: Connection, seqs: NDArray[Any]) -> NDArray[Any]:
        return self._taken(connection, fingerprint, "key", seqs)

    def settings(self, connection: Connection, seqs: NDArray[Any]) -> NDArray[Any]:
        return self._taken(connection, setting, "key", seqs)

    def labels(self, connection: Connection, name: str, seqs: NDArray[Any]) -> NDArray[Any]:
        return self._taken(connection, label, name, seqs)

    def is_reused(self, connection: Connection, seqs: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(self._taken(connection, origin, "job_id", seqs) != self._job_id)

    def shapes(self, connection: Connection, seqs: NDArray[Any]) -> dict[int, Mapping[str, Any]]:
        return {seq: self._shape_of(connection, seq) for seq in np.unique(seqs).tolist()}

    def _taken(self, connection: Connection, table: Table, name: str, seqs: NDArray[Any]) -> NDArray[Any]:
        """Return a column of a table with few rows at each of many numbers."""
        known = self._known.setdefault(f"{table.name}.{name}", {})
        found, places = np.unique(seqs, return_inverse=True)
        unseen = [seq for seq in found.tolist() if seq not in known]
        if unseen:
            rows = connection.execute(select(table.c.seq, table.c[name]).where(table.c.seq.in_(unseen)))
            known.update((row[0], row[1]) for row in rows)
        return _objects([known[seq] for seq in found.tolist()])[places]


def _columns(rows: Sequence[Row[Any]], connection: Connection, words: _Words) -> Columns:
    """Return rows as columns; what is packed is unpacked into columns of its own."""
    read = dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))
    columns: Columns = {column.name: _objects(read[column.name]) for column in _TEXTS}
    columns |= {column.name: np.array(read[column.name], dtype=np.float64) for column in _NUMBERS}
    columns |= {column.name: np.array(read[column.name], dtype=np.bool_) for column in _FLAGS}
    codes = {column.name: np.array(read[column.name], dtype=np.int64) for column in _CODES}
    columns["seed"] = codes["seed"]
    columns["status"] = _STATUSES[codes["status"]]
    columns["fingerprint"] = words.fingerprints(connection, codes["fingerprint_seq"])
    columns["setting"] = words.settings(connection, codes["setting_seq"])
    columns["reused"] = words.is_reused(connection, codes["origin_seq"])
    for name in ("task", "optimizer"):
        columns[name] = words.labels(connection, name, codes["label_seq"])
    shapes = words.shapes(connection, codes["shape_seq"])
    found, places = np.unique(codes["shape_seq"], return_inverse=True)
    for name in ("execution", "device"):
        columns[name] = _objects([shapes[seq][name] for seq in found.tolist()])[places]
    for wanted, shape in shapes.items():
        places = np.flatnonzero(codes["shape_seq"] == wanted)
        scores = (*shape["metrics"], *shape.get("diagnostics", ()))
        for names, packed in ((shape["hyperparameters"], read["hyperparameters"]), (scores, read["metrics"])):
            own = packed if len(shapes) == 1 else [packed[place] for place in places.tolist()]
            for name, values in zip(names, unpack_arrays(own, len(names)), strict=True):
                columns.setdefault(name, np.full(len(rows), np.nan))[places] = values
    if "curve" in read:
        series = zip(read["curve"], codes["shape_seq"].tolist(), strict=True)
        columns["curve"] = _objects([unpack_curve(curve, shapes[seq]["curve"]) for curve, seq in series])
    return columns


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """Return an array of objects, whatever they look like."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


_STATUSES = _objects([STATUSES.get(code) for code in range(max(STATUSES) + 1)])
