"""The references of the Python client and of the two libraries below it, from their docstrings."""

import benchmark
import benchmark.tasks
import optimizers
import service.client
from docs.generate.docstrings import section
from docs.generate.markdown import page

CLIENT_LEAD = """\
`from service.client import Client`. [From Python](../python.md) shows how it is used; a call needs the scope that its
[REST call](rest.md) does."""
LIBRARY_LEAD = """\
What runs without a server: `benchmark`, the tasks in it, and `optimizers`, which needs torch alone."""
FIRST = ("Client", "Job")


def client_page() -> str:
    """Return the page of the client."""
    names = [*FIRST, *(name for name in service.client.__all__ if name not in FIRST)]
    found = {name: getattr(service.client, name) for name in names}
    sections = (section(name, thing, list(found.values())) for name, thing in found.items())
    return page("Client reference", CLIENT_LEAD, *sections)


def library_page() -> str:
    """Return the page of the libraries."""
    parts = []
    for package in (benchmark, benchmark.tasks, optimizers):
        parts.append(f"# {package.__name__}\n\n{package.__doc__ or ''}")
        found = {name: thing for name in package.__all__ if callable(thing := getattr(package, name))}
        parts += [section(name, thing, list(found.values())) for name, thing in found.items()]
    return page("Library reference", LIBRARY_LEAD, *parts)
