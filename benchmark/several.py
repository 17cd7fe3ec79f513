"""Several jobs as one, for a table or figures: rows that do not collide, cells that stand once, seeds that pair."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from benchmark.canonical import content_hash
from benchmark.errors import TableError
from benchmark.frame import results_frame
from benchmark.records import Record
from benchmark.robustness import GridInfo, RobustnessTable, TaskScoring, robustness_table
from benchmark.seconds import NOTE, probed_seconds
from benchmark.spec import Grid, Spec
from benchmark.tables import about_tasks, grid_infos, is_mixed, scorings
from benchmark.views import budget_view


@dataclass(frozen=True)
class Source:
    """A job whose runs enter the table.

    Attributes:
        name: unique among the sources.
        spec: its cells.
        records: by config_key.
        step_s: seconds of a step of one cell alone, by the key of the setting, as far as they are known.
    """

    name: str
    spec: Spec
    records: Mapping[str, Record]
    step_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Joined:
    """The runs of several jobs, put together.

    Attributes:
        frame: a row a run; the optimizers go by the labels of their rows.
        scorings: how each task is scored.
        grids: what was planned, one a row and task.
        settings: of each row, as (task, label of the row, key of the setting).
        used: the records behind the frame.
        notes: sentences by task on how the runs were put together.
    """

    frame: pd.DataFrame
    scorings: tuple[TaskScoring, ...]
    grids: tuple[GridInfo, ...]
    settings: tuple[tuple[str, str, str], ...]
    used: tuple[Record, ...]
    notes: Mapping[str, Sequence[str]]

    def labels(self, optimizers: Sequence[str]) -> tuple[str, ...]:
        """Return the labels of rows; a label without its job stands for those of all jobs, in the order of the jobs."""
        found: list[str] = []
        for asked in optimizers:
            found += [asked] if asked in self._known else self._by_optimizer.get(asked, [asked])
        return tuple(dict.fromkeys(found))

    def pairs(self, optimizers: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Return the pairs of rows of one optimizer in two jobs, in the order of the jobs.

        Args:
            optimizers: labels without their jobs; none for all. Of rows that are named themselves there are none: those
                are compared with each other.
        """
        if set(optimizers) & self._known.keys():
            return ()
        alike = (own for name, own in self._by_optimizer.items() if not optimizers or name in optimizers)
        return tuple(pair for own in alike for pair in itertools.combinations(own, 2))

    @cached_property
    def _known(self) -> dict[str, None]:
        """The labels of all rows, in the order of the jobs."""
        return dict.fromkeys(grid.optimizer for grid in self.grids)

    @cached_property
    def _by_optimizer(self) -> dict[str, list[str]]:
        """The labels of rows that name their job, by the labels of their optimizers."""
        found: dict[str, list[str]] = {}
        for label in self._known:
            optimizer, at, _ = label.partition("@")  # the name of a job may have one too
            if at:
                found.setdefault(optimizer, []).append(label)
        return found


def several_table(sources: Sequence[Source], *, apart: bool = False) -> RobustnessTable:
    """Return one table over several jobs.

    Args:
        sources: at least one.
        apart: as for `joined`.

    Raises:
        TableError: as `joined` does.
    """
    found = joined(sources, apart=apart)
    step_s = {key: s for source in sources for key, s in source.step_s.items()}
    frame, probed = probed_seconds(found.frame, found.settings, step_s)
    return robustness_table(
        frame,
        found.scorings,
        found.grids,
        view=budget_view(*(source.spec for source in sources)),
        fingerprints={record.fingerprint for record in found.used},
        mixed=is_mixed(found.used),
        notes={task: (*notes, *([NOTE] if task in probed else [])) for task, notes in found.notes.items()},
    )


