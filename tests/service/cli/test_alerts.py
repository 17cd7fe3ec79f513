"""Alerts by command."""

import json

from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import completed
from tests.service.schedules.test_judging import judged_each, worse


def test_alerts_that_last_are_listed_and_acknowledged(cli: Cli, url: str, store: Store) -> None:
    judged_each(store, completed, worse, completed, worse)
    (last, over) = store.alerts()
    listed = cli("alerts", "ls")
    assert listed.code == 0, listed.err
    assert [word in listed.out for word in (last.id, "open", "nightly", "digits-mlp", "sam", "grid_mean")] == [True] * 6
    assert over.id not in listed.out
    done = cli("alerts", "ack", last.id, "--note", "a trade for speed")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"Alert {last.id} on sam (digits-mlp) is acknowledged.\n"
    found = json.loads(cli("alerts", "ls", "--all", "--schedule", "nightly", "-o", "json").out)
    assert [(one["id"], one["state"], one["note"]) for one in found] == [
        (last.id, "acknowledged", "a trade for speed"),
        (over.id, "closed", None),
    ]
    assert json.loads(cli("alerts", "ls", "--schedule", "weekly", "-o", "json").out) == []
    refused = cli("alerts", "ack", over.id)
    assert refused.code == 2
    assert "only an alert that lasts can be acknowledged" in refused.err
