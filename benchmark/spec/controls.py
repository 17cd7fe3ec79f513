"""Controls of a spec: SAM at the radius that M-SAM had, beside each M-SAM entry."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from benchmark.errors import Problem
from benchmark.parsing import Text, pointer, unknown_name

if TYPE_CHECKING:
    from benchmark.spec.spec import Spec

CONTROLS = ("radius_matched",)
PARTNER = "msam"  # the rule whose radius a control takes
CONTROL = "sam"  # its own rule, which has the same hyperparameters
Controls = Annotated[
    tuple[Text, ...],
    Field(
        max_length=len(CONTROLS),
        description="radius_matched: beside each msam, SAM at the constant mean radius that msam had in the same cell",
        json_schema_extra={"items": {"type": "string", "enum": list(CONTROLS)}},
    ),
]


def control_label(label: str) -> str:
    """Return the label of the radius-matched control of an optimizer."""
    return f"{label}-radius-matched"


def partner_labels(spec: "Spec") -> list[str]:
    """Return the labels of the optimizers beside which a control is trained."""
    return [entry.title for entry in spec.optimizers if entry.name == PARTNER and spec.controls]


def control_problems(spec: "Spec") -> list[Problem]:
    """Return what is wrong with the controls of a spec."""
    problems = [
        Problem(pointer("controls", index), unknown_name("control", name, CONTROLS))
        for index, name in enumerate(spec.controls)
        if name not in CONTROLS
    ]
    if problems or not spec.controls:
        return problems
    if not partner_labels(spec):
        got = ", ".join(entry.name for entry in spec.optimizers) or "none"
        detail = f"a radius-matched control needs an optimizer whose name is {PARTNER}, but got {got}; add one."
        problems.append(Problem("/controls/0", detail))
    if spec.search.method == "tpe":
        detail = (
            "the cells of a control must be known ahead, but those of a tpe search are not; "
            "use grid, random or sobol, or remove the control."
        )
        problems.append(Problem("/controls/0", detail))
    return problems
