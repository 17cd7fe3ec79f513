import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.states import JobState
from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import curved, failed, landscape_spec, mixed, run_made_up, small_spec, submit, trained
from tests.service.processes import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(small_spec(tags=["nightly"])))
    return path


def test_submit_prints_the_id_alone(cli: Cli, url: str, store: Store, spec: Path) -> None:
    result = cli("submit", spec)
    (job,) = store.jobs()
    assert (result.code, result.out) == (0, f"{job.id}\n")
    assert f"{url}/jobs/{job.id}" in result.err


def test_submit_and_watch_print_the_table_or_say_why_not(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store))
    watched = cli("watch", job.id)
    assert watched.code == 0
    assert "msam" in watched.out
    assert "20 of 20 cells" in watched.err
    bad = submit(store)
    run_made_up(store, bad, failed, state=None)
    store.finish(bad.id, 1, JobState.FAILED, error="20 of 20 cells failed")
    watched = cli("watch", bad.id)
    assert (watched.code, watched.out) == (3, "")
    assert "20 of 20 cells failed" in watched.err


def test_table_in_a_view(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store))
    result = cli("table", job.id, "--view", "equal_gradient_evaluations")
    assert result.code == 0
    assert "of 16 steps: gd 16, sam 5, msam 5" in " ".join(result.out.split())
    refused = cli("table", job.id, "--view", "equal_seconds")
    assert (refused.code, refused.out) == (2, "")
    assert "none is known of gd on digits-mlp" in " ".join(refused.err.split())
    assert cli("table", job.id, "--view", "equal_joy").code == 2
    several = cli("table", job.id, job.id, "--view", "equal_steps")
    assert (several.code, "--view is for one job" in several.err) == (2, True)


@pytest.mark.parametrize("output", ["table", "json", "csv", "md", "tex"])
def test_table_in_every_form(cli: Cli, url: str, store: Store, output: str) -> None:
    job = run_made_up(store, submit(store))
    result = cli("table", job.id, "-o", output)
    assert (result.code, result.err) == (0, "")
    if output == "json":
        assert {row["optimizer"] for row in json.loads(result.out)["rows"]} == {"gd", "sam", "msam"}
    elif output == "csv":
        assert {row["optimizer"] for row in csv.DictReader(io.StringIO(result.out))} == {"gd", "sam", "msam"}
    else:
        assert "msam" in result.out


def test_a_table_of_several_jobs(cli: Cli, url: str, store: Store) -> None:
    jobs = [
        run_made_up(store, submit(store, small_spec(name=name, optimizers=[{"name": name, "fixed": {"rho": 0.1}}])))
        for name in ("sam", "msam")
    ]
    result = cli("table", *(job.id for job in jobs), "-o", "json")
    table = json.loads(result.out)
    assert (result.code, [row["optimizer"] for row in table["rows"]]) == (0, ["gd", "sam", "msam"])
    other = run_made_up(store, submit(store, small_spec(budget={"epochs": 2})))
    refused = cli("table", jobs[0].id, other.id)
    assert refused.code == 2
    assert "budget.epochs is 1 in sam and 2 in small" in refused.err
    assert cli("table", jobs[0].id, "nojob").code == 2


RUNS = "optimizer,lr,seed,accuracy\nsgd,0.1,0,0.5\nsgd,0.1,1,0.6\nadam,0.1,0,0.7\nadam,0.1,1,0.8\n"
SCORED = ("--metric", "accuracy", "--goal", "maximize", "--tolerance", ".01", "--floor", ".1")


def test_a_table_of_a_file_needs_no_server(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text(RUNS)
    result = cli("table", file, *SCORED, "-o", "csv")
    assert (result.code, result.err) == (0, "")
    rows = {(row["optimizer"], row["measure"]): row for row in csv.DictReader(io.StringIO(result.out))}
    assert float(rows["adam", "grid_mean"]["raw"]) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs.csv",), "a file of runs needs --metric, --tolerance and --floor"),
        (("runs.csv", "runs.csv", *SCORED), "put the runs of several files into one"),
        (("nowhere.csv", *SCORED), "cannot read nowhere.csv: No such file"),
        (("runs.csv", *SCORED, "--swept", "dropout"), "must have a column dropout"),
        (("runs.csv", "--metric", "loss", *SCORED[2:]), "val_loss and test_loss, or loss"),
        (("a-job", "--floor", "0.1"), "a job's spec says how it is scored; --floor is for a file of runs"),
    ],
)
def test_a_table_of_a_file_says_what_is_wrong(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "runs.csv").write_text(RUNS)
    monkeypatch.chdir(tmp_path)
    result = cli("table", *arguments)
    assert result.code == 2
    assert message in " ".join(result.err.replace("│", " ").split())


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_plot_writes_a_figure(cli: Cli, url: str, store: Store, tmp_path: Path, ending: str, start: bytes) -> None:
    job = run_made_up(store, submit(store))
    file = tmp_path / f"heat map.{ending}"
    result = cli("plot", job.id, "-o", file)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert file.read_bytes().startswith(start)