def joined(sources: Sequence[Source], *, apart: bool = False) -> Joined:
    """Return the runs of several jobs as those of one.

    An optimizer that has the same label, setting and grid in several jobs is one row, over the seeds of them all; one
    that has the same label and another setting or grid is a row for each, `label@job`. A cell that several jobs have
    recorded counts once: that of the first job, as they are given, that has a result of it. Rows of a task are compared
    over the seeds that all of them have.

    Args:
        sources: at least one.
        apart: whether each job has rows of its own, with what it recorded itself, also where optimizers are the same.

    Raises:
        TableError: where a task of one label is not the same in all jobs, with what differs, and where its rows have
            no seed in common.
    """
    names = [source.name for source in sources]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not sources:
        raise TableError(f"a table needs jobs that differ, but {f'{twice[0]} stands twice' if twice else 'got none'}.")
    _check_tasks(sources)
    records, told = ({}, []) if apart else _winners(sources)
    rows = _rows(sources, apart=apart)
    seeds = _common_seeds(rows)
    frames, grids, settings, used = [], {}, [], []
    for source in sources:
        mine = source.records if apart else records
        frame = _frame(source, mine)
        for info, grid in zip(grid_infos(source.spec), source.spec.grids, strict=True):
            row = next(row for row in rows if row.holds(source.name, grid))
            is_own = (frame["task"] == grid.task) & (frame["optimizer"] == grid.optimizer)
            kept = frame[is_own & frame["seed"].isin(seeds[grid.task])]
            frames.append(kept.assign(optimizer=row.label))
            settings.append((grid.task, row.label, grid.setting.key))
            n_planned = info.n_planned // source.spec.seeds.count * len(seeds[grid.task])
            grids[grid.task, row.label] = replace(info, optimizer=row.label, n_planned=n_planned)
            used += [mine[key] for key in kept["config_key"] if key in mine]
    every = pd.concat(frames, ignore_index=True).drop_duplicates(["task", "optimizer", "config_key"], ignore_index=True)
    return Joined(
        frame=every,
        scorings=tuple({scoring.task: scoring for source in sources for scoring in scorings(source.spec)}.values()),
        grids=tuple(_by_task(grids)),
        settings=tuple(settings),
        used=tuple(used),
        notes={task: (*_notes(sources, rows, task, seeds[task]), *told) for task in seeds},
    )


@dataclass(frozen=True)
class _Row:
    """A row of the table, and the grids of the jobs that are behind it."""

    label: str
    task: str
    optimizer: str
    jobs: tuple[str, ...]
    seeds: frozenset[int]

    def holds(self, job: str, grid: Grid) -> bool:
        return job in self.jobs and (self.task, self.optimizer) == (grid.task, grid.optimizer)


def _key(grid: Grid, job: str, *, apart: bool) -> str:
    """Return a hash of what an optimizer is and tries: one row is of one of them."""
    document: dict[str, Any] = {
        "setting": grid.setting.key,
        "partner": None if grid.partner is None else grid.partner.key,
        "fixed": dict(grid.fixed),
        "axes": [[axis.name, list(axis.values)] for axis in grid.axes],
        "design": None if grid.design is None else [grid.design.method, grid.design.n_configurations, grid.design.seed],
        "job": job if apart or grid.is_adaptive else None,  # no two searches try the same
    }
    return content_hash(document)


def _rows(sources: Sequence[Source], *, apart: bool) -> list[_Row]:
    found: dict[tuple[str, str], dict[str, list[Source]]] = defaultdict(lambda: defaultdict(list))
    for source in sources:
        for grid in source.spec.grids:
            found[grid.task, grid.optimizer][_key(grid, source.name, apart=apart)].append(source)
    rows = []
    for (task, optimizer), by_key in found.items():
        for jobs in by_key.values():
            label = optimizer if len(by_key) == 1 else f"{optimizer}@{jobs[0].name}"
            seeds = frozenset(seed for job in jobs for seed in job.spec.seeds.values)
            rows.append(_Row(label, task, optimizer, tuple(job.name for job in jobs), seeds))
    return rows


def _common_seeds(rows: Sequence[_Row]) -> dict[str, list[int]]:
    common: dict[str, list[int]] = {}
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        common[task] = sorted(frozenset.intersection(*(row.seeds for row in own)))
        if not common[task]:
            texts = [f"{row.label} has {_span(sorted(row.seeds))}" for row in own]
            raise TableError(f"the rows of a task must have a seed in common, but on {task} {', '.join(texts)}.")
    return common


