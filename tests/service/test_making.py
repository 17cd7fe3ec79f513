"""What a job is made by is told in words, the revisions of plug-ins among them."""

from pathlib import Path

import pytest

from benchmark import load_plugins
from service.making import making
from tests.benchmark.packages import SOURCES, Source, fresh_process, write_rule, write_source

CHECKED_OUT, INSTALLED = "a" * 40, "b" * 40
REVISIONS = {"editable": CHECKED_OUT, "of a repository": INSTALLED, "of an index": None}


@pytest.mark.parametrize("kind", SOURCES)
def test_the_revision_of_a_plugin_is_told_where_its_source_is_known(tmp_path: Path, kind: Source) -> None:
    copy = tmp_path / "project"
    project = copy / "packages" / "mine"
    project.mkdir(parents=True)
    (copy / ".git").mkdir()
    (copy / ".git" / "HEAD").write_text(f"{CHECKED_OUT}\n")
    write_rule(tmp_path)
    write_source(tmp_path, kind, project, INSTALLED)
    with fresh_process(tmp_path):
        (plugin,) = load_plugins(["turned-rule"])
        made_by = making("cpu: a chip")
    assert made_by.get("plug-in turned-rule revision") == REVISIONS[kind]
    assert made_by["plug-in turned-rule version"] == "1.0"
    assert made_by["plug-in turned-rule"] == plugin.source
    assert made_by["device"] == "cpu: a chip"
    assert {"rhobust", "python", "torch", "numpy", "source"} <= made_by.keys()
