"""One connection to a server: a request at a time, and its answer as llhttp reads it.

It is closed, and so not `usable` for another request, when the server says so or hangs up, when an answer is not
read to its end, and when more comes than was asked for. What is held of an answer has a limit, whatever is sent.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from bridge.http1.answer import Answer, Disconnected, NoAnswer, NotHttp, Unreadable
from bridge.http1.incoming import Incoming, PackedOtherwise

_LONGEST_HEAD: Final = 256 << 10  # bytes
_FIRST_FINAL: Final = 200  # the status of an answer that is none yet, but announces one, is below


class Connection(asyncio.Protocol):
    """What `loop.create_connection` makes; `ask` when it is made."""

    _transport: asyncio.Transport
    _parser: HttpResponseParser

    def __init__(self, longest: Callable[[int], int]) -> None:
        """`longest` says of which status how many bytes of the body are of use."""
        self._longest = longest
        self._asked = 0
        self._received = 0  # bytes since the request
        self._coming = Incoming()
        self._waiter: asyncio.Future[Answer] | None = None

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        return self._waiter is None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Send a request, byte for byte, and await its answer; whoever stops waiting for it closes the connection.

        Raises:
            Disconnected, NotHttp, Unreadable: there is none; the connection is closed.
        """
        self._asked += 1
        self._received = 0
        self._waiter = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._fail(Disconnected("the connection was closed at once"))
        else:
            self._transport.write(request)
        try:
            return await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        """At once; what is under way fails."""
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody waits for ends the connection."""
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(NotHttp(f"no HTTP: {error}"), error)
        if self._received > _LONGEST_HEAD and self._is_waited_for() and self._received > self._most():
            self._fail(NotHttp("no HTTP: more than an answer can be"))

    def connection_lost(self, error: Exception | None) -> None:
        """Where neither a length nor chunks were announced, this is how a body ends."""
        if error is None and self._coming.ends_with_the_connection():
            self._finish()
        self._fail(Disconnected("the connection was closed before the answer's end"), error)
        del self._parser  # it refers to this connection, which would wait for the collector, with TLS's 256 kB

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer begins, or the one that was announced by another (1xx); or none was asked for."""
        if not self._is_waited_for():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or what follows the body."""
        self._coming.header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        status = self._parser.get_status_code()
        try:
            self._coming.head(status, self._longest(status))
        except PackedOtherwise as error:
            self._fail(Unreadable(str(error)))

    def on_body(self, data: bytes) -> None:
        """A part of it."""
        try:
            self._coming.body(data)
        except zlib.error as error:
            self._fail(Unreadable(f"the body cannot be unpacked: {error}"), error)
        if self._coming.is_full:
            self.close()
            self._finish()

    def on_message_complete(self) -> None:
        """The answer is whole, unless it only announced another."""
        if self._coming.status is None or self._coming.status < _FIRST_FINAL:
            self._coming = Incoming()
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._finish()

    def _is_waited_for(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _most(self) -> int:
        """How many bytes an answer can be, with its chunks' sizes and what follows the body."""
        status = self._coming.status
        return _LONGEST_HEAD + (0 if status is None else 2 * self._longest(status))

    def _finish(self) -> None:
        answer = self._coming.answer()
        if answer and self._waiter and not self._waiter.done():
            self._waiter.set_result(answer)
        self._coming = Incoming()  # else an idle connection would keep the body in memory

    def _fail(self, failure: NoAnswer, cause: Exception | None = None) -> None:
        self.close()
        if self._waiter and not self._waiter.done():
            failure.__cause__ = cause
            failure.begun, failure.reused = self._coming.answer(), self._asked > 1
            self._waiter.set_exception(failure)
