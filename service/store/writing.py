"""Writing records: inserted once, linked to the job that uses them, counted in the same transaction."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, Row, bindparam, func, select, update

from benchmark.records import Status
from service.store import checks
from service.store.entities import PlacedRecord, WantedCell
from service.store.errors import InvalidValueError
from service.store.jobs import RECORDS_LOCK
from service.store.leases import fence, lease
from service.store.part import IN_CHUNK, Part, chunks, insert_into, insert_rows
from service.store.rows import hyperparameters_of, record_values, shape_of
from service.store.tables import db_now, job, label, link, origin, record, tally

_Row = Row[*tuple[Any, ...]]

_LABELS = ("task", "optimizer")
RESULTS = tuple(str(status) for status in Status if status.is_result)

# statements of every write: to put one together takes longer than to execute it
_KEYS: BindParameter[str] = bindparam("keys", expanding=True)
_USED = (record.c.seq, record.c.config_key, record.c.fingerprint_seq, record.c.status, record.c.collapsed)
_OWN = (
    select(*_USED)
    # by its configurations: by the index of origins SQLite would walk through all that the attempt has written
    .where(record.c.config_key.in_(_KEYS), record.c.origin_seq + 0 == bindparam("origin_seq"))
    .order_by(record.c.seq)
)
_LINKS = (
    select(
        link.c.config_key,
        link.c.record_seq,
        (origin.c.job_id != job.c.id).label("reused"),
        record.c.fingerprint_seq,
        record.c.status,
        record.c.collapsed,
    )
    .join_from(link, record)
    .join(origin)
    .join(job, job.c.seq == link.c.job_seq)
    .where(link.c.job_seq == bindparam("job_seq"), link.c.config_key.in_(_KEYS))
)


class _Kind(NamedTuple):
    """What a link counts as."""

    fingerprint_seq: int
    status: str
    collapsed: bool
    reused: bool


class _Use(NamedTuple):
    """That a job uses a record for a cell under a pair of labels."""

    record_seq: int
    config_key: str
    label_seq: int
    kind: _Kind


class Writing(Part):
    """Writing and linking records as the owner of a job."""

    def register(
        self, settings: Mapping[str, Mapping[str, Any]], fingerprints: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Keep the documents behind the keys of settings and fingerprints; what is there stays as it is."""
        checked = [
            {key: checks.document(key, document) for key, document in part.items()} for part in (settings, fingerprints)
        ]
        with self._database.write() as connection:
            self._settings.add(connection, checked[0])
            self._fingerprints.add(connection, checked[1])

    def write_records(self, job_id: str, attempt: int, placed: Sequence[PlacedRecord], ttl_s: float) -> str | None:
        """Insert records, link the job to them, and keep the job for another `ttl_s` seconds, all or nothing.

        A repeated call changes nothing. A cell that has a result keeps it; one that failed or timed out moves to the
        new record.

        Args:
            job_id: the job that trained them.
            attempt: the caller's.
            placed: the records with their labels; settings and fingerprints were registered before.
            ttl_s: how long the lease lasts from now.

        Returns:
            What the job's owner is asked to do.

        Raises:
            LostLeaseError: if it was taken over, released or finished; nothing was written.
            InvalidValueError: if a value cannot be kept; nothing was written.
        """
        values = [record_values(item.record) for item in placed]
        shapes = dict(shape_of(item.record) for item in placed)
        shape_keys = [shape_of(item.record)[0] for item in placed]
        self._know_shapes(shapes)
        labels = self._labelled(placed)
        grown = {
            "revision": job.c.revision + 1,
            "first_record_at": func.coalesce(job.c.first_record_at, db_now()),
            "last_record_at": db_now(),
        }
        with self._database.write() as connection:
            owned = fence(connection, job_id, attempt, **lease(ttl_s), **(grown if placed else {}))
            origin_seq = self._origin(connection, job_id, attempt) if placed else 0
            fingerprints = self._fingerprints.seqs(connection, {item.record.fingerprint for item in placed})
            settings = self._settings.seqs(connection, {item.record.setting for item in placed})
            shape_seqs = self._shapes.seqs(connection, shapes.keys())
            for item, row, shape_key in zip(placed, values, shape_keys, strict=True):
                row["fingerprint_seq"] = _registered(fingerprints, "fingerprint", item.record.fingerprint)
                row["setting_seq"] = _registered(settings, "setting", item.record.setting)
                row["shape_seq"] = shape_seqs[shape_key]
                row["origin_seq"] = origin_seq
            for start in range(0, len(placed), IN_CHUNK):
                batch = placed[start : start + IN_CHUNK]
                rows = values[start : start + IN_CHUNK]
                _use(connection, owned.seq, _written(connection, origin_seq, batch, rows, labels))
            requested: str | None = owned.requested
        if placed:
            self._origins[job_id, attempt] = origin_seq
        return requested

    def link_reusable(self, job_id: str, attempt: int, wanted: Sequence[WantedCell], ttl_s: float) -> set[str]:
        """Link a job to the newest completed or diverged records of any job for the cells that it wants.

        A record has a curve if it was written with the names of its series, be they empty. The radius of a control
        counts as a part of its fingerprint: a record of another radius will not do. A completed record counts only if
        it has the metrics that the cell needs.

        Returns:
            The config_keys that were linked.

        Raises:
            LostLeaseError: if the job was taken over, released or finished.
        """
        linked: set[str] = set()
        labels = self._labelled(wanted)
        ordered = sorted(wanted, key=lambda cell: (*_needs(cell), cell.config_key))
        for (fingerprint, needs_curve), group in groupby(ordered, key=_needs):
            for cells in chunks(list(group), IN_CHUNK):
                with self._database.write() as connection:
                    self._database.lock(connection, RECORDS_LOCK, shared=True)
                    owned = fence(connection, job_id, attempt, **lease(ttl_s))
                    seq = self._fingerprints.seqs(connection, [fingerprint]).get(fingerprint)
                    if seq is None:
                        continue
                    found = self._reusable(connection, seq, cells, needs_curve=needs_curve)
                    uses = [
                        _use_of(row, labels[_labels(cell)], reused=row.job_id != job_id)
                        for cell in cells
                        if (row := found.get(cell.config_key))
                    ]
                    fresh = _use(connection, owned.seq, uses)
                    if fresh:
                        grown = update(job).where(job.c.seq == owned.seq).values(revision=job.c.revision + 1)
                        connection.execute(grown)
                    linked |= fresh
        return linked

    def _reusable(
        self,
        connection: Connection,
        fingerprint_seq: int,
        cells: Sequence[WantedCell],
        *,
        needs_curve: bool,
    ) -> dict[str, _Row]:
        """Return the newest record that would do for each cell, by config_key."""
        columns = (
            record.c.seq,
            record.c.config_key,
            record.c.fingerprint_seq,
            record.c.status,
            record.c.collapsed,
            record.c.shape_seq,
            record.c.hyperparameters,
            origin.c.job_id,
        )
        by_key = {cell.config_key: cell for cell in cells}
        fitting = [
            record.c.config_key.in_(by_key),
            record.c.fingerprint_seq == fingerprint_seq,
            record.c.status.in_(RESULTS),
        ]
        if needs_curve:
            fitting.append(record.c.curve.is_not(None))
        rows = connection.execute(select(*columns).join_from(record, origin).where(*fitting).order_by(record.c.seq))
        return {row.config_key: row for row in rows if self._serves(connection, row, by_key[row.config_key])}

    def _serves(self, connection: Connection, row: _Row, cell: WantedCell) -> bool:
        """Return whether a result has the metrics and the radius that a cell needs."""
        shape = self._shapes.document(connection, row.shape_seq)
        if cell.radius is not None and hyperparameters_of(row.hyperparameters, shape).get("radius") != cell.radius:
            return False
        return has_metrics(shape, row.status, cell.needs_metrics)

    def _origin(self, connection: Connection, job_id: str, attempt: int) -> int:
        """Return the number of an attempt that writes records."""
        known = self._origins.get((job_id, attempt))
        if known is None:
            identity = {"job_id": job_id, "attempt": attempt}
            connection.execute(insert_into(connection, origin).values(**identity).on_conflict_do_nothing())
            known = connection.execute(select(origin.c.seq).filter_by(**identity)).scalar_one()
        return known

    def _know_shapes(self, shapes: Mapping[str, Mapping[str, Any]]) -> None:
        """Insert shapes in a transaction of their own, so that what is remembered was committed."""
        if not self._shapes.has_seen(shapes.keys()):
            with self._database.write() as connection:
                self._shapes.add(connection, shapes)

    def _labelled(self, items: Iterable[PlacedRecord | WantedCell]) -> Mapping[tuple[str, str], int]:
        """Return the numbers of pairs of labels, inserted in a transaction of their own for the same reason."""
        unseen = {_labels(item) for item in items} - self._labels.keys()
        rows = [
            {name: checks.text(name, text, limit=checks.MAX_LABEL) for name, text in zip(_LABELS, pair, strict=True)}
            for pair in sorted(unseen)
        ]
        if rows:
            with self._database.write() as connection:
                connection.execute(insert_into(connection, label).on_conflict_do_nothing(), rows)
                seqs = [connection.execute(select(label.c.seq).filter_by(**row)).scalar_one() for row in rows]
            self._labels.update(zip(sorted(unseen), seqs, strict=True))
        return self._labels


