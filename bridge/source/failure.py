"""What an answer that is no 200 means, in one printable line that names the request and never the key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from bridge import retry_after
from bridge.errors import LettaMisbehaved, LettaNotFound, LettaRefused, LettaUnavailable
from bridge.http1 import Answer
from bridge.plain import one_line

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def failure(
    answer: Answer, request: str, *, mask: Callable[[str], str], now: float
) -> LettaUnavailable | LettaRefused | LettaNotFound | LettaMisbehaved:
    """The error to raise.

    Args:
        answer: Letta's, or of a proxy on its way.
        request: what was asked, for a person.
        mask: takes the key out of a text.
        now: seconds since the epoch, to read a Retry-After date against.
    """
    status, said = answer.status, mask(_said(answer))
    if status in _PASSING:
        wait = retry_after.seconds(answer.headers.get("retry-after"), now=now)
        return LettaUnavailable(f"Letta answered {status} to {request}: {said}", retry_after=wait, status=status)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return LettaRefused(f"Letta refused the key ({status}) for {request}: {said}. Check LETTA_API_KEY.")
    if status == HTTPStatus.NOT_FOUND and _names_a_record(answer):
        return LettaNotFound(f"Letta has nothing (404) for {request}: {said}")
    if status == HTTPStatus.NOT_FOUND:
        return LettaMisbehaved(f"{request} was answered 404: {said}. Is LETTA_BASE_URL a Letta server's address?")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        location = re.sub("[?#].*", "", answer.headers.get("location", ""))  # the query may hold the key
        target = one_line(mask(location)) or "nowhere"
        return LettaMisbehaved(
            f"{request} was redirected ({status}) to {target}. Set LETTA_BASE_URL to the server's final address."
        )
    return LettaMisbehaved(f"Letta answered {status} to {request}: {said}")


def _names_a_record(answer: Answer) -> bool:
    """Whether a 404 is Letta's word on one record; an unknown route, or a proxy on its way, says nothing of any."""
    body = _json(answer)
    detail = body.get("detail") if isinstance(body, dict) else None
    return isinstance(detail, str) and detail != "Not Found"


def _said(answer: Answer) -> str:
    """The answer's own words, on one short line."""
    body = _json(answer)
    if body is None:
        text = answer.body.decode(errors="replace")
    else:
        text = str(body.get("detail", body)) if isinstance(body, dict) else str(body)
    return one_line(text, longest=200) or "no words"


def _json(answer: Answer) -> object:
    """The body's value; None where it is no JSON, or does not say that it is."""
    if "json" not in answer.headers.get("content-type", ""):
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
