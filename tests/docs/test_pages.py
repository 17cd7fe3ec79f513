"""Every block of code on every page does what the page says, in its order, against real processes."""

from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks, blocks_of, pages
from tests.docs.running import SMALLER, BlockError, page_of, shrunk
from tests.service.processes import processes_of

QUICK = ("docs/access.md", "docs/webhooks.md", "CONTRIBUTING.md")  # that train nothing; what else does not takes long
RUN = [page for page in pages() if any(block.is_run for block in blocks(page))]

pytestmark = pytest.mark.slow


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def marked(page: Path) -> object:
    marks = () if name_of(page) in QUICK else (pytest.mark.long, pytest.mark.nightly)
    return pytest.param(page, id=name_of(page), marks=marks)


@pytest.mark.parametrize("page", [marked(page) for page in RUN])
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    with page_of(blocks(page), folder) as running:
        running.run()
    assert processes_of(folder / "data") == []


def test_no_page_is_forgotten() -> None:
    assert len(RUN) > 12
    assert set(QUICK) <= {name_of(page) for page in RUN}
    text = "".join(block.text for page in RUN for block in blocks(page))
    assert [whole for whole in SMALLER if whole not in text] == []


def page(text: str) -> list[Block]:
    return list(blocks_of(text, "page.md"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```bash\ntrue\nfalse\n```", "page.md:1 failed"),
        ("```bash\nA=$(false)\n```", "page.md:1 failed"),
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```console\n$ echo one\ntwo\n```", "but prints\none"),
    ],
)
def test_a_block_that_fails_is_seen(text: str, said: str, tmp_path: Path) -> None:
    with page_of(page(text), tmp_path / "page") as running, pytest.raises(BlockError, match=said):
        running.run()


def test_blocks_share_what_those_before_them_made(tmp_path: Path) -> None:
    text = """
```text title="a.txt"
seven
```

```bash
A=7
```

```console
$ echo "$A"; cat a.txt; cat nowhere
7
seven
cat: ...
```

```python
from pathlib import Path

seen = Path("a.txt").read_text()
```

<!-- not run: it would fail -->
```bash
false
```

```python
Path("b.txt").write_text(seen * 2)
assert __name__ == "__main__"
```

```bash
test "$(cat b.txt)" = "$(printf 'seven\\nseven')"
```
"""
    with page_of(page(text), tmp_path / "page") as running:
        running.run()


def test_an_example_says_the_same_with_fewer_of_everything() -> None:
    assert shrunk("a: {n: 5, count: 10}\nb: {count: 5, epochs: 20, grid: 10}") == (
        "a: {n: 2, count: 3}\nb: {count: 2, epochs: 1, grid: 2}"
    )