def test_plot_draws_trajectories(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = run_made_up(store, submit(store, landscape_spec()), trained)
    assert cli("plot", job.id, "-o", tmp_path / "a.svg", "--kind", "trajectories", "--task", "banana").code == 0
    assert b'id="run-' in (tmp_path / "a.svg").read_bytes()


def test_plot_writes_what_is_drawn_as_csv(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = run_made_up(store, submit(store))
    assert cli("plot", job.id, "-o", tmp_path / "a.csv", "--kind", "curves").code == 0
    assert (tmp_path / "a.csv").read_text().startswith("panel,line,x_title,x,")


def test_plot_draws_sharpness(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = run_made_up(store, submit(store, small_spec(sharpness=["sam"])), curved)
    assert cli("plot", job.id, "-o", tmp_path / "a.svg", "--kind", "sharpness").code == 0
    assert b"SAM sharpness" in (tmp_path / "a.svg").read_bytes()


@pytest.mark.parametrize(
    ("file", "options", "code", "message"),
    [
        ("a.gif", (), 2, "must end in .svg, .png, .pdf, .csv"),
        ("nowhere/a.svg", (), 2, "cannot write"),
        ("a.svg", ("--task", "elsewhere"), 2, "elsewhere"),
        ("a.svg", ("--kind", "sharpness"), 2, "sharpness: [lambda_max]"),
        ("a.svg", ("--kind", "trajectories"), 2, "digits-mlp"),
        ("a.svg", ("--kind", "heatmpa"), 2, "did you mean 'heatmap'?"),
        ("a.svg", ("--optimizer", "msma"), 2, "did you mean 'msam'?"),
    ],
)
def test_plot_says_what_it_cannot_draw(
    cli: Cli, url: str, store: Store, tmp_path: Path, file: str, options: tuple[str, ...], code: int, message: str
) -> None:
    job = run_made_up(store, submit(store))
    result = cli("plot", job.id, "-o", tmp_path / file, *options)
    assert result.code == code
    assert message in " ".join(result.err.replace("│", " ").split())
    assert not (tmp_path / file).exists()


def test_ls_and_show(cli: Cli, url: str, store: Store) -> None:
    first, second = (
        submit(store, small_spec(name="first [red]x[/red]")),
        submit(store, small_spec(name="second", tags=["x"])),
    )
    listed = cli("ls")
    assert listed.out.index(second.id) < listed.out.index(first.id)
    assert "first [red]x[/red]" in listed.out, "markup of users stays text"
    assert [job["id"] for job in json.loads(cli("ls", "--tag", "x", "-o", "json").out)] == [second.id]
    assert json.loads(cli("ls", "--limit", 1, "-o", "json").out)[0]["id"] == second.id
    shown = cli("show", first.id)
    assert "queued" in shown.out
    assert re.search(r"submitted +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown.out)
    assert f"{url}/jobs/{first.id}" in shown.out
    assert json.loads(cli("show", first.id, "-o", "json").out)["id"] == first.id


def test_plan_and_dry_run(cli: Cli, url: str, store: Store, spec: Path) -> None:
    planned = cli("plan", spec)
    assert planned.code == 0
    assert "20 cells" in planned.err
    assert cli("submit", spec, "--dry-run").out == planned.out
    assert json.loads(cli("submit", spec, "--dry-run", "-o", "json").out)["cells"] == 20
    assert json.loads(cli("plan", spec, "-o", "json").out)["cells"] == 20
    assert store.jobs() == []


def test_plan_says_what_waits_for_a_second_wave(cli: Cli, url: str, tmp_path: Path) -> None:
    path = tmp_path / "controlled.yaml"
    path.write_text(yaml.safe_dump(small_spec(controls=["radius_matched"])))
    assert "28 cells" in cli("plan", path).err
    assert "8 cells in a second wave" in cli("plan", path).err


def test_steering(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = submit(store)
    for command, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("retry", "queued")):
        result = cli(command, job.id)
        assert (result.code, result.out) == (0, "")
        assert f"is {state}" in result.err
        assert store.job(job.id).state == state
    assert cli("retry", job.id).code == 2
    cli("cancel", job.id)
    file = tmp_path / "larger.json"
    file.write_text(json.dumps(small_spec(seeds={"count": 1})))
    refused = cli("extend", job.id, str(file))
    assert refused.code == 2
    assert "seed 1, is not in the spec" in refused.err
    file.write_text(json.dumps(small_spec(seeds={"count": 3})))
    before = store.job(job.id)
    plan = cli("extend", job.id, str(file), "--dry-run", "-o", "json")
    assert (plan.code, json.loads(plan.out)["cells"]) == (0, 30)
    assert "30 cells" in plan.err
    assert store.job(job.id) == before
    assert "is queued" in cli("extend", job.id, str(file)).err
    cli("cancel", job.id)
    assert cli("delete", job.id).code == 0
    assert store.jobs() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizers": [{"name": "smam"}]}, "/optimizers/0/name: unknown optimizer 'smam'; did you mean 'msam'?"),
        ({"seeds": {"count": 0}}, "/seeds/count"),
    ],
)
def test_a_bad_spec_is_refused_with_place_and_reason(
    cli: Cli, url: str, store: Store, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(small_spec(**change)))
    for command in ("submit", "plan", "run"):
        result = cli(command, path)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert "Traceback" not in result.err
    assert store.jobs() == []


def test_usage_errors(cli: Cli, tmp_path: Path) -> None:
    assert cli("submit", tmp_path / "nothing.yaml").code == 2
    assert cli("nonsense").code == 2
    assert cli("table").code == 2
    assert cli("ls", "--state", "odd").code == 2
    assert cli("show", "").code == 2


def test_no_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_URL", f"http://127.0.0.1:{free_port()}")
    result = cli("cancel", "x")
    assert (result.code, result.out) == (4, "")
    assert result.err.count("\n") == 1


def test_a_job_that_is_not_there(cli: Cli, url: str) -> None:
    result = cli("show", "nothing")
    assert (result.code, result.err) == (2, "rhobust: there is no job 'nothing'.\n")


def test_what_there_is(cli: Cli) -> None:
    assert "msam" in cli("optimizers").out
    assert "digits-mlp" in cli("tasks").out
    assert cli("--version").out.startswith("rhobust 0.")


def test_a_terminal_obeys_nothing_that_an_error_says(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store), state=None)
    store.finish(job.id, 1, JobState.FAILED, error="\x1b[2Jno luck\x9b2J")
    shown = cli("show", job.id).out
    assert "␛[2Jno luck�2J" in shown
    assert "\x1b" not in shown


def test_logs_prints_the_end_of_a_log_or_follows_it(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = submit(store)
    missing = cli("logs", job.id)
    assert (missing.code, missing.out) == (2, "")
    assert "has no log yet" in missing.err
    path = tmp_path / "data" / "logs" / f"{job.id}.log"
    path.parent.mkdir(parents=True)
    path.write_text("one\n[bold]two\nthree")
    run_made_up(store, job)
    assert cli("logs", job.id).out == "one\n[bold]two\nthree"
    assert cli("logs", job.id, "-n", 2).out == "[bold]two\nthree"
    followed = cli("logs", job.id, "-f", "-n", 1)
    assert (followed.code, followed.out, followed.err) == (0, "three\n", "")


def test_show_says_who_runs_a_job_and_what_it_lacks(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store), failed, state=JobState.FAILED)
    store.retry(job.id)
    run_made_up(store, job, mixed, n=16, state=None)
    shown = cli("show", job.id)
    assert shown.code == 0
    text = " ".join(shown.out.split())
    assert re.search(r"a-dispatcher, in the foreground; its lease ends in \d+ s", text)
    assert "2 (crashes: 0 of 3, retried after attempt 1)" in text
    assert "10: 0 untried, 8 failed, 2 timed out" in text
    assert len(re.findall(r"digits-mlp (?:gd|msam) lr=[^:]* seed=[01]: RuntimeError: no luck", text)) == 5
    store.report_dispatcher("a-dispatcher", "a", 1, "0.1", {}, job.id)
    store.renew(job.id, 2, 0)
    assert re.search(r"a-dispatcher, heard of \d+ s ago; its lease ended \d+ s ago", cli("show", job.id).out)
    store.finish(run_made_up(store, submit(store), state=None).id, 1, JobState.COMPLETED)
    assert "missing" not in cli("show", store.jobs()[0].id).out
