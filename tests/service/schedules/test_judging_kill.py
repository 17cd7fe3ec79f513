"""A judge or a server that is killed between a verdict and its delivery loses nothing and decides nothing twice."""

import json
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from service.schedules.judging import judge_ended_runs
from service.store import DeliveryState, NewWebhook, RunState, Store
from service.webhooks.signing import new_secret
from tests.service.processes import answers, environment, free_port, running, until
from tests.service.schedules.test_judging import EVENTS, judged, schedule, trained, worse
from tests.service.webhooks.receivers import Message, receiving, status

pytestmark = pytest.mark.slow
JUDGE = """
import os, signal, sys
from service.schedules.judging import judge_ended_runs
from service.store import Store, judging

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "before the commit":
    judging.post = die
else:
    settle = Store.settle_run
    Store.settle_run = lambda *given: (settle(*given), die())
with Store.open(sys.argv[1]) as store:
    judge_ended_runs(store)
"""


@pytest.mark.parametrize("when", ["before the commit", "after the commit"])
def test_a_judge_that_is_killed_has_done_all_or_nothing(database_url: str, store: Store, when: str) -> None:
    schedule(store)
    webhook, _ = store.create_webhook(NewWebhook(url="https://hooks.example.com", secret=new_secret(), events=EVENTS))
    judged(store)
    run = trained(store, worse)
    killed = subprocess.run([sys.executable, "-c", JUDGE, database_url, when], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    is_done = when == "after the commit"
    assert store.scheduled_run("nightly", run.id).state is (RunState.JUDGED if is_done else RunState.TRAINING)
    assert len(store.alerts()) == len(store.deliveries(webhook.id)) == int(is_done)
    assert judge_ended_runs(store) is not is_done
    assert store.scheduled_run("nightly", run.id).verdict == "regressed"
    assert len(store.alerts()) == 1
    assert [json.loads(one.body)["type"] for one in store.deliveries(webhook.id)] == ["alert.opened"]


def _keeps_waiting(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.rfile.read(1)  # until the sender is gone


@pytest.mark.long
@pytest.mark.parametrize("backend", ["sqlite"])  # what becomes of a lease is tested on both databases
def test_a_server_that_is_killed_while_it_tells_of_an_alert_tells_of_it_again(
    own_database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    url, serve = f"http://127.0.0.1:{port}", ("serve", "--port", str(port), "--no-dispatcher")
    with Store.open(own_database_url) as store, receiving(_keeps_waiting, status(200)) as receiver:
        schedule(store)
        webhook, _ = store.create_webhook(NewWebhook(url=receiver.origin, secret=new_secret(), events=EVENTS))
        judged(store)
        run = trained(store, worse)
        env = environment(
            tmp_path / "data", RHOBUST_DATABASE_URL=own_database_url, RHOBUST_WEBHOOK_ALLOW=receiver.origin
        )
        with running(*serve, env=env, log=tmp_path / "first.log") as first:
            until(lambda: len(receiver.messages) == 1, "the server has judged the run, and tells of it")
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert store.scheduled_run("nightly", run.id).verdict == "regressed"
        assert [one.state for one in store.deliveries(webhook.id)] == [DeliveryState.PENDING]
        with running(*serve, env=env, log=tmp_path / "second.log"):
            settled = DeliveryState.DELIVERED
            until(lambda: store.deliveries(webhook.id)[0].state is settled, "the second server tells of it")
            until(lambda: answers(url), "it is ready")
        (delivery,) = store.deliveries(webhook.id)
        (alert,) = store.alerts()
    lost, repeated = receiver.messages
    assert lost.headers["webhook-id"] == repeated.headers["webhook-id"] == delivery.id
    assert lost.body == repeated.body
    told = json.loads(repeated.body)
    assert (told["type"], told["data"]["alert"]["id"], told["data"]["run"]["id"]) == ("alert.opened", alert.id, run.id)
