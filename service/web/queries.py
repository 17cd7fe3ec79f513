"""The query of a call: a parameter that the call does not have is refused, as an unknown key of a body is."""

from collections.abc import Iterator

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from benchmark.parsing import MAX_UNKNOWN_KEYS, unknown_name


async def _require_known(request: Request) -> None:
    given = request.query_params.keys()
    route = request.scope.get("route")
    if not given or not isinstance(route, APIRoute):
        return
    known = set(_parameters(route.dependant))
    unknown = [name for name in given if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"loc": ("query", name), "msg": unknown_name("parameter", name[:MAX_NAME], known)}
                for name in unknown[:MAX_UNKNOWN_KEYS]
            ]
        )


def _parameters(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the parameters that a call and what it depends on take from the query."""
    yield from (field.alias for field in dependant.query_params)
    for one in dependant.dependencies:
        yield from _parameters(one)


MAX_NAME = 100
KNOWN_QUERY = Depends(_require_known)