def _registered(seqs: Mapping[str, int], what: str, key: str) -> int:
    if key not in seqs:
        raise InvalidValueError(f"the {what} {key} was not registered; nothing was written.")
    return seqs[key]


def _written(
    connection: Connection,
    origin_seq: int,
    placed: Sequence[PlacedRecord],
    values: Sequence[Mapping[str, Any]],
    labels: Mapping[tuple[str, str], int],
) -> list[_Use]:
    """Insert records of an attempt; return the uses of those that it has for these cells, also by an earlier call."""
    keys = {item.record.config_key for item in placed}
    statement, parameters = insert_rows(connection, record, values, clock="created_at")
    statement = statement.on_conflict_do_nothing()
    rows: dict[str, _Row] = {}
    if connection.dialect.name == "sqlite":  # which returns nothing of many rows at the speed at which it inserts them
        connection.execute(statement, parameters)
    else:  # a look-up would walk through all that the attempt has written, until the table is analysed
        rows = {row.config_key: row for row in connection.execute(statement.returning(*_USED), parameters)}
    unseen = keys - rows.keys()
    if unseen:
        found = connection.execute(_OWN, {"keys": list(unseen), "origin_seq": origin_seq})
        rows |= {row.config_key: row for row in found}
    lost = sorted(keys - rows.keys())
    if lost:
        raise InvalidValueError(f"the id of the record of {lost[0]} belongs to another record; nothing was written.")
    return [_use_of(rows[item.record.config_key], labels[_labels(item)], reused=False) for item in placed]


