"""Spec: what a job is to run, validated and frozen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, StrictBool
from pydantic import ValidationError as PydanticError

from benchmark.documents import parse_text, read_text, with_lines
from benchmark.errors import SpecError
from benchmark.parsing import Integer, SpecModel, Text, plain_document, problems_of
from benchmark.spec.controls import Controls
from benchmark.spec.grids import Grid
from benchmark.spec.models import (
    MAX_ENTRIES,
    BaseEntry,
    Budget,
    Fixed,
    Limits,
    MetricChoice,
    OptimizerEntry,
    Resources,
    Search,
    Seeds,
    SharpnessChoice,
    Space,
    TaskEntry,
)
from benchmark.spec.resolve import resolve
from benchmark.tasks import task_names
from optimizers import base_names, optimizer_names

DEFAULT_MAX_CELLS = 100_000
MAX_CELLS = "max_cells"  # key of the validation context


class Spec(SpecModel):
    """A benchmark job as it is submitted: tasks, optimizers, their spaces, seeds and limits.

    Build one with `from_mapping`, `from_text` or `from_file`: these turn every broken rule into one `SpecError` with
    pointers. An instance is always valid: its names are registered and its values within their ranges.
    """

    schema_version: Annotated[Literal[1], Field(description="of the form of specs")] = 1
    name: Annotated[Text, Field(description="of the job, for people")]
    tags: Annotated[tuple[Text, ...], Field(max_length=32, description="by which jobs are found")] = ()
    reuse: Annotated[
        StrictBool, Field(description="take over records of the same cells, made in the same way, that are there")
    ] = True
    priority: Annotated[Integer, Field(ge=-1000, le=1000, description="the highest runs first")] = 0
    tasks: Annotated[tuple[TaskEntry, ...], Field(min_length=1, max_length=MAX_ENTRIES, description="what is trained")]
    budget: Budget = Field(
        default_factory=lambda: Budget(epochs=20), description="of every task that has none; 20 epochs where left out"
    )
    base: BaseEntry = Field(default_factory=BaseEntry, description="of every optimizer that names none")
    gd: Annotated[StrictBool, Field(description="add `gd` on the same base where no entry has it")] = True
    controls: Controls = ()
    optimizers: Annotated[
        tuple[OptimizerEntry, ...], Field(max_length=MAX_ENTRIES, description="what is compared")
    ] = ()
    space: Space = Field(
        default_factory=dict, description="axes, by hyperparameter, of every optimizer that has one of that name"
    )
    fixed: Fixed = Field(
        default_factory=dict, description="single values, of every optimizer that has a hyperparameter of that name"
    )
    search: Search = Field(default_factory=Search, description="how configurations are chosen from the space")
    seeds: Seeds = Field(default_factory=Seeds, description="with which every configuration is trained")
    metric: MetricChoice = Field(default_factory=MetricChoice, description="that scores a run")
    sharpness: SharpnessChoice = ()
    resources: Resources = Field(default_factory=Resources, description="of a pack")
    limits: Limits = Field(default_factory=Limits, description="of time")

    _grids: tuple[Grid, ...] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:
        """Resolve the names against the registries.

        Raises:
            SpecError: when a name is unknown or a value outside its range.
        """
        grids, problems = resolve(self, (context or {}).get(MAX_CELLS, DEFAULT_MAX_CELLS))
        if problems:
            raise SpecError(problems)
        self._grids = grids

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any], *, max_cells: int = DEFAULT_MAX_CELLS) -> Self:
        """Return the spec that a parsed document describes.

        Args:
            document: keys and values as YAML or JSON gives them.
            max_cells: the largest number of cells that is accepted.

        Raises:
            SpecError: with one problem a broken rule.
        """
        plain = plain_document(document)
        try:
            return cls.model_validate(plain, context={MAX_CELLS: max_cells})
        except PydanticError as error:
            raise SpecError(problems_of(error, plain)) from error

    @classmethod
    def from_text(cls, text: str, *, origin: str = "the text", max_cells: int = DEFAULT_MAX_CELLS) -> Self:
        """Return the spec that YAML or JSON text describes; raises SpecError as `from_mapping` does, with lines."""
        document = parse_text(text, origin)
        try:
            return cls.from_mapping(document, max_cells=max_cells)
        except SpecError as error:
            raise SpecError(with_lines(error.problems, text)) from error

    @classmethod
    def from_file(cls, path: str | Path, *, max_cells: int = DEFAULT_MAX_CELLS) -> Self:
        """Return the spec that a YAML or JSON file describes; raises SpecError as `from_mapping` does."""
        return cls.from_text(read_text(Path(path)), origin=str(path), max_cells=max_cells)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """One grid for each task and optimizer, in the order of the spec; an added `gd` comes first."""
        return self._grids

    @property
    def n_cells(self) -> int:
        """Number of training runs."""
        return sum(grid.n_configurations for grid in self.grids) * self.seeds.count

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values, defaults filled in; what has no value is left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of specs, with the names that are known in this process."""
        schema = cls.model_json_schema()
        names = {"TaskEntry": task_names(), "OptimizerEntry": optimizer_names(), "BaseEntry": base_names()}
        for entry, known in names.items():
            schema["$defs"][entry]["properties"]["name"]["enum"] = list(known)
        return schema
