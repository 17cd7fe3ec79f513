"""The gate for changes of code, with real processes: a plug-in is as it was, is made worse, and a run fails."""

import json
from pathlib import Path

import pytest

from service.client import Client
from tests.benchmark.packages import write_rule
from tests.service.processes import environment, rhobust, server

pytestmark = [pytest.mark.slow, pytest.mark.long]
JOB_S = 300.0
SPEC = {
    "name": "nightly",
    "tasks": [{"name": "digits-mlp", "params": {"hidden": 8}}],
    "budget": {"epochs": 3},
    "optimizers": [{"name": "turned", "fixed": {"rho": 0.1}}],
    "space": {"lr": {"log": [0.05, 0.5], "n": 2}},
    "seeds": {"count": 6},
}


def test_the_exit_code_follows_the_code_of_an_optimizer(tmp_path: Path) -> None:
    packages, data_dir = tmp_path / "packages", tmp_path / "data"
    write_rule(packages, factor=0.0)
    ours = {"PYTHONPATH": str(packages), "RHOBUST_PLUGINS": "turned-rule"}
    good, hasty = tmp_path / "nightly.json", tmp_path / "hasty.json"
    good.write_text(json.dumps(SPEC))
    hasty.write_text(json.dumps({**SPEC, "name": "hasty", "limits": {"job_s": 0.001}}))
    with server(data_dir, **ours) as url, Client(url) as client:
        env = environment(data_dir, RHOBUST_URL=url, **ours)

        def compare(spec: Path, output: str) -> tuple[int, str]:
            done = rhobust("compare", str(spec), "--baseline", "main", "-o", output, env=env, timeout_s=JOB_S)
            assert "Traceback" not in done.stderr
            return done.returncode, done.stdout

        first = client.submit(SPEC).wait(timeout_s=JOB_S)
        assert (first.state, first.error) == ("completed", None)
        assert rhobust("baseline", "set", "main", first.id, env=env).returncode == 0

        code, out = compare(good, "json")
        same = json.loads(out)
        assert (code, same["verdict"]) == (0, "same")
        assert [(one["n"], one["n_identical"]) for one in same["pairs"] if one["optimizer"] == "turned"] == [(12, 12)]
        costs = {one["name"]: one for one in same["measures"] if one["optimizer"] == "turned"}
        assert costs["cell_s"]["before"] > 0 < costs["cell_s"]["after"]
        assert costs["cell_bytes"]["before"] == costs["cell_bytes"]["after"] > 0
        assert client.job(same["candidate"]["id"]).progress.reused == 0

        write_rule(packages, factor=1e4, normalised=False)  # its gradient is that of a place far away
        code, out = compare(good, "md")
        assert code == 1
        assert out.startswith("### Rhobust: regressed\n\n- **turned** on digits-mlp is harder to tune: ")

        code, out = compare(hasty, "md")
        assert code == 3
        assert out.startswith("### Rhobust: the run failed\n\nhasty (job ")
