"""What no source of ours may call: whatever runs text or bytes as a program, or trusts whom it should not."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from benchmark import documents
from tests.test_architecture import ROOT, SOURCES, tree_of

# by their full names, however they were imported
CALLS = (
    *("eval", "exec", "compile", "__import__", "importlib.import_module", "runpy.*", "code.*"),
    *("pickle.*", "_pickle.*", "cloudpickle.*", "dill.*", "marshal.*", "shelve.*", "joblib.*"),
    *("torch.load", "torch.jit.load", "torch.hub.*", "torch.package.*", "torch.serialization.*"),
    *("pandas.read_pickle", "pandas.eval", "numpy.lib.format.*"),
    *("yaml.load", "yaml.load_all", "yaml.full_load*", "yaml.unsafe_load*"),
    *("os.system", "os.popen", "os.exec*", "os.spawn*", "os.posix_spawn*", "pty.spawn"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
    *(
        "ssl._create_unverified_context",
        "tempfile.mktemp",
        "markupsafe.Markup",
        "jinja2.Template",
        "jinja2.Environment",
    ),
    "ray.tune.Tuner.restore",  # it unpickles files
)
# of any object; `model.eval()` takes no argument, and that of a data frame runs one
METHODS = ("read_pickle", "to_pickle", "eval", "create_subprocess_shell")
KEYWORDS = {"shell": False, "verify": True, "check_hostname": True, "allow_pickle": False, "weights_only": True}
ATTRIBUTES = {"check_hostname", "verify_mode"}
ALLOWED = {
    ("benchmark/documents.py", "yaml.load"): "its loader is a SafeLoader, as a test below asserts",
    ("optimizers/lazy.py", "importlib.import_module"): "what it imports stands in the source of a door of ours",
}
IN_PAGES = re.compile(
    r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|javascript:"
    r"|\|\s*safe\b|autoescape|<script(?![^>]*\bsrc=)|<style|\son[a-z]+\s*=\s*[\"']|\sstyle\s*=\s*[\"']"
)


def full_names(tree: ast.AST) -> dict[str, str]:
    """Return what each imported name stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def full_name(node: ast.expr, names: dict[str, str]) -> str | None:
    """Return the full name of what is called; None where it is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def dangers(source: str, tree: ast.AST) -> Iterator[str]:
    """Yield what in a source is dangerous."""
    names = full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = full_name(node.func, names)
            if name and any(fnmatchcase(name, call) for call in CALLS) and (source, name) not in ALLOWED:
                yield f"{source}:{node.lineno} calls {name}"
            elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and (node.args or node.keywords):
                yield f"{source}:{node.lineno} calls .{node.func.attr}"
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            for keyword, harmless in KEYWORDS.items():
                value = given.get(keyword)
                if isinstance(value, ast.Constant) and value.value is not harmless:
                    yield f"{source}:{node.lineno} says {keyword}={value.value!r}"
            if name == "numpy.load" and not isinstance(given.get("allow_pickle"), ast.Constant):
                yield f"{source}:{node.lineno} calls numpy.load and does not say allow_pickle=False"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES:
                    yield f"{source}:{node.lineno} sets {target.attr}"


def test_no_source_calls_anything_dangerous() -> None:
    assert [danger for source in SOURCES for danger in dangers(source.as_posix(), tree_of(source))] == []


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "exec(text)",
        "import torch as t\nt.load(path)",
        "from torch import load as read\nread(path)",
        "import torch.jit\ntorch.jit.load(path)",
        "def f():\n    import pickle\n    return pickle.loads(data)",
        "from pickle import loads\nloads(data)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(path)",
        "frame.eval('a + b')",
        "import yaml\nyaml.load(text, Loader=Loader)",
        "from yaml import unsafe_load\nunsafe_load(text)",
        "import os\nos.system(command)",
        "from os import execv\nexecv(path, [])",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import httpx\nhttpx.get(url, verify=False)",
        "from importlib import import_module\nimport_module(name)",
        "context.check_hostname = False",
        "import ssl\ncontext.verify_mode = ssl.CERT_NONE",
        "from ray import tune\ntune.Tuner.restore(path)",
        "from markupsafe import Markup\nMarkup(name)",
    ],
)
def test_a_danger_is_seen(code: str) -> None:
    assert len(list(dangers("service/web/app.py", ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "import re\nre.compile('a')",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import subprocess\nsubprocess.run(['a'], shell=False)",
        "import json\njson.load(file)",
        "import httpx\nhttpx.Client(verify=context)",
    ],
)
def test_what_is_harmless_passes(code: str) -> None:
    assert list(dangers("service/web/app.py", ast.parse(code))) == []


def test_each_exception_is_needed_and_yaml_is_read_safely() -> None:
    for source, name in ALLOWED:
        tree = tree_of(Path(source))
        names = full_names(tree)
        found = [full_name(node.func, names) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert found.count(name) == 1
    assert issubclass(documents._UniqueKeyLoader, yaml.SafeLoader)


PAGES = sorted(path for path in (ROOT / "service" / "web").rglob("*") if path.suffix in (".js", ".html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_makes_no_markup_of_texts_and_has_no_inline_script(path: Path) -> None:
    assert IN_PAGES.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "node.innerHTML = name;",
        "{{ name|safe }}",
        "{% autoescape false %}",
        "<script>alert(1)</script>",
        '<b onclick="go()">',
        '<b style="color: red">',
        "<style>",
        "eval(text)",
    ],
)
def test_markup_of_texts_is_seen(text: str) -> None:
    assert IN_PAGES.search(text)
    assert len(PAGES) > 8
