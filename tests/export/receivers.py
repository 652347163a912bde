"""Fakes of OTLP backends over loopback sockets, which can be told to misbehave.

`HttpReceiver` is a bare asyncio server, so that it can break the protocol at any byte. `GrpcReceiver` is a real gRPC
server. Both keep every request they got, and answer what their `rule` says; where that has no opinion, what was
queued with `answer`, then success for ever.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import grpc
import grpc.aio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request; `body` is unzipped."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int = 0

    def spans(self) -> list[Span]:
        return spans_of(self.body)

    def log_records(self) -> list[LogRecord]:
        return log_records_of(self.body)


def spans_of(payload: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(payload)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def log_records_of(payload: bytes) -> list[LogRecord]:
    request = ExportLogsServiceRequest.FromString(payload)
    return [record for group in request.resource_logs for scope in group.scope_logs for record in scope.log_records]


def says(status: int, body: bytes = b"", content_type: str = "application/x-protobuf", **headers: str) -> Play:
    """A well-formed answer; header names have _ for -."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", f"content-type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return writes("\r\n".join([*lines, "", ""]).encode() + body)


def writes(answer: bytes) -> Play:
    """These bytes, then the connection is kept."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return play


def resets_after(answer: bytes) -> Play:
    """These bytes, then the connection is torn down."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.transport.abort()

    return play


async def hangs(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """No answer until the client gives up."""
    await reader.read(1)


async def drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte at a time, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while not writer.is_closing():
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0.01)


@dataclass
class HttpReceiver:
    """OTLP over HTTP/1.1 on a loopback port; use it as an async context manager."""

    tls: ssl.SSLContext | None = None
    at: int = 0  # the port; 0 for any that is free
    rule: Callable[[Received], Play | None] = lambda _: None
    early: Play | None = None  # answers before the body is read
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    _plays: deque[Play] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def answer(self, *plays: Play) -> Self:
        self._plays.extend(plays)
        return self

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.at, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        try:
            while not writer.is_closing():
                await self._request(reader, writer, connection)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            await _close(writer)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        first = await reader.readexactly(1)
        if not first.isalpha():  # TLS, or HTTP/2 from the start
            await writes(b"HTTP/1.1 400 Bad Request\r\n\r\n")(reader, writer)
            raise ConnectionError("no request")
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        if self.early:
            await self.early(reader, writer)
            while await reader.read(65536):
                pass
            return
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        received = Received(head[0].split(" ")[1], headers, body, connection)
        self.requests.append(received)
        play = self.rule(received) or (self._plays.popleft() if self._plays else says(200))
        await play(reader, writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError, ssl.SSLError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()


class Hangs:
    """No answer until the client or the server gives up."""


@dataclass(frozen=True)
class Fails:
    """A gRPC failure, with trailing metadata."""

    code: grpc.StatusCode
    details: str = ""
    trailing: Sequence[tuple[str, str | bytes]] = ()


@dataclass
class GrpcReceiver:
    """OTLP over gRPC on a loopback port; use it as an async context manager."""

    credentials: grpc.ServerCredentials | None = None
    requests: list[Received] = field(default_factory=list)
    port: int = 0
    rule: Callable[[Received], bytes | Fails | Hangs | None] = lambda _: None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _answers: deque[bytes | Fails | Hangs] = field(default_factory=deque)

    def answer(self, *answers: bytes | Fails | Hangs) -> Self:
        self._answers.extend(answers)
        return self

    @property
    def url(self) -> str:
        return f"{'https' if self.credentials else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        for package, service in (
            ("trace", "TraceService"),
            ("metrics", "MetricsService"),
            ("logs", "LogsService"),
        ):
            name = f"opentelemetry.proto.collector.{package}.v1.{service}"
            method = grpc.unary_unary_rpc_method_handler(self._export(f"/{name}/Export"))
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": method}),))
        if self.credentials:
            self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self.credentials)
        else:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Break off whatever is under way."""
        await self._server.stop(None)

    def _export(self, path: str) -> Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]:
        async def export(payload: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            headers = {name: str(value) for name, value in context.invocation_metadata() or ()}
            received = Received(path, headers, payload)
            self.requests.append(received)
            self.arrived.set()
            answer = self.rule(received)
            if answer is None:
                answer = self._answers.popleft() if self._answers else b""
            if isinstance(answer, Fails):
                await context.abort(answer.code, answer.details, tuple(answer.trailing))
            if isinstance(answer, Hangs):
                await asyncio.Event().wait()
            return b"" if isinstance(answer, Hangs) else answer

        return export


@dataclass
class Relay:
    """Passes every byte on to another loopback port, counts what came from the client, and can cut the line."""

    target: int
    sent: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, far_writer}
        self._tasks |= {
            asyncio.create_task(self._pump(reader, far_writer, counted=True)),
            asyncio.create_task(self._pump(far_reader, writer, counted=False)),
        }

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        try:
            while data := await reader.read(65536):
                self.sent += len(data) * counted
                writer.write(data)
                await writer.drain()
        finally:
            await _close(writer)
