"""Benchmarks of optimizers: a spec is expanded to cells, trained in packs by Ray Tune, and summed up in tables."""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from benchmark.errors import (
        BenchmarkError,
        ComparisonError,
        FusionError,
        PluginError,
        Problem,
        RayUnavailableError,
        RerunError,
        SpecError,
        TableError,
        TaskDataError,
        TaskFaultError,
        UnknownTaskError,
    )
    from benchmark.own_runs import table
    from benchmark.plugins import Plugin, load_plugins
    from benchmark.rayenv import RayOptions
    from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Status
    from benchmark.running import Records, run
    from benchmark.spec import Spec
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = [
    "BenchmarkError",
    "ComparisonError",
    "Cost",
    "Diagnostics",
    "FusionError",
    "Outcome",
    "PackPlace",
    "Plugin",
    "PluginError",
    "Problem",
    "RayOptions",
    "RayUnavailableError",
    "Record",
    "Records",
    "RerunError",
    "Spec",
    "SpecError",
    "Status",
    "TableError",
    "TaskDataError",
    "TaskFaultError",
    "UnknownTaskError",
    "load_plugins",
    "run",
    "table",
]
