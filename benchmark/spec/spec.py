"""Spec: what a job is to run, validated and frozen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, StrictBool
from pydantic import ValidationError as PydanticError

from benchmark.errors import SpecError
from benchmark.parsing import Integer, SpecModel, Text, parse_text, plain_document, problems_of, read_text
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

    schema_version: Literal[1] = 1
    name: Text
    tags: Annotated[tuple[Text, ...], Field(max_length=32)] = ()
    reuse: StrictBool = True
    priority: Annotated[Integer, Field(ge=-1000, le=1000)] = 0
    tasks: Annotated[tuple[TaskEntry, ...], Field(min_length=1, max_length=MAX_ENTRIES)]
    budget: Budget = Field(default_factory=lambda: Budget(epochs=20))
    base: BaseEntry = Field(default_factory=BaseEntry)
    gd: StrictBool = True
    controls: Controls = ()
    optimizers: Annotated[tuple[OptimizerEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    space: Space = Field(default_factory=dict)
    fixed: Fixed = Field(default_factory=dict)
    search: Search = Field(default_factory=Search)
    seeds: Seeds = Field(default_factory=Seeds)
    metric: MetricChoice = Field(default_factory=MetricChoice)
    sharpness: SharpnessChoice = ()
    resources: Resources = Field(default_factory=Resources)
    limits: Limits = Field(default_factory=Limits)

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
        """Return the spec that YAML or JSON text describes; raises SpecError as `from_mapping` does."""
        return cls.from_mapping(parse_text(text, origin), max_cells=max_cells)

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
