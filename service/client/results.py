"""The results of a job: tables, surfaces, figures, records and logs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from benchmark import Status
from benchmark.records import Scalar
from benchmark.robustness import HeldEqual
from service.client.answers import JobRecord
from service.client.exporting import ExportFormat, format_of, unfinished, write_optuna
from service.client.facts import JobFacts
from service.client.reruns import RerunAnswer

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.robustness import RobustnessTable

RECORDS_A_PAGE = 500
Split = Literal["validation", "test"]
RecordFormat = Literal["csv", "parquet"]


class JobResults(JobFacts):
    """What came of a job so far."""

    def table(self, *, view: HeldEqual | None = None) -> "RobustnessTable":
        """Return its robustness table, of what is recorded so far.

        Args:
            view: what is held equal between optimizers; by default what the budgets hold equal.

        Raises:
            ProblemError: where the view cannot be read off the curves, with the reason and the remedy.
        """
        from benchmark.robustness import RobustnessTable

        params = {} if view is None else {"view": view}
        return RobustnessTable.from_dict(self._client.json("GET", f"{self._path}/table", params=params))

    def rerun_answer(self) -> RerunAnswer:
        """Return whether a job that `rerun` made gave the same, of what is recorded so far.

        Raises:
            NotFoundError: when the job trains no other one again.
        """
        return RerunAnswer.of(self._client.json("GET", f"{self._path}/rerun"))

    def surface(self, split: Split = "test") -> "pd.DataFrame":
        """Return the response surface of every optimizer on every task: a row a configuration.

        Columns are `task`, `optimizer`, the swept hyperparameters (NaN where an optimizer does not sweep one), the
        `metric`, `mean` and `sd` of its score over the seeds in raw units, in which a diverged run scores the floor,
        and `n_seeds`, of which `n_diverged`, `n_collapsed` and `n_missing`.

        Args:
            split: which scores to show.
        """
        return surface_frame(self.surface_documents(split))

    def surface_documents(self, split: Split = "test") -> list[dict[str, Any]]:
        """Return the surfaces as the server tells them: axes with their scales, and each point with each seed."""
        return list(self._client.json("GET", f"{self._path}/surface", params={"split": split})["surfaces"])

    def slices(self) -> list[dict[str, Any]]:
        """Return the score along each hyperparameter through the best of each optimizer, and what is lost off it."""
        return list(self._client.json("GET", f"{self._path}/slices")["slices"])

    def tuning(self) -> list[dict[str, Any]]:
        """Return the expected best score of k trials for each optimizer, over k."""
        return list(self._client.json("GET", f"{self._path}/tuning")["curves"])

    def figure(
        self,
        name: str = "heatmap",
        *,
        task: str | None = None,
        optimizers: Sequence[str] = (),
        image_format: str = "svg",
    ) -> bytes:
        """Return a figure of what is recorded so far, as a file's bytes.

        Args:
            name: kind of figure; `GET /figures` lists them.
            task: label of the task; by default the first that can be shown, or all.
            optimizers: labels of those to show; by default all.
            image_format: svg, png or pdf; csv for what is drawn, a row a cell, a point or a run; json for Plotly.

        Raises:
            ProblemError: for an unknown name, and where the runs do not allow the figure, with the reason.
        """
        params: dict[str, Any] = {"format": image_format, "optimizer": list(optimizers)}
        params |= {} if task is None else {"task": task}
        return self._client.request("GET", f"{self._path}/figures/{quote(name, safe='')}", params=params).content

    def records(self) -> "pd.DataFrame":
        """Return one row a cell: what it is, how it ended, its scores and cost."""
        import pandas as pd

        return pd.read_parquet(BytesIO(b"".join(self.records_file("parquet"))))

    def records_file(self, file_format: RecordFormat) -> Iterator[bytes]:
        """Yield a file with one row a cell in pieces, as they come.

        Raises:
            ServerUnreachableError: when the server goes away meanwhile; what came until then is not the whole file.
        """
        return self._client.download(f"{self._path}/records", {"format": file_format})

    def export(
        self,
        path: str | Path,
        file_format: ExportFormat | None = None,
        *,
        force: bool = False,
        on_trial: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Write its records into a file for other tools; it is there whole or not at all.

        Args:
            path: of the file.
            file_format: csv or parquet with a row a cell, or an Optuna storage in SQLite with a study an optimizer and
                task and a trial a configuration; by default what the ending of the path says.
            force: whether a file that is there is replaced.
            on_trial: called with the number of trials of a study that are written, which takes its time.

        Raises:
            ClientError: when the file is there, cannot be written, or has an ending that says nothing.
        """
        chosen = file_format or format_of(Path(path))
        with unfinished(Path(path), force=force) as unnamed:
            if chosen == "optuna":
                write_optuna(self, unnamed, on_trial)
            else:
                with unnamed.open("wb") as file:
                    file.writelines(self.records_file(chosen))

    def iter_records(
        self,
        *,
        curves: bool = False,
        status: Status | str | None = None,
        optimizer: str | None = None,
        task: str | None = None,
        at: Mapping[str, Scalar] | None = None,
    ) -> Iterator[JobRecord]:
        """Yield its records, a page at a time as they are consumed.

        Args:
            curves: whether each comes with its curve.
            status: only those that ended so.
            optimizer: only those of this optimizer, by its label.
            task: only those of this task, by its label.
            at: only those of cells with these hyperparameters, in full, as `surface` has them.
        """
        filters = {"status": status, "optimizer": optimizer, "task": task}
        params: dict[str, Any] = {"curves": curves, "page_size": RECORDS_A_PAGE}
        params["at"] = [f"{name}={json.dumps(value)}" for name, value in (at or {}).items()]
        params |= {name: value for name, value in filters.items() if value is not None}
        yield from map(JobRecord.of, self._client.pages(f"{self._path}/records", params))

    def logs(self, *, tail: int = 200) -> str:
        """Return the last lines of the log of its drivers.

        Raises:
            ProblemError: when the server has no log of it, saying where it may be.
        """
        return self._client.request("GET", f"{self._path}/logs", params={"tail": tail}).text

    def follow_logs(self, *, tail: int = 200) -> Iterator[str]:
        """Yield the last lines of the log of its drivers, and each new one until the job has ended.

        Raises:
            ProblemError: as `logs` does; where the log may still come, it is waited for.
            ServerUnreachableError: when the server goes away meanwhile.
        """
        return self._client.lines(f"{self._path}/logs", {"tail": tail, "follow": True})


def surface_frame(documents: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return surfaces as the server tells them in one frame, as `JobResults.surface` describes it."""
    import pandas as pd

    shown = ("mean", "sd", "n_diverged", "n_collapsed", "n_missing")
    rows: list[dict[str, Any]] = []
    swept: list[str] = []
    for one in documents:
        swept += [axis["name"] for axis in one["axes"]]
        head = {name: one[name] for name in ("task", "optimizer", "metric")} | {"n_seeds": len(one["seeds"])}
        rows += [head | point["hyperparameters"] | {name: point[name] for name in shown} for point in one["points"]]
    columns = ["task", "optimizer", *dict.fromkeys(swept), "metric", "mean", "sd", "n_seeds", *shown[2:]]
    return pd.DataFrame(rows, columns=columns)
