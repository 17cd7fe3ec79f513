"""What a job will take, from what jobs took: timings of steps, seconds in records, and records that can be reused."""

import math
import statistics
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from benchmark.records import Status
from service.store.part import IN_CHUNK, Part, chunks, insert_into
from service.store.tables import db_now, fingerprint, record, setting, timing
from service.store.writing import RESULTS, has_metrics

if TYPE_CHECKING:
    from benchmark.choice import StepTiming
    from benchmark.spec import Setting

N_PACES = 200  # records from which the seconds of a gradient evaluation are taken
LOOK_BACK = 100_000  # records among which they are looked for


class Estimating(Part):
    """Looking ahead."""

    def timings(self, keys: Collection[str]) -> "dict[str, StepTiming]":
        """Return how long a step takes, by `benchmark.choice.timing_key`; keys that were not measured are left out."""
        from benchmark.choice import StepTiming  # loads torch, which the rest of the store does not need

        found = {}
        with self._database.read() as connection:
            for chunk in chunks(sorted(set(keys)), IN_CHUNK):
                for row in connection.execute(select(timing).where(timing.c.key.in_(chunk))):
                    found[row.key] = StepTiming(row.fused_s, row.sequential_s)
        return found

    def remember_timings(self, timings: "Mapping[str, StepTiming]") -> None:
        """Keep timings, in place of older ones of the same keys; one that is not finite is left out."""
        rows = [
            {"key": key, "fused_s": one.fused_s, "sequential_s": one.sequential_s}
            for key, one in sorted(timings.items())
            if math.isfinite(one.sequential_s) and (one.fused_s is None or math.isfinite(one.fused_s))
        ]
        if not rows:
            return
        with self._database.write() as connection:
            for row in rows:
                values = {**row, "measured_at": db_now()}
                statement = insert_into(connection, timing).values(**values)
                connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))

    def count_reusable(
        self, fingerprint_key: str, config_keys: Collection[str], needs_metrics: Collection[str] = ()
    ) -> int:
        """Return for how many cells there is a record that a new job would take over under this fingerprint.

        Args:
            fingerprint_key: under which it would train them.
            config_keys: of the cells.
            needs_metrics: metrics that a completed record must have.
        """
        found: set[str] = set()
        with self._database.read() as connection:
            seq = self._fingerprints.seqs(connection, [fingerprint_key]).get(fingerprint_key)
            for chunk in chunks(list(config_keys), IN_CHUNK) if seq is not None else ():
                fitting = (
                    record.c.config_key.in_(chunk),
                    record.c.fingerprint_seq == seq,
                    record.c.status.in_(RESULTS),
                    record.c.curve.is_not(None),
                )
                columns = (record.c.config_key, record.c.shape_seq, record.c.status)
                found.update(
                    row.config_key
                    for row in connection.execute(select(*columns).where(*fitting))
                    if has_metrics(self._shapes.document(connection, row.shape_seq), row.status, needs_metrics)
                )
        return len(found)

    def seconds_per_evaluation(self, wanted: "Setting", device: str, execution: str) -> float | None:
        """Return the median seconds of a gradient evaluation in the newest records like these; None without any.

        Args:
            wanted: the records are of its task with the same parameters, its rule, base, and size of a step.
            device: type of the device that trained them.
            execution: how they were trained.
        """
        with self._database.read() as connection:
            settings, makings = _settings_like(connection, wanted), _fingerprints_of(connection, device, execution)
            newest = connection.execute(select(func.max(record.c.seq))).scalar_one() or 0
            fitting = (
                record.c.seq > newest - LOOK_BACK,
                record.c.setting_seq.in_(settings),
                record.c.fingerprint_seq.in_(makings),
                record.c.status == str(Status.COMPLETED),
                record.c.gradient_evaluations > 0,
            )
            columns = (record.c.elapsed_s, record.c.gradient_evaluations)
            statement = select(*columns).where(*fitting).order_by(record.c.seq.desc()).limit(N_PACES)
            paces = [row.elapsed_s / row.gradient_evaluations for row in connection.execute(statement)]
        return statistics.median(paces) if paces else None


def _settings_like(connection: Connection, wanted: "Setting") -> list[int]:
    mine = _what_counts(wanted.to_dict())
    rows = connection.execute(select(setting.c.seq, setting.c.document))
    return [row.seq for row in rows if _what_counts(row.document) == mine]


def _what_counts(document: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what of a setting its pace depends on: not how long it is trained, and on what schedule."""
    from benchmark.choice import PACE  # whose torch the setting that is wanted has loaded

    budget = document.get("budget", {})
    return document.get("task"), document.get("optimizer"), *(budget.get(key) for key in sorted(PACE))


def _fingerprints_of(connection: Connection, device: str, execution: str) -> list[int]:
    rows = connection.execute(select(fingerprint.c.seq, fingerprint.c.document))
    asked = {"device": device, "execution": execution}
    return [row.seq for row in rows if asked.items() <= row.document.items()]
