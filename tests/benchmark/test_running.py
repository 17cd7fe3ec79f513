import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from benchmark import RayOptions, Records, Spec, TaskDataError, memory, run
from benchmark.execution import Execution, train_cell, train_cells
from benchmark.packs import Footprint
from benchmark.records import PackPlace
from benchmark.running import _Memory, _wanted_bytes, train_missing
from benchmark.spec import Cell, expand
from tests.benchmark.toys import CPU, make_spec, toy_document


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for temporary files: the paths of Ray's sockets are limited."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_data_that_is_missing_is_said_before_anything_starts() -> None:
    spec = Spec.from_mapping(toy_document({"empty": {"fault": "no_data"}}))
    with pytest.raises(TaskDataError, match="run: make toy-data"):
        run(spec)


@pytest.mark.slow
def test_a_run_is_the_training_of_its_cells_to_the_bit(temporary: Path) -> None:
    spec = make_spec(optimizers=[{"name": "msam", "space": {"rho": {"values": [0.05, 0.5]}}}])
    progress: list[int] = []
    listening: set[str] = set()
    processes: dict[int, psutil.Process] = {}

    def watch(n_records: int) -> None:
        progress.append(n_records)
        me = psutil.Process()
        children = {child.pid: child for child in me.children(recursive=True)}
        for process in (me, *children.values()):
            listening.update(
                connection.laddr.ip for connection in process.net_connections("inet") if connection.status == "LISTEN"
            )
        processes.update(children)

    records = run(spec, options=RayOptions(n_cpus=2), on_progress=watch)
    assert isinstance(records, Records)
    assert len(records) == progress[-1] == spec.n_cells == 18
    assert progress == sorted(progress)
    by_key = {record.config_key: record for record in records.records}
    for cell in expand(spec):
        here = train_cell(cell, PackPlace("here", 1, 0), device=CPU, limit_s=60)
        there = by_key[cell.key]
        assert there.outcome.metrics == here.outcome.metrics
        assert there.outcome.curve == here.outcome.curve
        assert there.outcome.diagnostics == here.outcome.diagnostics
        assert there.fingerprint == here.fingerprint
    assert set(records.to_pandas()["status"]) == {"completed"}
    assert records.step_s.keys() == {grid.setting.key for grid in spec.grids}
    assert records.table(view="equal_seconds").view == "equal_seconds"  # at which step depends on the measured seconds
    assert processes
    assert listening
    assert all(ip_address(place.removeprefix("::ffff:")).is_loopback for place in listening), listening
    ours = [path for path in temporary.iterdir() if not path.name.startswith("torch")]  # torch keeps a cache there
    assert ours == []
    deadline = time.monotonic() + 10
    while any(process.is_running() for process in processes.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [process for process in processes.values() if process.is_running()] == []


@pytest.mark.slow
@pytest.mark.long
def test_packs_are_cut_to_what_was_measured(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By time and by memory; with 60 s a cell two fill a pack, and with as little memory one does."""
    spec = make_spec(optimizers=[{"name": "sam", "fixed": {"rho": 0.5}}], resources={"pack": "fused"})
    cells = list(expand(spec))
    executions: dict[str, Execution] = {cell.setting.key: "fused" for cell in cells}
    by_time, by_memory = executions
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10 * 1_000_000)
    sink = _Memory(lambda n: None)
    footprints = {by_time: Footprint(60.0, 1), by_memory: Footprint(0.0, 2_500_000)}
    train_missing(spec, cells, sink, options=RayOptions(n_cpus=2), executions=executions, footprints=footprints)
    assert len(sink.records) == len(cells) == 12
    sizes = {key: {record.pack.size for record in sink.records if record.setting == key} for key in executions}
    assert sizes == {by_time: {2}, by_memory: {1}}


@pytest.mark.parametrize(
    ("footprint", "is_fused", "n_bytes"),
    [
        (Footprint(0.0, 1_000), True, 6_000),
        (Footprint(60.0, 1_000), True, 2_000),
        (Footprint(0.0, 1_000), False, 1_000),
        (Footprint(1e9, 10**15), True, 10**15),
    ],
)
def test_the_largest_pack_is_as_large_as_its_setting_and_its_time(
    footprint: Footprint, is_fused: bool, n_bytes: int
) -> None:
    cells = list(expand(make_spec(optimizers=[{"name": "sam", "fixed": {"rho": 0.5}}])))
    key = cells[0].setting.key
    assert (
        _wanted_bytes(Counter(cell.setting.key for cell in cells), {key: footprint}, {key} if is_fused else ())
        == n_bytes
    )
    assert _wanted_bytes(Counter(), {}, ()) == 0


@pytest.mark.slow
def test_a_fused_run_is_the_training_of_its_packs_to_the_bit(temporary: Path) -> None:
    """Each setting is a pack, its cells sorted by seed; SAM and SAM with a warm-up are one setting."""
    optimizers = [
        {"name": "sam", "space": {"rho": {"values": [0.05, 0.5]}}},
        {"name": "msam", "fixed": {"rho": 0.5}},
        {"name": "sam", "label": "sam-warm", "fixed": {"rho": 0.5, "rho_warmup": 0.5}},
    ]
    spec = make_spec(optimizers=optimizers, resources={"pack": "fused"})
    records = run(spec, options=RayOptions(n_cpus=2))
    by_key = {record.config_key: record for record in records.records}
    assert len(records) == len(by_key) == spec.n_cells == 30
    by_setting: dict[str, list[Cell]] = {}
    for cell in expand(spec):
        by_setting.setdefault(cell.setting.key, []).append(cell)
    assert sorted(map(len, by_setting.values())) == [6, 6, 18]
    for cells in by_setting.values():
        cells.sort(key=lambda cell: cell.seed)
        places = [PackPlace("here", len(cells), position) for position in range(len(cells))]
        for here in train_cells(cells, places, device=CPU, limit_s=60, execution="fused"):
            there = by_key[here.config_key]
            assert there.outcome.metrics == here.outcome.metrics
            assert there.outcome.curve == here.outcome.curve
            assert there.outcome.diagnostics == here.outcome.diagnostics
            assert there.fingerprint == here.fingerprint
            assert (there.pack.size, there.pack.position) == (here.pack.size, here.pack.position)
            assert (there.outcome.cost.execution, there.outcome.cost.amortised) == ("fused", True)
    assert set(records.to_pandas()["status"]) == {"completed"}
