"""A team's optimizer is made worse between two nights: alarm, webhook and exit code follow, by real processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from service.client.schedules import ScheduledRun
from tests.benchmark.packages import write_rule
from tests.service.processes import environment, rhobust, server, until
from tests.service.webhooks.receivers import Receiver, receiving, status

pytestmark = [pytest.mark.slow, pytest.mark.long]
RUN_S = 240.0
SPEC: dict[str, Any] = {
    "name": "nightly",
    "tasks": [{"name": "digits-mlp", "params": {"hidden": 8}}],
    "budget": {"epochs": 6},
    "optimizers": [{"name": "turned", "space": {"rho": {"values": [0.05, 0.1]}}}],
    "space": {"lr": {"values": [0.3, 1.0]}},
    "seeds": {"count": 6},
    "resources": {"pack": "sequential"},
}


def run_now(client: Client) -> ScheduledRun:
    """Run the schedule, and return the run when it has been judged."""
    run_id = client.schedules.run("nightly").id
    until(lambda: client.schedules.history_of("nightly", run_id).state != "training", "the run is judged", RUN_S)
    return client.schedules.history_of("nightly", run_id)


def events(receiver: Receiver) -> list[str]:
    return [json.loads(message.body)["type"] for message in receiver.messages]


def test_an_optimizer_that_is_made_worse_between_two_runs_raises_an_alarm(tmp_path: Path) -> None:
    site, data_dir = tmp_path / "site", tmp_path / "data"
    write_rule(site)
    variables = {"PYTHONPATH": str(site), "RHOBUST_PLUGINS": "turned-rule"}
    with (
        receiving(status(200)) as receiver,
        server(data_dir, **variables, RHOBUST_WEBHOOK_ALLOW=receiver.origin) as url,
        Client(url) as client,
    ):
        client.webhooks.add(receiver.origin, events=["alert.opened", "alert.closed", "schedule.run_failed"])
        client.schedules.add("nightly", "0 3 29 2 *", SPEC)
        before = run_now(client)
        assert (before.state, before.verdict) == ("judged", None), before.reason
        assert list(client.alerts.list()) == []

        write_rule(site, factor=1000.0, normalised=False)  # somebody forgot to take the norm out
        after = run_now(client)
        assert (after.state, after.verdict) == ("judged", "regressed"), after.reason
        (alert,) = client.alerts.list(state="open", schedule="nightly")
        assert (alert.task, alert.optimizer, alert.first_run_id) == ("digits-mlp", "turned", after.id)
        assert "grid_mean" in {measure.name for measure in alert.measures}
        until(lambda: len(receiver.messages) == 1, "the receiver hears of it")
        told = json.loads(receiver.messages[0].body)
        assert (told["type"], told["data"]["alert"]["id"]) == ("alert.opened", alert.id)
        now, then = told["data"]["run"]["made_by"], before.made_by or {}
        differs = {name for name in now if name != "fingerprints" and now[name] != then[name]}
        assert differs == {"plug-in turned-rule"}, "what was changed is named"

        env = environment(data_dir, RHOBUST_URL=url, **variables)
        gate = rhobust("compare", str(after.job_id), "--baseline", str(before.job_id), "-o", "md", env=env)
        assert gate.returncode == 1, gate.stderr
        assert "turned" in gate.stdout
        assert rhobust("compare", str(before.job_id), "--baseline", str(before.job_id), env=env).returncode == 0
        listed = rhobust("alerts", "ls", env=env)
        assert alert.id in listed.stdout, listed.stderr

        write_rule(site)
        healed = run_now(client)
        assert (healed.verdict, healed.baseline.job_id) == ("same", before.job_id), healed.reason
        assert client.alerts.get(alert.id).state == "closed"
        until(lambda: len(receiver.messages) == 2, "the receiver hears that it is over")
        assert events(receiver) == ["alert.opened", "alert.closed"]