def _frame(source: Source, records: Mapping[str, Record]) -> pd.DataFrame:
    is_adaptive = any(grid.is_adaptive for grid in source.spec.grids)
    # A search owns what it has chosen itself; the cells of a grid are the same whoever trained them.
    own = {key: records[key] for key in source.records} if is_adaptive else records
    return results_frame(source.spec, own)


def _winners(sources: Sequence[Source]) -> tuple[dict[str, Record], list[str]]:
    """Return the record of each cell, and a sentence on those of which there were several."""
    winners: dict[str, Record] = {}
    winner_of: dict[str, str] = {}
    contested: set[str] = set()
    for source in sources:
        for key, record in source.records.items():
            held = winners.get(key)
            if held is not None and held.id != record.id:
                contested.add(key)
            if held is None or (record.outcome.status.is_result and not held.outcome.status.is_result):
                winners[key], winner_of[key] = record, source.name
    if not contested:
        return winners, []
    counts = Counter(winner_of[key] for key in contested)
    taken = ", ".join(f"{counts[source.name]} from {source.name}" for source in sources if source.name in counts)
    return winners, [
        f"{len(contested)} cells are recorded in several jobs; of each the first job with a result counts: {taken}."
    ]


def _check_tasks(sources: Sequence[Source]) -> None:
    known: dict[str, tuple[str, dict[str, object]]] = {}
    for source in sources:
        for grid in source.spec.grids:
            facts = _facts(grid)
            job, others = known.setdefault(grid.task, (source.name, facts))
            differing = [name for name in facts if facts[name] != others.get(name)]
            if differing:
                texts = [
                    f"{name} is {others.get(name)!r} in {job} and {facts[name]!r} in {source.name}"
                    for name in differing
                ]
                raise TableError(
                    f"a task must be the same in all jobs of a table, but of {grid.task} {'; '.join(texts)}. "
                    "Give it another label in one of the specs."
                )


def _facts(grid: Grid) -> dict[str, object]:
    """Return what makes scores comparable: the task, the budget, and how it is scored."""
    setting, metric = grid.setting, grid.metric
    return {
        "task": setting.task,
        "version": setting.task_version,
        **{f"params.{name}": value for name, value in sorted(setting.task_params.items())},
        **{f"budget.{name}": value for name, value in setting.budget.model_dump(mode="json").items()},
        "metric": metric.name,
        "goal": metric.goal,
        "chance": metric.chance,
        "tolerance": grid.tolerance,
    }


def _notes(sources: Sequence[Source], rows: Sequence[_Row], task: str, seeds: Sequence[int]) -> list[str]:
    having = [source for source in sources if any(grid.task == task for grid in source.spec.grids)]
    told_by: dict[str, list[str]] = defaultdict(list)
    for source in having:
        for note in about_tasks(source.spec)[task]:
            told_by[note].append(source.name)
    notes = [note if len(names) == len(having) else f"In {', '.join(names)}: {note}" for note, names in told_by.items()]
    if len(having) > 1:
        notes.append(f"Jobs: {', '.join(source.name for source in having)}.")
        own = [row for row in rows if row.task == task and row.label != row.optimizer and len(row.jobs) > 1]
        notes += [f"{row.label} is of {', '.join(row.jobs)}." for row in own]
        left_out = {seed for source in having for seed in source.spec.seeds.values} - set(seeds)
        if left_out:
            notes.append(f"Only the seeds of all rows count: {_span(seeds)}; left out: {_span(sorted(left_out))}.")
    return notes


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _by_task(grids: Mapping[tuple[str, str], GridInfo]) -> list[GridInfo]:
    """Return the grids with those of a task together, in the order in which tasks and rows were found."""
    tasks = list(dict.fromkeys(task for task, _ in grids))
    return sorted(grids.values(), key=lambda grid: tasks.index(grid.task))
