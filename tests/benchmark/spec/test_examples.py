"""Specs that people are shown are specs that work."""

import re
from pathlib import Path

import pytest
import yaml

from benchmark import Spec

ROOT = Path(__file__).parents[3]
EVERYTHING = """
schema_version: 1
name: sam-vs-msam
tags: [nightly]
reuse: true
priority: 0
tasks:
  - {name: digits-mlp, params: {hidden: 64}}
budget: {epochs: 20, batch_size: 64, schedule: constant, warmup: 0, precision: fp32}
base: {name: sgd, momentum: 0.9, weight_decay: 0.0}
gd: true
controls: []
optimizers:
  - {name: gd}
  - {name: sam,  space: {rho: {log: [0.01, 1.0], n: 8}}}
  - {name: msam, space: {rho: {log: [0.01, 1.0], n: 8}}}
  - {label: sam-warm, name: sam, fixed: {rho_warmup: 0.3}, space: {rho: {log: [0.01, 1.0], n: 8}}}
space: {lr: {log: [1.0e-3, 1.0], n: 8}}
search: {method: grid}
seeds: {count: 5, base: 0}
metric: {name: accuracy, tolerance: 0.01}
sharpness: []
resources: {gpus_per_pack: auto, cpus_per_pack: 1, pack: auto, max_concurrent: null}
limits: {cell_s: 3600, job_s: 86400}
"""


def test_a_spec_may_name_every_key() -> None:
    spec = Spec.from_text(EVERYTHING)
    assert spec.n_cells == (8 + 3 * 64) * 5
    assert [grid.optimizer for grid in spec.grids] == ["gd", "sam", "msam", "sam-warm"]
    assert yaml.safe_load(EVERYTHING).keys() == Spec.model_fields.keys() - {"fixed"}


@pytest.mark.parametrize("page", ["README.md", "docs/spec.md"])
def test_the_quickstart_of_a_page_is_the_file(page: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert yaml.safe_load(blocks[0]) == yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text())
    assert Spec.from_text(blocks[0]).n_cells >= 400
