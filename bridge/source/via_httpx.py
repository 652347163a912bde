"""The way to Letta through httpx: for proxies, and for whatever transport a test puts there."""

from __future__ import annotations

import httpx

from bridge.source.answer import Answer, longest


class ViaHttpx:
    """A `bridge.source.answer.Way`, straight to the transport: the client would add redirects and cookies."""

    def __init__(self, base_url: str, headers: httpx.Headers, transport: httpx.AsyncBaseTransport) -> None:
        """Open nothing yet."""
        self._base_url = base_url
        self._headers = headers
        self._transport = transport

    async def get(self, target: str) -> Answer:
        """See `Way.get`."""
        try:
            return await self._get(target)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await self._get(target)

    async def _get(self, target: str) -> Answer:
        request = httpx.Request("GET", self._base_url + target, headers=self._headers)
        response = await self._transport.handle_async_request(request)
        try:
            most = longest(response.status_code)
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > most:
                    break
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, bytes(body))

    async def close(self) -> None:
        """See `Way.close`."""
        await self._transport.aclose()
