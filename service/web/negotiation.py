"""Which format a request gets: what `?format=` names, else what `Accept` likes best."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request

MAX_RANGES = 50
JSON = "application/json"
TEXTS = ("application/x-tex", "image/svg+xml")


def files(offered: Mapping[str, str]) -> dict[str, Any]:
    """Return the `content` of a route's response for the media types that are offered beside JSON."""
    return {media_type: {"schema": _schema(media_type)} for media_type in offered.values() if media_type != JSON}


def _schema(media_type: str) -> dict[str, str]:
    # JSON Schema has no word for bytes: a media type of its own says that a text is none
    is_text = media_type.startswith("text/") or media_type in TEXTS
    return {"type": "string"} | ({} if is_text else {"contentMediaType": media_type})


def negotiated(request: Request, asked: str | None, offered: Mapping[str, str]) -> str:
    """Return the name of the format that a request gets.

    Args:
        request: whose `Accept` counts where no format is asked for by name; without one, the first format is it.
        asked: by name.
        offered: media types by name; of formats that are liked alike, the first is taken.

    Raises:
        HTTPException: 406, when none of them is acceptable.
    """
    if asked is not None:
        return asked
    accept = ", ".join(request.headers.getlist("accept"))
    if not accept.strip():
        return next(iter(offered))
    ranges = [_range(part) for part in accept.split(",")[:MAX_RANGES]]
    likings = {name: _liking(media_type, ranges) for name, media_type in offered.items()}
    best = max(likings, key=lambda name: likings[name])
    if not likings[best]:
        known = ", ".join(f"{media_type} (?format={name})" for name, media_type in offered.items())
        detail = f"there is nothing here that Accept: {accept[:200]!r} allows; there are {known}."
        raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, detail, {"Vary": "Accept"})
    return best


def takes_gzip(request: Request) -> bool:
    """Whether the client says that it reads what is compressed with gzip."""
    accept = ",".join(request.headers.getlist("accept-encoding"))
    return any(weight > 0 for coding, weight in map(_range, accept.split(",")[:MAX_RANGES]) if coding == "gzip")


def _range(part: str) -> tuple[str, float]:
    """Return a media range and how much it is liked, 0 to 1; what cannot be read is not liked."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
    return media_range, weight if 0 < weight <= 1 else 0.0


def _liking(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Return how much a media type is liked: the most specific range that it is in says so."""
    kind = media_type.partition("/")[0]
    for wanted in (media_type, f"{kind}/*", "*/*"):
        weights = [weight for media_range, weight in ranges if media_range == wanted]
        if weights:
            return max(weights)
    return 0.0
