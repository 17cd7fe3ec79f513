"""The parts of a spec as it is written: frozen models whose fields are the keys of the document."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from benchmark.canonical import round_significant
from benchmark.parsing import Integer, Label, Number, Scalar, SpecModel, Text, unknown_name
from benchmark.sharpness import MEASURES
from benchmark.spec.axes import Axis

MAX_AXES = 16
MAX_ENTRIES = 100
MAX_SEEDS = 10_000
MAX_CONFIGURATIONS = 100_000
MAX_ADAPTIVE = 2_000
MAX_LIST = 64  # numbers in one parameter of a task
Space = Annotated[dict[Text, Axis], Field(max_length=MAX_AXES)]
Fixed = Annotated[dict[Text, Scalar], Field(max_length=MAX_AXES)]


def _must_be_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    if values:
        raise ValueError(
            f"the list must be empty, for this version offers nothing to put there, but got {', '.join(values)}."
        )
    return values


# Keys that a later version gives a meaning; until then a spec may say that it wants nothing of them.
Unavailable = Annotated[tuple[Text, ...], Field(max_length=MAX_ENTRIES), AfterValidator(_must_be_empty)]


def _known_measures(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in MEASURES:
            raise ValueError(unknown_name("measure of sharpness", value, MEASURES))
        if values.count(value) > 1:
            raise ValueError(f"a measure of sharpness may stand once, but got {value} {values.count(value)} times.")
    return tuple(name for name in MEASURES if name in values)


SharpnessChoice = Annotated[
    tuple[Text, ...],
    Field(
        max_length=len(MEASURES),
        description="measured where a run ended, on at most 512 training examples",
        json_schema_extra={"items": {"enum": list(MEASURES)}, "uniqueItems": True},
    ),
    AfterValidator(_known_measures),
]


class Budget(SpecModel):
    """How long a cell is trained, and on what schedule."""

    epochs: Annotated[Integer, Field(ge=1, le=100_000, description="passes over the training data")] | None = None
    gradient_evaluations: (
        Annotated[
            Integer,
            Field(
                ge=1,
                le=1_000_000_000,
                description="in place of epochs: what a run may spend; a step of SAM costs two, one of gd one",
            ),
        ]
        | None
    ) = None
    batch_size: Annotated[
        Integer, Field(ge=1, le=1_000_000, description="examples in a step; all of them where there are fewer")
    ] = 64
    schedule: Annotated[
        Literal["constant", "cosine"], Field(description="of the learning rate over the steps of a run")
    ] = "constant"
    warmup: Annotated[
        Number,
        AfterValidator(round_significant),
        Field(ge=0, lt=1, description="share of the steps over which lr rises linearly"),
    ] = 0.0
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"],
        Field(
            description="of the forward pass in training; parameters, gradients and measurements are fp32. In fp16 the "
            "loss is scaled"
        ),
    ] = "fp32"
    micro_batch: Annotated[
        Annotated[Integer, Field(ge=1, le=1_000_000)] | None,
        Field(
            description="most examples that go through the model at once, where memory is short; the gradient is still "
            "that of the batch",
            exclude_if=lambda size: size is None,  # settings that do without keep their keys
        ),
    ] = None
    processes: Annotated[
        Integer,
        Field(
            ge=1,
            le=64,
            description="that train a cell together, each with a share of every batch and, where packs have any, a GPU",
            exclude_if=lambda n: n == 1,
        ),
    ] = 1
    ascent_sync: Annotated[
        Literal["local", "global"],
        Field(
            description="whose gradient the perturbations of several processes follow: each its own, or that of all",
            exclude_if=lambda sync: sync == "global",
        ),
    ] = "global"

    @property
    def can_fuse(self) -> bool:
        """Whether its steps can be those of many cells at once."""
        return self.precision != "fp16" and self.micro_batch is None and self.processes == 1

    @property
    def share(self) -> int:
        """Examples of a batch that one process takes."""
        return self.batch_size // self.processes

    @model_validator(mode="after")
    def _one_length(self) -> "Budget":
        if (self.epochs is None) == (self.gradient_evaluations is None):
            raise ValueError(
                "exactly one of epochs and gradient_evaluations must be given, "
                f"but got epochs={self.epochs}, gradient_evaluations={self.gradient_evaluations}."
            )
        return self

    @model_validator(mode="after")
    def _equal_shares(self) -> "Budget":
        if self.batch_size % self.processes:
            raise ValueError(
                "batch_size must be a multiple of processes, "
                f"but got batch_size={self.batch_size}, processes={self.processes}."
            )
        if self.micro_batch is not None and self.micro_batch >= self.share:
            raise ValueError(
                f"micro_batch < batch_size / processes must hold, but got micro_batch={self.micro_batch}, "
                f"batch_size={self.batch_size}, processes={self.processes}; leave it out."
            )
        if self.ascent_sync == "local" and self.processes == 1:
            raise ValueError("ascent_sync: local goes with processes > 1, but got processes=1; leave it out.")
        return self


class _Open(SpecModel):
    """A model whose further keys are hyperparameters, checked against the registry."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar]
    open_keys: ClassVar[bool] = True


