"""The backend's side of the faults: a real receiver behind the world's sink, which can be told to misbehave."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bridge_world import RecordingSink, World
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from receivers import Fails, GrpcReceiver, Hangs, HttpReceiver, Play, Received

from bridge.export.answers import Answer, Signal, Sink
from bridge.export.endpoint import Endpoint
from bridge.export.sink import open_sink

Spans = Sequence[Span]
Says = Play | bytes | Fails | Hangs
_TIMEOUT = 0.4  # seconds


def every(spans: Spans) -> bool:
    """Whatever comes, an empty request included."""
    return True


def several(spans: Spans) -> bool:
    return len(spans) > 1


def nothing(_spans: Spans) -> Spans:
    return ()


def everything(spans: Spans) -> Spans:
    return spans


class OneBadSpan:
    """Chooses the first LLM call it sees; holds for every request that this is in."""

    def __init__(self) -> None:
        self.bad: bytes | None = None

    def __call__(self, spans: Spans) -> bool:
        if self.bad is None:
            self.bad = next((span.span_id for span in spans if span.name.startswith("chat")), None)
        return self.bad in {span.span_id for span in spans}


@dataclass
class BackendFault:
    """What a backend does wrong.

    Attributes:
        says: what a request that meets the fault gets.
        on: which requests meet it.
        takes: the spans that the backend has taken all the same.
        times: how many requests meet it; None for all.
        met: how many have.
    """

    says: Says
    on: Callable[[Spans], bool] = every
    takes: Callable[[Spans], Spans] = nothing
    times: int | None = None
    met: int = 0

    def meets(self, spans: Spans) -> bool:
        meets = (self.times is None or self.met < self.times) and self.on(spans)
        self.met += meets
        return meets


class _Wired(RecordingSink):
    """The world's sink over a real one for spans; those it accepts are entered by the receiver itself."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        if signal is not Signal.TRACES:
            return await super().send(signal, payload)
        self.requests.append(payload)
        return await self._sink.send(signal, payload)

    async def close(self) -> None:
        await self._sink.close()


class Backend:
    """One receiver on one port, up or down."""

    def __init__(self, world: World, protocol: Literal["http/protobuf", "grpc"]) -> None:
        self._world = world
        self._protocol = protocol
        self._fault: BackendFault | None = None
        self._port = 0
        self._up = contextlib.AsyncExitStack()

    async def listen(self) -> None:
        """Answer at the port, the same one each time."""
        self._port = await (self._listen_grpc() if self._protocol == "grpc" else self._listen_http())

    async def hang_up(self) -> None:
        """Go away; connections break."""
        await self._up.aclose()
        self._up = contextlib.AsyncExitStack()

    @property
    def endpoint(self) -> Endpoint:
        path = "" if self._protocol == "grpc" else "/v1/traces"
        return Endpoint(url=f"http://127.0.0.1:{self._port}{path}", protocol=self._protocol, timeout=_TIMEOUT)

    @contextlib.contextmanager
    def fault(self, fault: BackendFault) -> Iterator[BackendFault]:
        self._fault = fault
        yield fault
        self._fault = None

    async def _listen_http(self) -> int:
        return (await self._up.enter_async_context(HttpReceiver(at=self._port, rule=self._judge))).port

    async def _listen_grpc(self) -> int:
        return (await self._up.enter_async_context(GrpcReceiver(port=self._port, rule=self._judge))).port

    def _judge(self, received: Received) -> Any:
        spans = received.spans()
        if self._fault and self._fault.meets(spans):
            self._world.sink.accepted += self._fault.takes(spans)
            return self._fault.says
        self._world.sink.accepted += spans
        return None


@contextlib.asynccontextmanager
async def backend(world: World, protocol: Literal["http/protobuf", "grpc"]) -> AsyncIterator[Backend]:
    """A receiver that the world's bridges send their spans to, over a socket."""
    receiver = Backend(world, protocol)
    await receiver.listen()
    world.sink = _Wired(open_sink(traces=receiver.endpoint, clock=world.clock))
    try:
        yield receiver
    finally:
        await world.sink.close()
        await receiver.hang_up()
