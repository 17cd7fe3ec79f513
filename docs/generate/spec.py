"""The reference of specs, from their JSON Schema."""

from benchmark import Spec
from docs.generate.markdown import page, paragraphs
from docs.generate.schemas import Renderer

ORDER = ("TaskEntry", "OptimizerEntry", "Axis", "BaseEntry", "Budget", "Search", "Seeds", "MetricChoice")
LEAD = """\
Every key of a spec. [Writing a spec](../spec.md) tells what they are for. Unknown keys are errors. A server answers
`GET /api/v1/schemas/spec.json` with the schema of which this page is made, and with the names of its plug-ins in it."""


def spec_page() -> str:
    """Return the page."""
    schema = Spec.json_schema()
    renderer = Renderer()
    parts = schema["$defs"]
    names = [*ORDER, *sorted(parts.keys() - set(ORDER))]
    sections = [
        f"## {name}\n\n{paragraphs(parts[name]['description'])}\n\n{renderer.fields(parts[name])}" for name in names
    ]
    return page("Spec reference", LEAD, f"## Spec\n\n{renderer.fields(schema)}", *sections)
