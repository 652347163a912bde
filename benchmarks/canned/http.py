"""The least HTTP/1.1 server that httpx, requests and letta-client are content with: no framework, no parsing library.

A request's header ends with an empty line, its body is as long as Content-Length says. Pipelined requests are
answered in their order. Anything else (chunks, Expect) is not there, for no contestant sends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple


class Request(NamedTuple):
    """One request; `target` is the path with its query, as it was sent."""

    method: bytes
    target: bytes
    body: bytes


class Response(NamedTuple):
    """One answer."""

    body: bytes
    status: int = 200
    content_type: bytes = b"application/json"


Answer = Callable[[Request], Response]

_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found"}


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answer, *, dated: bool) -> None:
        self._answer = answer
        self._dated = dated
        self._received = bytearray()
        self._needed = 0  # bytes until the request under way can be complete
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= self._needed and (request := self._take()):
            self._needed = 0
            self._reply(self._answer(request))

    def _take(self) -> Request | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._received[:end])
        stop = end + 4 + _content_length(head)
        if len(self._received) < stop:
            self._needed = stop
            return None
        body = bytes(self._received[end + 4 : stop])
        del self._received[:stop]
        method, target, _ = head.split(b" ", 2)
        return Request(method, target, body)

    def _reply(self, response: Response) -> None:
        assert self._transport
        head = b"HTTP/1.1 %d %b\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (
            response.status,
            _REASONS[response.status],
            b"date: %b\r\n" % _date(int(time.time())) if self._dated else b"",
            response.content_type,
            len(response.body),
        )
        self._transport.write(head + response.body)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def serve(answer: Answer, *, dated: bool = True) -> None:
    """Serve on a free port of the loopback until stdin closes; print the port as the first line.

    Without dates the bridge cannot tell that its clock was turned by hand.
    """
    asyncio.run(_serve(answer, dated=dated))


async def _serve(answer: Answer, *, dated: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answer, dated=dated), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    closed = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), closed.set)  # nothing is ever written to it: readable means closed
    await closed.wait()
    server.close()