def has_metrics(shape: Mapping[str, Any], status: str, needed: Collection[str]) -> bool:
    """Return whether a record has the metrics that are needed: a diverged one has none and needs none."""
    return status != str(Status.COMPLETED) or set(needed) <= set(shape["metrics"])


def _needs(cell: WantedCell) -> tuple[str, bool]:
    return cell.fingerprint, cell.needs_curve


def _labels(item: PlacedRecord | WantedCell) -> tuple[str, str]:
    return item.task, item.optimizer


def _use_of(row: _Row, label_seq: int, *, reused: bool) -> _Use:
    kind = _Kind(row.fingerprint_seq, row.status, row.collapsed, reused)
    return _Use(row.seq, row.config_key, label_seq, kind)


def _use(connection: Connection, job_seq: int, uses: Sequence[_Use]) -> set[str]:
    """Link a job to records where the cell has no result yet, count that, and return the cells whose link is new."""
    before = _links(connection, job_seq, [use.config_key for use in uses])
    counted: Counter[_Kind] = Counter()
    rows = {}
    for use in uses:
        old = before.get(use.config_key)
        if use.config_key in rows or (old is not None and (old.status in RESULTS or old.record_seq == use.record_seq)):
            continue
        if old is not None:
            counted[_Kind(old.fingerprint_seq, old.status, old.collapsed, old.reused)] -= 1
        counted[use.kind] += 1
        rows[use.config_key] = {
            "job_seq": job_seq,
            "config_key": use.config_key,
            "record_seq": use.record_seq,
            "label_seq": use.label_seq,
        }
    if rows:
        statement, parameters = insert_rows(connection, link, list(rows.values()))
        moved = {name: statement.excluded[name] for name in ("record_seq", "label_seq")}
        index = ["job_seq", "config_key"]
        connection.execute(statement.on_conflict_do_update(index_elements=index, set_=moved), parameters)
        _count(connection, job_seq, counted)
    return set(rows)


def _links(connection: Connection, job_seq: int, keys: Sequence[str]) -> dict[str, _Row]:
    return {row.config_key: row for row in connection.execute(_LINKS, {"keys": keys, "job_seq": job_seq})}


def _count(connection: Connection, job_seq: int, counted: Counter[_Kind]) -> None:
    for kind, n in sorted(counted.items()):
        identity = {"job_seq": job_seq, **kind._asdict()}
        if n > 0:  # the CHECK looks at the inserted row even where the conflict makes it an update
            statement = insert_into(connection, tally)
            added = {"n": tally.c.n + statement.excluded.n}
            adding = statement.on_conflict_do_update(index_elements=list(identity), set_=added)
            connection.execute(adding, {**identity, "n": n})
        elif n < 0:
            connection.execute(update(tally).filter_by(**identity).values(n=tally.c.n + n))
