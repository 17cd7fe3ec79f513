"""A driver that trains nothing: the job's name says how it behaves. It lets supervision be tested without Ray."""

import os
import signal
import subprocess
import sys
import time

from service.jobs.child import DRAIN, DriverExit, Orders, end_with_parent, private_stdout
from service.store import Store
from tests.service.filling import FINGERPRINT, completed, failed, records_of


def main() -> int:
    words = private_stdout()
    orders = Orders.read(sys.stdin)
    end_with_parent(orders.parent_pid)
    with Store.open(orders.database_url) as store:
        job = store.job(orders.job_id)
        done = store.done_keys(job.id) | store.failed_keys(job.id)
        outcome = failed if job.name == "fail" and job.attempt == 1 else completed
        placed = [one for one in records_of(job, outcome) if one.record.config_key not in done]
        store.register({one.record.setting: {"made": "up"} for one in placed}, {FINGERPRINT: {"made": "up"}})

        def write(start: int, stop: int) -> None:
            if placed[start:stop]:
                store.write_records(job.id, orders.attempt, placed[start:stop], orders.lease_s)

        if job.name == "hang":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            write(0, 5)
            time.sleep(600)
        if job.name == "environment":
            words.write("cannot start a local Ray: no luck")
            words.close()
            return DriverExit.ENVIRONMENT
        if job.name == "hopeless":
            words.write("digits-mlp with sam must be one that can be trained fused")
            words.close()
            return DriverExit.HOPELESS
        if job.name == "no data" and job.crashes == 0 and job.attempt == 1:
            words.write("the emoji must be in /data/emoji, but they have not been built. Run `rhobust build emoji`.")
            words.close()
            return DriverExit.NO_DATA
        if job.name == "crash" or (job.name == "crash once" and job.attempt == 1):
            write(0, 5)
            os.kill(os.getpid(), signal.SIGKILL)
        if job.name == "drain" and job.attempt == 1:
            write(0, 5)
            assert sys.stdin.readline().strip() == DRAIN
            write(5, 7)
            return DriverExit.DONE
        write(0, len(placed))
    return DriverExit.DONE


if __name__ == "__main__":
    sys.exit(main())
