"""The connections to one server: kept alive for a while, and as many as there are requests at the same time."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from bridge.http1.answer import Answer, Disconnected, Unreachable
from bridge.http1.connection import Connection

_NEXT_ADDRESS_AFTER: Final = 0.25  # seconds; RFC 8305 has it so
_PORTS: Final = {"http": 80, "https": 443}


class Origin:
    """One server, by scheme, host and port.

    Attributes:
        authority: what a request's Host header says.
    """

    def __init__(self, url: str, *, trust: ssl.SSLContext | None, idle: float, longest: Callable[[int], int]) -> None:
        """Open nothing yet.

        Args:
            url: http or https.
            trust: for https.
            idle: seconds after which a connection is not used again.
            longest: says of which status how many bytes of a body are of use.

        Raises:
            ValueError: the host is no name.
        """
        address = urlsplit(url)
        self._host = (address.hostname or "").encode("idna").decode()
        self._port = address.port or _PORTS[address.scheme]
        self._trust = trust if address.scheme == "https" else None
        self._idle = idle
        self._made = partial(Connection, longest)
        self._resting: list[tuple[float, Connection]] = []  # the one that was used last at the end
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.authority = host if self._port == _PORTS[address.scheme] else f"{host}:{self._port}"

    def head(self, headers: Mapping[str, str]) -> bytes:
        """What follows a request's target, to the empty line.

        Raises:
            UnicodeError: a header has another character than ASCII has.
        """
        lines = [f"{name}: {value}" for name, value in {"host": self.authority, **headers}.items()]
        return "\r\n".join([" HTTP/1.1", *lines, "", ""]).encode("ascii")

    async def ask(self, request: bytes) -> Answer:
        """Send a request, byte for byte, and await its answer; it is sent once.

        Raises:
            NoAnswer: why there is none.
        """
        connection = self._rested() or await self._connect()
        try:
            answer = await connection.ask(request)
        except Disconnected:
            await self.close()  # the others were left alone for as long
            raise
        if connection.usable:
            self._resting.append((asyncio.get_running_loop().time(), connection))
        return answer

    async def close(self) -> None:
        """Close the connections that rest."""
        while self._resting:
            self._resting.pop()[1].close()
        await asyncio.sleep(0)  # asyncio closes the sockets at its next turn

    def _rested(self) -> Connection | None:
        """The connection that was used last; where it was idle for too long, so were the others."""
        now = asyncio.get_running_loop().time()
        while self._resting:
            since, connection = self._resting.pop()
            if connection.usable and now - since <= self._idle:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                self._made,
                self._host,
                self._port,
                ssl=self._trust,
                server_hostname=self._host.rstrip(".") if self._trust else None,
                happy_eyeballs_delay=_NEXT_ADDRESS_AFTER,
            )
        except OSError as error:
            # Without asyncio's frames, which hold the error and the buffers of TLS until the collector comes.
            raise Unreachable(words(error)) from error.with_traceback(None)
        return connection


def words(error: OSError) -> str:
    """Why; of several addresses the first one's, for asyncio has them in its words alone (Python 3.11)."""
    found = re.search(r"\[Errno (\d+)\]", str(error))
    if found and not error.errno:
        return os.strerror(int(found[1]))
    return str(error) or "the connection was closed before TLS was agreed on"  # asyncio has no words for that
