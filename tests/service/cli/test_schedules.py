"""Commands on schedules, and the client under them."""

import json
from pathlib import Path

import pytest
import yaml

from service.client import Client, ClientError, ConflictError, NotFoundError, ProblemError
from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import landscape_spec
from tests.service.store.samples import queue
from tests.service.store.scheduling import add_baseline, end_run

pytestmark = pytest.mark.slow


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(landscape_spec()), encoding="utf-8")
    return path


def test_the_life_of_a_schedule(cli: Cli, url: str, store: Store, database_url: str, spec: Path) -> None:
    added = cli("schedule", "add", "nightly", spec, "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
    (made,) = store.schedules()
    assert (added.code, added.out) == (0, f"{made.id}\n")
    assert "schedule nightly: 2 cells a run, the next " in added.err
    listed = cli("schedule", "ls", "-o", "csv").out
    assert listed.startswith(
        "name,cron,timezone,compared with,next,last,verdict,id\nnightly,0 3 * * *,Europe/Berlin,previous,"
    )

    started = cli("schedule", "run", "nightly")
    (run,) = store.scheduled_runs("nightly")
    assert (started.code, started.out) == (0, f"{run.job_id}\n")
    assert "there is nothing to compare it with yet" in started.err
    busy = cli("schedule", "run", "nightly")
    assert (busy.code, busy.out) == (2, "")
    assert f"run {run.id} of nightly has not ended" in busy.err
    end_run(database_url, run, verdict="same")
    assert f"it will be compared with job {run.job_id}" in cli("schedule", "run", made.id).err

    assert "not before it is resumed" in cli("schedule", "pause", "nightly").err
    assert "paused" in cli("schedule", "ls").out
    assert "the next 2" in cli("schedule", "resume", "nightly").err
    history = json.loads(cli("schedule", "history", "nightly", "-o", "json").out)
    assert [(one["state"], one["verdict"]) for one in history] == [("training", None), ("judged", "same")]
    assert history[0]["baseline"]["job_id"] == run.job_id
    assert len(cli("schedule", "history", "nightly", "-n", 1, "-o", "csv").out.splitlines()) == 2
    assert json.loads(cli("schedule", "ls", "-o", "json").out)[0]["last_run"]["id"] == history[0]["id"]

    assert cli("schedule", "rm", "nightly").code == 0
    gone = cli("schedule", "history", "nightly")
    assert (gone.code, gone.out) == (2, "")
    assert "there is no schedule 'nightly'" in gone.err


def test_what_is_no_schedule_is_said(cli: Cli, url: str, store: Store, spec: Path) -> None:
    for arguments, words in (
        (("--cron", "0 25 * * *"), "/body/cron: "),
        (("--cron", "@daily", "--timezone", "Mars/Olympus"), "/body/timezone: "),
        (("--cron", "@daily", "--baseline", "main"), "there is no baseline 'main'"),
        (("--cron", "@daily", "--baseline", "main", "--best-of", "3"), "runs are compared with one thing"),
        (("--cron", "@daily", "--measure", "nonsense"), "must be a measure that can be judged"),
    ):
        refused = cli("schedule", "add", "nightly", spec, *arguments)
        assert (refused.code, refused.out) == (2, ""), refused.err
        assert words in refused.err
    assert store.schedules() == []


def test_the_client_has_typed_answers(url: str, store: Store, database_url: str) -> None:
    add_baseline(database_url, "main", queue(store))
    with Client(url) as client:
        made = client.schedules.add(
            "nightly", "@daily", landscape_spec(), best_of=3, factor=2.0, measures=["grid_mean"], webhooks=[]
        )
        assert client.schedules.get("nightly") == client.schedules.get(made.id) == made
        assert (made.baseline["n"], made.thresholds["factor"], made.webhooks) == (3, 2.0, ())
        with pytest.raises(ConflictError, match="there is a schedule 'nightly'"):
            client.schedules.add("nightly", "@daily", landscape_spec())
        changed = client.schedules.change("nightly", cron="@weekly", baseline="main", measures=["best"])
        assert (changed.cron, changed.baseline["name"], changed.thresholds["measures"]) == ("@weekly", "main", ["best"])
        assert client.schedules.change("nightly", previous=True).baseline["policy"] == "previous"
        run = client.schedules.run("nightly")
        assert client.schedules.history_of("nightly", run.id) == run
        assert [one.id for one in client.schedules.history("nightly")] == [run.id]
        runs, points = client.schedules.history_with_change_points("nightly", 5)
        assert ([one.id for one in runs], points) == ([run.id], client.schedules.change_points("nightly"))
        frame = client.schedules.list().to_pandas()
        assert list(frame["compared with"]) == ["previous"]
        assert client.schedules.pause("nightly").next_due_at is None
        assert client.schedules.resume("nightly").next_due_at is not None
        client.schedules.remove("nightly")
        with pytest.raises(NotFoundError, match="there is no schedule"):
            client.schedules.get("nightly")
        with pytest.raises(ProblemError, match="/spec/name"):
            client.schedules.add("nightly", "@daily", {})
        with pytest.raises(ClientError, match="one thing"):
            client.schedules.add("nightly", "@daily", landscape_spec(), baseline="main", best_of=3)
