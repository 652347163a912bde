"""Servers that say byte for byte what a test wants, and an origin that asks them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import trustme

from bridge.http1 import Answer, Origin

BODY = b'{"id": "step-1"}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
HEAD = b"HTTP/1.1 200 OK\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Lets `talk` have every connection, closes it afterwards, and counts them."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connections = 0
        self.talks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.talks.add(asyncio.create_task(self._served(reader, writer)))

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await self._talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Tls:
    """A certificate for a host, and both sides' contexts."""

    def __init__(self, host: str = "localhost", *, named: str = "localhost") -> None:
        self.host = host
        self.served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.trusted = ssl.create_default_context()
        authority = trustme.CA()
        authority.issue_cert(named).configure_cert(self.served)
        authority.configure_trust(self.trusted)


class Asker:
    """An origin, and what it is asked with."""

    def __init__(self, url: str, *, longest: int = 1 << 20, trust: ssl.SSLContext | None = None) -> None:
        self.origin = Origin(url, trust=trust, idle=60.0, longest=lambda _: longest)
        self._request = b"GET /" + self.origin.head({})

    async def get(self) -> Answer:
        async with asyncio.timeout(10):
            return await self.origin.ask(self._request)


@contextlib.asynccontextmanager
async def asking(
    talk: Talk, *, longest: int = 1 << 20, tls: Tls | None = None
) -> AsyncIterator[tuple[Asker, Server]]:
    server = Server(talk)
    served = tls.served if tls else None
    async with await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=served) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = f"https://{tls.host}:{port}" if tls else f"http://127.0.0.1:{port}"
        asker = Asker(url, longest=longest, trust=tls.trusted if tls else None)
        yield asker, server
        await asker.origin.close()
        await asyncio.gather(*server.talks)


def says(*answers: bytes) -> Talk:
    """Answers one request after another, then hangs up on the next."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    return talk


def once(answer: bytes) -> Talk:
    """Answers a request, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return talk
