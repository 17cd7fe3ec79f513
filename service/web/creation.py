"""The answer to a call that makes something, or did so before under the same Idempotency-Key."""

from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel


def made(
    request: Request, path: str, shape: BaseModel, *, is_new: bool, status: HTTPStatus = HTTPStatus.CREATED
) -> Response:
    """Return the answer.

    Args:
        request: the call.
        path: of what was made, in the API.
        shape: what is said of it.
        is_new: whether this call made it.
        status: of the answer where it did; else it is 200.
    """
    root = request.scope.get("root_path", "")
    location = {"Location": f"{root}/api/v1{path}"}
    return JSONResponse(shape.model_dump(mode="json"), status if is_new else HTTPStatus.OK, location)
