"""Each signal to a sink of its own; a signal without one is dropped, as OTEL_TRACES_EXPORTER=none asks."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.export.answers import Accepted, Answer, Signal, Sink


class RoutedSink:
    """Several sinks as one."""

    def __init__(self, sinks: Mapping[Signal, Sink]) -> None:
        """Take the sinks; one may serve several signals."""
        self._sinks = sinks

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Send to the signal's sink."""
        sink = self._sinks.get(signal)
        return await sink.send(signal, payload) if sink else Accepted()

    async def close(self) -> None:
        """Close every sink once."""
        for sink in {id(sink): sink for sink in self._sinks.values()}.values():
            await sink.close()
