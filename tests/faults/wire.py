"""The stand-in behind a real socket that can break the protocol at any byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

import httpx
from bridge_world import World
from receivers import HttpReceiver, Play, Received, hangs, resets_after, says, writes

Breaks = Callable[[bytes], Play]  # given the good answer, byte for byte


def resets(_good: bytes) -> Play:
    """Torn down before a byte."""
    return resets_after(b"")


def resets_in_the_body(good: bytes) -> Play:
    return resets_after(good[:-20])


def ends_in_the_body(good: bytes) -> Play:
    """Closed in order, 20 bytes short of its content-length."""
    return closes_after(good[:-20])


def ends_between_chunks(good: bytes) -> Play:
    body = good.partition(b"\r\n\r\n")[2]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return closes_after(head + b"%x\r\n%s\r\n" % (len(body) // 2, body[: len(body) // 2]))


def hangs_up_at_once(_good: bytes) -> Play:
    return closes_after(b"")


def never_answers(_good: bytes) -> Play:
    return hangs


def hangs_in_the_body(good: bytes) -> Play:
    return _starts(good[:-20])


def drips(good: bytes) -> Play:
    """A byte now and then: never silent for as long as the time-out, and never done."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in good:
            if writer.is_closing():
                return
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    return play


def speaks_no_http(_good: bytes) -> Play:
    return closes_after(b"SSH-2.0-OpenSSH_9.6\r\n")


def says_what_nobody_asked(good: bytes) -> Play:
    """The answer twice: what is left over must not be taken for the next request's."""
    return closes_after(good + good)


def sends_endless_headers(_good: bytes) -> Play:
    return closes_after(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * (1 << 20))


def redirects_in_circles(_good: bytes) -> Play:
    return says(307, location="/v1/runs/?again=1")


def closes_after(answer: bytes) -> Play:
    """These bytes, then the connection is closed in order."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writes(answer)(reader, writer)
        writer.close()

    return play


def _starts(answer: bytes) -> Play:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writes(answer)(reader, writer)
        await hangs(reader, writer)

    return play


@dataclass
class Wire:
    """Letta on a port of its own; an async context manager, and `fault` is one for the time of a fault.

    Attributes:
        breaks: what happens to every answer; None for nothing.
        closing: every connection is closed after its answer, without a word about it, as an idle one is.
        met: how many answers were broken.
    """

    world: World
    breaks: Breaks | None = None
    closing: bool = False
    met: int = 0
    _onward: httpx.AsyncBaseTransport | None = None
    _port: int = 0
    _open: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> Self:
        self.world.wrap_transport = self._take
        await self.listen()
        self.world.environ["LETTA_BASE_URL"] = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()

    async def listen(self) -> None:
        receiver = await self._open.enter_async_context(HttpReceiver(rule=self._rule, at=self._port))
        self._port = receiver.port

    async def hang_up(self) -> None:
        """The server goes away; `listen` brings it back at the same port."""
        await self._open.aclose()
        self._open = contextlib.AsyncExitStack()

    @contextlib.contextmanager
    def fault(self, breaks: Breaks) -> Iterator[Self]:
        self.breaks = breaks
        yield self
        self.breaks = None

    def _take(self, onward: httpx.AsyncBaseTransport) -> None:
        self._onward = onward

    def _rule(self, received: Received) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            good = await self._good(received)
            if self.breaks:
                self.met += 1
                await self.breaks(good)(reader, writer)
            else:
                await (closes_after if self.closing else writes)(good)(reader, writer)

        return play

    async def _good(self, received: Received) -> bytes:
        assert self._onward
        response = await self._onward.handle_async_request(httpx.Request("GET", f"http://letta.test{received.path}"))
        body = await response.aread()
        lines = [f"HTTP/1.1 {response.status_code} OK", f"content-length: {len(body)}"]
        lines += [f"{name}: {response.headers[name]}" for name in ("content-type", "date")]
        return "\r\n".join([*lines, "", ""]).encode() + body
