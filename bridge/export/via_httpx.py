"""The way to a backend through httpx, for proxies."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx

from bridge import proxy as proxies
from bridge.export.way import LONGEST, succeeded
from bridge.http1 import Answer, NoAnswer, NotHttp

_NO_HEAD = ("illegal status line", "illegal header line")  # h11's words


class ViaHttpx:
    """A `bridge.export.way.Way`."""

    def __init__(self, url: str, headers: Mapping[str, str], trust: ssl.SSLContext, proxy: str) -> None:
        """Open nothing yet; raise SettingsError where the proxy cannot be used."""
        self._url = url
        try:
            self._client = httpx.AsyncClient(
                headers=headers,
                verify=trust,
                proxy=proxy,
                timeout=None,  # noqa: S113 - the caller's covers the whole exchange
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise proxies.unusable(error) from error

    async def post(self, body: bytes) -> Answer:
        """See `Way.post`."""
        try:
            response = await self._send(body)
            try:
                return Answer(response.status_code, response.headers, await _read(response))
            finally:
                await response.aclose()
        except httpx.RemoteProtocolError as error:
            raise (NotHttp if str(error).startswith(_NO_HEAD) else NoAnswer)(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(str(error)) from error

    async def close(self) -> None:
        """See `Way.close`."""
        await self._client.aclose()

    async def _send(self, body: bytes) -> httpx.Response:
        attempt = _Attempt()
        try:
            return await self._once(body, attempt)
        except httpx.TransportError:
            if attempt.connected:
                raise
            return await self._once(body, attempt)

    async def _once(self, body: bytes, attempt: _Attempt) -> httpx.Response:
        request = self._client.build_request("POST", self._url, content=body, extensions={"trace": attempt.trace})
        return await self._client.send(request, stream=True)


class _Attempt:
    """Whether a connection had to be opened: where not, a failure may be the old connection's alone."""

    connected = False

    async def trace(self, event: str, _info: object) -> None:
        """Take part in httpcore's tracing."""
        self.connected = self.connected or event == "connection.connect_tcp.started"


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LONGEST:
                break
    except httpx.RequestError:
        if succeeded(response.status_code):
            raise
    return bytes(body)
