"""The way to Letta through httpx: for proxies, and for whatever transport a test puts there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import httpx

from bridge.http1 import Answer, Disconnected, Unreachable, Unreadable
from bridge.source.way import longest


class ViaHttpx:
    """A `bridge.source.way.Way`, straight to the transport: the client would add redirects and cookies."""

    def __init__(self, base_url: str, headers: Mapping[str, str], transport: httpx.AsyncBaseTransport) -> None:
        """Open nothing yet."""
        self._base_url = base_url
        self._headers = headers
        self._transport = transport

    async def get(self, target: str) -> Answer:
        """See `Way.get`."""
        with _as_any_way_says_it():
            request = httpx.Request("GET", self._base_url + target, headers=self._headers)
            response = await self._transport.handle_async_request(request)
            try:
                return Answer(response.status_code, response.headers, await _body(response))
            finally:
                await response.aclose()

    async def close(self) -> None:
        """See `Way.close`."""
        await self._transport.aclose()


async def _body(response: httpx.Response) -> bytes:
    most = longest(response.status_code)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


@contextlib.contextmanager
def _as_any_way_says_it() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise TimeoutError(str(error)) from error
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
        raise Disconnected(str(error)) from error
    except httpx.TransportError as error:
        raise Unreachable(str(error)) from error
    except (httpx.DecodingError, httpx.InvalidURL) as error:
        raise Unreadable(str(error)) from error