class BaseEntry(_Open):
    """The base optimizer and its hyperparameters: `{name: sgd, momentum: 0.9}`."""

    name: Annotated[Text, Field(description="of the base; its hyperparameters stand beside it")] = "sgd"

    @property
    def hyperparameters(self) -> dict[str, float | int | bool]:
        """What is given beside the name."""
        return dict(self.__pydantic_extra__ or {})


class MetricChoice(SpecModel):
    """The metric that scores a cell, and the tolerance, in its raw units, within which a score counts as good."""

    name: Annotated[Text, Field(description="one of the task's metrics; its first where left out")] | None = None
    tolerance: Annotated[Number, Field(gt=0, description="in raw units; the metric's own where left out")] | None = None


class TaskEntry(SpecModel):
    """A task of the job; one that stands twice with other parameters needs a label of its own."""

    name: Annotated[Text, Field(description="of a task that is registered")]
    label: Annotated[Label, Field(description="unique in the job; the name where left out")] | None = None
    params: dict[Text, Scalar | Text | Annotated[list[Scalar], Field(max_length=MAX_LIST)]] = Field(
        default_factory=dict, description="of the task; `rhobust tasks` lists them"
    )
    budget: Annotated[Budget | None, Field(description="in place of the spec's")] = None
    metric: Annotated[MetricChoice | None, Field(description="in place of the spec's")] = None

    @property
    def title(self) -> str:
        """The label, or the name where no label is given."""
        return self.label or self.name


class OptimizerEntry(SpecModel):
    """An optimizer of the job: a rule by name, with a label that is unique in the job."""

    name: Annotated[Text, Field(description="of an optimizer that is registered")]
    label: Annotated[Label, Field(description="unique in the job; the name where left out")] | None = None
    base: Annotated[BaseEntry | None, Field(description="in place of the spec's")] = None
    space: Space = Field(default_factory=dict, description="axes of this optimizer alone, which go before the spec's")
    fixed: Fixed = Field(default_factory=dict, description="values of this optimizer alone, which go before the spec's")

    @property
    def title(self) -> str:
        """The label, or the name where no label is given."""
        return self.label or self.name


class Search(SpecModel):
    """How the configurations of each optimizer are chosen.

    `grid`: every combination of the points of the axes. `random`, `sobol`: so many points of a design over the
    intervals. `tpe`: one after another, each where those before it promise the most.
    """

    method: Annotated[Literal["grid", "random", "sobol", "tpe"], Field(description="see above")] = "grid"
    n_configurations: (
        Annotated[
            Integer, Field(ge=1, le=MAX_CONFIGURATIONS, description="of each optimizer; not with grid, where n says it")
        ]
        | None
    ) = None
    seed: Annotated[Integer, Field(ge=0, le=2**31 - 1, description="of the design; 0 where left out")] | None = None

    @model_validator(mode="after")
    def _check(self) -> "Search":
        given = [name for name in ("n_configurations", "seed") if getattr(self, name) is not None]
        if self.method == "grid" and given:
            raise ValueError(f"{given[0]} goes with random, sobol and tpe, but got it with method=grid; remove it.")
        if self.method != "grid" and self.n_configurations is None:
            raise ValueError(f"n_configurations must be given with method={self.method}.")
        if self.method == "tpe" and (self.n_configurations or 0) > MAX_ADAPTIVE:
            raise ValueError(
                f"n_configurations <= {MAX_ADAPTIVE:,} must hold with method=tpe, whose every choice weighs all before "
                f"it, but got {self.n_configurations:,}; random and sobol take up to {MAX_CONFIGURATIONS:,}."
            )
        return self


class Seeds(SpecModel):
    """The seeds of every configuration: base, base + 1, ..."""

    count: Annotated[Integer, Field(ge=1, le=MAX_SEEDS, description="how many")] = 5
    base: Annotated[Integer, Field(ge=0, le=2**31 - 1 - MAX_SEEDS, description="the first")] = 0

    @property
    def values(self) -> range:
        """The seeds."""
        return range(self.base, self.base + self.count)


class Resources(SpecModel):
    """What a pack may use, and how many run at once."""

    gpus_per_pack: Annotated[
        Literal["auto"] | Annotated[Number, Field(ge=0, le=64)],
        Field(
            description="auto: the share of a GPU whose memory a pack needs, where the cluster declares GPUs; else 0"
        ),
    ] = "auto"
    cpus_per_pack: Annotated[Number, Field(gt=0, le=1024, description="that Ray sets aside for a pack")] = 1.0
    pack: Annotated[
        Literal["auto", "fused", "sequential"] | Annotated[Integer, Field(ge=1, le=100_000)],
        Field(description="how its cells are trained: at once or one after another; a number sets its size alone"),
    ] = "auto"
    max_concurrent: (
        Annotated[Integer, Field(ge=1, le=10_000, description="packs at once; as many as fit where left out")] | None
    ) = None


class Limits(SpecModel):
    """Wall seconds that one cell, and one attempt at the whole job, may take."""

    cell_s: Annotated[Number, Field(gt=0, le=30 * 86_400, description="a run beyond it is timed out")] = 3_600.0
    job_s: Annotated[Number, Field(gt=0, le=365 * 86_400, description="a job beyond it is failed")] = 86_400.0
