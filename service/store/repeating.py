"""Packs as they were trained: all records of each, whoever uses them."""

from collections.abc import Collection
from itertools import groupby

from benchmark.records import Record
from service.store.entities import TrainedPack
from service.store.part import IN_CHUNK, Part, chunks, known_form
from service.store.reading import plain_records
from service.store.rows import parts_of_rows, record_of
from service.store.tables import origin, record


class Repeating(Part):
    """Reading packs."""

    def records_of_packs(
        self, packs: Collection[TrainedPack], *, curves: bool = True
    ) -> dict[TrainedPack, list[Record]]:
        """Return the records of packs that are still there, in the order in which they were trained.

        Also those that no job uses any more, such as of a cell that timed out and was trained again. A pack without
        any record is left out.

        Args:
            packs: which ones.
            curves: whether the curves are read.
        """
        ordered = sorted(set(packs), key=lambda pack: (pack.job_id, pack.attempt, pack.pack))
        found: dict[TrainedPack, list[Record]] = {}
        for (job_id, attempt), group in groupby(ordered, key=lambda pack: (pack.job_id, pack.attempt)):
            theirs = origin.c.job_id == known_form(job_id), origin.c.attempt == attempt
            for some in chunks([pack.pack for pack in group], IN_CHUNK):
                statement = plain_records(curves=curves).where(*theirs, record.c.pack.in_(some))
                statement = statement.order_by(record.c.pack, record.c.pack_position, record.c.seq)
                with self._database.read() as connection:
                    rows = connection.execute(statement)
                    parts = parts_of_rows(rows, lambda seq: self._shapes.document(connection, seq))
                for one in parts:
                    found.setdefault(TrainedPack(job_id, attempt, one["pack"]), []).append(record_of(one))
        return found
