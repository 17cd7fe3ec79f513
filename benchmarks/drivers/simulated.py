"""A driver whose workers are made up: records come at a rate that the job names, and it notes how far it falls behind.

`benchmarks.scale` has dispatchers start it: python -m benchmarks.drivers.simulated
"""

import itertools
import json
import sys
import threading
import time
from dataclasses import fields

from benchmark import Record
from benchmarks.store import FINGERPRINT, SETTING, USUAL, make_records
from service.jobs.child import DriverExit, Orders, end_with_parent, private_stdout
from service.jobs.sink import RecordSink
from service.store import Store

N_MADE = 1_000  # records that are made beforehand, and come again under other keys


def main() -> int:
    """Write a job's records as they are due, and print what was seen, as a line of JSON, into the job's log."""
    private_stdout()
    orders = Orders.read(sys.stdin)
    end_with_parent(orders.parent_pid)
    parts = [field.name for field in fields(Record) if field.name not in ("id", "config_key")]
    made = [
        {name: getattr(record, name) for name in parts} for record in make_records(N_MADE, USUAL, seed=orders.attempt)
    ]
    with Store.open(orders.database_url) as store:
        job = store.job(orders.job_id)
        keys = [f"{job.seq:08x}{number:024x}" for number in range(job.n_cells)]
        store.register({SETTING: {}}, {FINGERPRINT: {}})
        sink = RecordSink(
            store,
            job.id,
            orders.attempt,
            lease_s=orders.lease_s,
            labels=dict.fromkeys(keys, ("digits-mlp", "sam")),
            on_request=threading.Event().set,
            lost_lease_code=DriverExit.LOST_LEASE,
        )
        rate, size = job.spec["rate"], job.spec["report"]
        records = itertools.cycle(made)
        lags: list[float] = []
        started = time.monotonic()
        cpu = time.process_time()
        for start in range(0, job.n_cells, size):
            due = started + start / rate
            time.sleep(max(0.0, due - time.monotonic()))
            report = [Record(config_key=key, **next(records)) for key in keys[start : start + size]]
            sink.on_records(report)
            lags.append(time.monotonic() - due)
        sink.flush()
        told = {
            "elapsed_s": time.monotonic() - started,
            "cpu_s": time.process_time() - cpu,
            "worst_lag_s": max(lags),
            "last_lag_s": lags[-1],
        }
    print(json.dumps(told), file=sys.stderr)
    return DriverExit.DONE


if __name__ == "__main__":
    sys.exit(main())
