"""What the mapping makes: spans and measurements as plain data, ready to be encoded.

Trace ids are 16 bytes, span ids 8, times nanoseconds since the Unix epoch. Some twenty of these are made for each
step, which is why they are named tuples: a frozen dataclass takes two to five times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from bridge.map.failures import Failure
from bridge.map.series import AttributeSet, AttributeValue, SeriesGroup

Attributes = Mapping[str, AttributeValue]

_NONE: Final[Attributes] = MappingProxyType({})


class Layer(dict[str, AttributeValue]):
    """Attributes that several spans have: made once, by `values.layer`, and never changed.

    Attributes:
        wire: where an encoder keeps what it made of them, so that it makes it once too.
    """

    wire: bytes | None = None


class SpanKind(IntEnum):
    """The OTLP numbers of the two kinds in use."""

    INTERNAL = 1
    CLIENT = 3


# Python 3.11 takes as long to look up a member of an enum as to call a function.
INTERNAL: Final = SpanKind.INTERNAL
CLIENT: Final = SpanKind.CLIENT


class StatusCode(IntEnum):
    """The OTLP numbers of a span's status."""

    UNSET = 0
    OK = 1
    ERROR = 2


class Event(NamedTuple):
    """Something that happened at one moment within a span."""

    name: str
    time_ns: int
    attributes: Attributes = _NONE


class Link(NamedTuple):
    """A pointer to a span of this or another trace."""

    trace_id: bytes
    span_id: bytes
    attributes: Attributes = _NONE


class Span(NamedTuple):
    """One finished span.

    Attributes:
        parent_id: empty for a root.
        layers: its attributes, those that other spans have too and its own; no name is in two of them.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    layers: tuple[Attributes, ...]
    status: StatusCode = StatusCode.UNSET
    status_message: str = ""
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def attributes(self) -> Attributes:
        """All of its attributes, in the order of the layers."""
        return {name: value for layer in self.layers for name, value in layer.items()}


class Severity(IntEnum):
    """The OTLP numbers of the severities in use."""

    INFO = 9
    WARN = 13
    ERROR = 17


class LogEvent(NamedTuple):
    """One OTLP log record in the context of a span, which may have been sent long before.

    Attributes:
        name: the record's event name.
        time_ns: when it happened; 0 where Letta keeps no time of it.
        observed_ns: when the bridge saw it.
        trace_id: of the span that it is about.
        span_id: of the span that it is about.
        severity: the OTLP number: 9 INFO, 13 WARN, 17 ERROR.
        body: one line for a person.
        attributes: as on a span.
    """

    name: str
    time_ns: int
    observed_ns: int
    trace_id: bytes
    span_id: bytes
    severity: int
    body: str
    attributes: Attributes


class Example(NamedTuple):
    """The span that a measurement was taken of, for OTLP's exemplars; `time_ns` is when it ended."""

    trace_id: bytes
    span_id: bytes
    time_ns: int


class Measurement(NamedTuple):
    """One value for one instrument of `bridge.map.instruments`: added to a counter, observed by a histogram."""

    instrument: str
    attributes: AttributeSet
    value: float  # an int where the instrument counts
    example: Example | None = None


class Measurements(NamedTuple):
    """Values that were taken together.

    Attributes:
        group: the series that they are for.
        values: at the same places; None for a series that has none this time.
        example: the span that those of histograms were taken of.
    """

    group: SeriesGroup
    values: tuple[float | None, ...]
    example: Example | None = None


class Telemetry(NamedTuple):
    """All that one step or one run becomes."""

    spans: tuple[Span, ...] = ()
    measurements: tuple[Measurements, ...] = ()
    events: tuple[LogEvent, ...] = ()
    failures: tuple[Failure, ...] = ()

    def plus(self, other: Telemetry) -> Telemetry:
        """Both, this one first."""
        return Telemetry(
            self.spans + other.spans,
            self.measurements + other.measurements,
            self.events + other.events,
            self.failures + other.failures,
        )
