"""Surfaces and exports from the command line."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from service.client import Client
from service.client.exporting import interval_of
from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import mixed, run_made_up, small_spec, submit

pytestmark = pytest.mark.slow


def test_surface_in_every_form(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store))
    assert "msam" in cli("surface", job.id).out
    rows = list(csv.DictReader(io.StringIO(cli("surface", job.id, "-o", "csv").out)))
    assert len(rows) == 10
    assert [row["rho"] for row in rows if row["optimizer"] == "gd"] == ["", ""]
    found = json.loads(cli("surface", job.id, "-o", "json", "--split", "validation").out)
    assert [one["optimizer"] for one in found] == ["gd", "sam", "msam"]
    assert found[1]["points"][0]["per_seed"]
    alone = cli("surface", job.id, "-o", "md", "--optimizer", "sam").out.splitlines()
    assert alone[0].startswith("| task | optimizer | ")
    assert len(alone) == 2 + 4
    assert r"\toprule" in cli("surface", job.id, "-o", "tex").out
    refused = cli("surface", job.id, "--optimizer", "smam")
    assert (refused.code, refused.out) == (2, "")
    assert "there is no such task or optimizer" in refused.err


def test_records_go_to_standard_output_or_into_a_file(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = run_made_up(store, submit(store), mixed)
    printed = cli("export", job.id)
    assert (printed.code, printed.err) == (0, "")
    frame = pd.read_csv(io.StringIO(printed.out))
    assert frame["status"].value_counts().to_dict() == {"completed": 8, "failed": 4, "timed_out": 4, "diverged": 4}
    for name in ("runs.csv", "runs.parquet", "runs"):
        file = tmp_path / name
        done = cli("export", job.id, "-o", file, *(("--format", "parquet") if name == "runs" else ()))
        assert (done.code, done.out, done.err) == (0, "", f"{file} is written\n")
        read = pd.read_csv(file) if name == "runs.csv" else pd.read_parquet(file)
        assert sorted(read["config_key"]) == sorted(frame["config_key"])


def test_a_storage_for_optuna(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = run_made_up(store, submit(store), mixed)
    file = tmp_path / "studies.db"
    done = cli("export", job.id, "-o", file)
    assert (done.code, done.out) == (0, "")
    storage = f"sqlite:///{file}"
    assert sorted(optuna.get_all_study_names(storage)) == ["digits-mlp/gd", "digits-mlp/msam", "digits-mlp/sam"]
    sam = optuna.load_study(study_name="digits-mlp/sam", storage=storage)
    assert sam.best_params == {"lr": 0.1, "rho": 0.1}
    assert sam.user_attrs["url"] == f"{url}/jobs/{job.id}"
    msam = optuna.load_study(study_name="digits-mlp/msam", storage=storage)
    assert {trial.user_attrs["status"] for trial in msam.trials} == {"mixed"}
    assert [trial.user_attrs["n_diverged"] for trial in msam.trials] == [1, 1, 1, 1]


def test_a_file_is_replaced_only_on_demand_and_never_half(
    cli: Cli, url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = run_made_up(store, submit(store))
    file = tmp_path / "runs.csv"
    file.write_text("mine")
    refused = cli("export", job.id, "-o", file)
    assert (refused.code, refused.out) == (2, "")
    assert "exists already, and is replaced only with --force" in refused.err

    def broken(self: Client, path: str, params: Any) -> Any:
        yield b"half"
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "download", broken)
        failed = cli("export", job.id, "-o", file, "--force")
    assert (failed.code, failed.err) == (2, f"rhobust: cannot write {file}: No space left on device.\n")
    assert file.read_text() == "mine"
    assert cli("export", job.id, "-o", file, "--force").code == 0
    assert file.read_text().startswith('"task","optimizer"')
    assert [path.name for path in tmp_path.glob("*runs*")] == ["runs.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "runs.txt"), "the ending of 'runs.txt' says no format; it must be one of .csv, .parquet, .db"),
        (("--format", "optuna"), "a storage for Optuna is a file: name it with -o"),
        (("-o", "nowhere/runs.csv"), "cannot write nowhere/runs.csv: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_said(
    cli: Cli, url: str, store: Store, arguments: tuple[str, ...], message: str
) -> None:
    result = cli("export", run_made_up(store, submit(store)).id, *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_dry_run_writes_nothing(cli: Cli, url: str, store: Store, tmp_path: Path) -> None:
    job = run_made_up(store, submit(store), n=7, state=None)
    result = cli("export", job.id, "-o", tmp_path / "a.db", "--dry-run")
    expected = f"7 of 20 cells with a record would be written as optuna to {tmp_path / 'a.db'}\n"
    assert (result.code, result.out, result.err) == (0, "", expected)
    assert not (tmp_path / "a.db").exists()


def test_the_interval_of_a_design_is_that_of_the_spec() -> None:
    spec = {
        "space": {"lr": {"log": [0.01, 1.0]}, "rho": {"values": [0.1]}},
        "optimizers": [{"name": "sam", "label": "mine", "space": {"rho": {"linear": [0.0, 2.0]}}}],
    }
    assert interval_of(spec, "mine", "lr") == (0.01, 1.0)
    assert interval_of(spec, "mine", "rho") == (0.0, 2.0)
    assert interval_of(spec, "gd", "rho") is None
    assert interval_of(spec, "gd", "lr") == (0.01, 1.0)


def test_lists_in_every_form(cli: Cli, url: str, store: Store) -> None:
    submit(store, small_spec(name="=1+1 | x_y", tags=["a", "b"]))
    job = submit(store, landscape())
    assert [row["name"] for row in csv.DictReader(io.StringIO(cli("ls", "-o", "csv").out))] == ["bowl", "'=1+1 | x_y"]
    assert r"| &#61;1+1 \| x\_y |" in cli("ls", "-o", "md").out
    assert r"& =1+1 \textbar{} x\_y &" in cli("ls", "-o", "tex").out
    assert [one["id"] for one in json.loads(cli("ls", "--task", "banana", "-o", "json").out)] == [job.id]
    assert cli("ls", "--text", "bow", "-n", 1).out.count(job.id) == 1
    assert "msam" in cli("optimizers", "-o", "csv").out
    assert json.loads(cli("tasks", "-o", "json").out)[0]["name"]
    assert cli("figures", "-o", "md").out.startswith("| name |")


def test_a_list_is_filtered_and_sorted(cli: Cli, url: str, store: Store) -> None:
    names = ("b", "a", "c")
    jobs = {name: submit(store, small_spec(name=name, tags=["all", name])) for name in names}
    store.cancel(jobs["c"].id)

    def listed(*arguments: str) -> list[str]:
        return [one["name"] for one in json.loads(cli("ls", "-o", "json", *arguments).out)]

    assert listed("--sort", "name") == ["a", "b", "c"]
    assert listed("--sort=-name") == ["c", "b", "a"]
    assert listed("--sort", "created_at", "--state", "queued", "--state", "cancelled") == ["b", "a", "c"]
    assert listed("--state", "cancelled") == ["c"]
    assert listed("--tag", "all", "--tag", "a", "--submitted-by", "local") == ["a"]
    refused = cli("ls", "--sort", "size")
    assert (refused.code, refused.out) == (2, "")
    assert "/query/sort" in refused.err


def landscape() -> dict[str, Any]:
    return {
        "name": "bowl",
        "tasks": [{"name": "banana", "params": {"start": [-1.5, 0.5]}}],
        "budget": {"epochs": 5},
        "optimizers": [],
        "space": {"lr": {"values": [0.01]}},
        "seeds": {"count": 1},
    }
