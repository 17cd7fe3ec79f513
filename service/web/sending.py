"""Sending what is rendered: not to who has it already, compressed to who takes that, as a file where it has a name."""

from fastapi import Request, Response

from service.web.conditional import headers_of, unchanged
from service.web.negotiation import takes_gzip
from service.web.rendered import Rendered

ENCODING = "Accept-Encoding"


def sent(
    request: Request, rendered: Rendered, media_type: str, *, name: str | None = None, vary: str | None = None
) -> Response:
    """Return a representation, or 304 for who has it.

    Args:
        request: to be answered.
        rendered: what is sent.
        media_type: of it.
        name: of a file, which a browser saves and never shows as our page.
        vary: the header of the request that chose the representation.
    """
    is_packed = rendered.gzipped is not None and takes_gzip(request)
    # each encoding has a strong tag of its own (RFC 9110, 8.8.3.3)
    tag = f'{rendered.tag[:-1]}-gzip"' if is_packed else rendered.tag
    headers = headers_of(tag, vary=ENCODING if vary is None else f"{vary}, {ENCODING}")
    if same := unchanged(request, headers):
        return same
    if name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if not is_packed:
        return Response(rendered.content, media_type=media_type, headers=headers)
    return Response(rendered.gzipped, media_type=media_type, headers=headers | {"Content-Encoding": "gzip"})
