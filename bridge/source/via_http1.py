"""The straight way to Letta."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from bridge.errors import SettingsError
from bridge.http1 import Answer, Origin
from bridge.source.way import longest


class ViaHttp1:
    """A `bridge.source.way.Way`: no proxy, no redirect, no cookie."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, trust: ssl.SSLContext | None, idle: float
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: http or https, without a trailing slash.
            headers: of every request.
            trust: for https.
            idle: seconds after which a connection is not used again.

        Raises:
            SettingsError: the base URL has no host that could be one.
        """
        try:
            self._origin = Origin(base_url, trust=trust, idle=idle, longest=longest)
        except ValueError as error:
            raise SettingsError(f"LETTA_BASE_URL: {base_url} is not a server's address: {error}") from error
        self._path = quote(urlsplit(base_url).path, safe="/%:@!$&'()*+,;=~")
        self._head = self._origin.head(headers)

    async def get(self, target: str) -> Answer:
        """See `Way.get`."""
        return await self._origin.ask(f"GET {self._path}{target}".encode() + self._head)

    async def close(self) -> None:
        """See `Way.close`."""
        await self._origin.close()
