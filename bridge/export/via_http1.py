"""The straight way to a backend."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from bridge.export.way import LONGEST, succeeded
from bridge.http1 import Answer, NoAnswer, Origin

_IDLE: Final = 15.0  # seconds: what a backend has closed meanwhile is replaced
_AS_IT_IS: Final = "%/:@!$&'()*+,;=~?[]"  # a signature in the query may be of just the letters it is written in


class ViaHttp1:
    """A `bridge.export.way.Way`: no proxy, no cookie."""

    def __init__(self, url: str, headers: Mapping[str, str], trust: ssl.SSLContext | None) -> None:
        """Open nothing yet; raise ValueError where the URL has no host that could be one.

        Args:
            url: http or https; user and password in it are not looked at.
            headers: of every request.
            trust: whom to believe, for https.
        """
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        self._origin = Origin(url, trust=trust, idle=_IDLE, longest=lambda _: LONGEST)
        head = self._origin.head({"accept": "*/*", "accept-encoding": "gzip", **headers}).removesuffix(b"\r\n")
        self._head = f"POST {quote(target, safe=_AS_IT_IS)}".encode() + head

    async def post(self, body: bytes) -> Answer:
        """See `Way.post`."""
        try:
            return await self._twice(b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(body), body))
        except NoAnswer as error:
            if error.begun is None or succeeded(error.begun.status):
                raise
            return error.begun

    async def close(self) -> None:
        """See `Way.close`."""
        await self._origin.close()

    async def _twice(self, request: bytes) -> Answer:
        try:
            return await self._origin.ask(request)
        except NoAnswer as error:
            if not error.reused or error.begun:
                raise
        return await self._origin.ask(request)
