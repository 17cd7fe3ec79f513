"""Reading the records of a job by columns: for files with a row a record, however many there are."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, select

from benchmark.records import Status
from service.store.codec import unpack_curve
from service.store.decoding import unpack_columns
from service.store.part import Part, job_seq
from service.store.reading import page_of_links
from service.store.tables import fingerprint, label, link, origin, record

EXPORT_PAGE, CURVES_PAGE = 5_000, 200  # records in memory at once; curves are long
Columns = dict[str, list[Any]]

_PLAIN = (
    link.c.config_key,
    record.c.id,
    fingerprint.c.key.label("fingerprint"),
    label.c.task,
    label.c.optimizer,
    record.c.seed,
    record.c.status,
    record.c.collapsed,
    record.c.diverged_at_step,
    record.c.error,
    record.c.steps,
    record.c.gradient_evaluations,
    record.c.elapsed_s,
    record.c.amortised,
    record.c.grad_norm,
    record.c.delta_over_rho,
)
_PACKED = (record.c.shape_seq, record.c.hyperparameters, record.c.metrics)


class Exporting(Part):
    """Reading records by columns."""

    def iter_columns(
        self,
        job_id: str,
        status: Status | None = None,
        optimizer: str | None = None,
        task: str | None = None,
        *,
        curves: bool = False,
    ) -> Iterator[Columns]:
        """Yield the records that a job uses as lists by name, a page at a time, holding no transaction between pages.

        Names are those of the record's parts; every hyperparameter and every metric that a record of the page has is a
        column of its own, with None for a record without it. Pages follow each other by config_key: what is recorded
        meanwhile may be in them or not, and no cell is in them twice.

        Args:
            job_id: the job.
            status: only those that ended so.
            optimizer: only those of the optimizer with this label.
            task: only those of the task with this label.
            curves: whether `curve` is there too: series by name.

        Raises:
            NotFoundError: if there is no such job.
        """
        reused = (origin.c.job_id != job_id).label("reused")
        columns: list[ColumnElement[Any]] = [*_PLAIN, reused, *_PACKED, *([record.c.curve] if curves else [])]
        statement = select(*columns).join_from(link, record).join(label).join(fingerprint).join(origin)
        size = CURVES_PAGE if curves else EXPORT_PAGE
        after = None
        while True:
            with self._database.read() as connection:
                theirs = statement.where(link.c.job_seq == job_seq(connection, job_id))
                page = page_of_links(theirs, after, size, status, optimizer, task)
                rows = connection.execute(page).all()
                shapes = {seq: self._shapes.document(connection, seq) for seq in {row.shape_seq for row in rows}}
            if not rows:
                return
            yield _columns(rows, shapes)
            if len(rows) < size:
                return
            after = rows[-1].config_key


def _columns(rows: Sequence[Row[Any]], shapes: dict[int, Any]) -> Columns:
    """Return rows as columns; what is packed is unpacked into columns of its own."""
    read = dict(zip(rows[0]._fields, map(list, zip(*rows, strict=True)), strict=True))
    columns: Columns = {name: read[name] for name in (*(column.name for column in _PLAIN), "reused")}
    seqs, hyperparameters, metrics = (read[column.name] for column in _PACKED)
    for word in ("execution", "device"):
        words = {seq: shape[word] for seq, shape in shapes.items()}
        columns[word] = [words[seq] for seq in seqs]
    for wanted, shape in shapes.items():
        places = [place for place, seq in enumerate(seqs) if seq == wanted]
        scores = (*shape["metrics"], *shape.get("diagnostics", ()))
        for names, packed in ((shape["hyperparameters"], hyperparameters), (scores, metrics)):
            found = unpack_columns([packed[place] for place in places], len(names))
            for name, values in zip(names, found, strict=True):
                if len(shapes) == 1:
                    columns[name] = values
                    continue
                column = columns.setdefault(name, [None] * len(rows))
                for place, value in zip(places, values, strict=True):
                    column[place] = value
    if "curve" in read:
        columns["curve"] = [
            unpack_curve(curve, shapes[seq]["curve"]) for curve, seq in zip(read["curve"], seqs, strict=True)
        ]
    return columns
