"""What the status page looks at: the live parts of a service, none of which it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bridge.health import Health
from bridge.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the sweeps stand; times are seconds since the epoch by the bridge's clock.

    Attributes:
        caught_up_at: when all that was due had been read and delivered; at first the start of the process.
        swept_at: when the last sweep ended, well or not; None before the first.
        sweeping_since: when the one under way began; None between two.
        retry_at: until when a side that failed is left alone; None where none is.
        postponed: runs that could not be read when they were last visited, with the reason.
    """

    caught_up_at: float
    swept_at: float | None = None
    sweeping_since: float | None = None
    retry_at: float | None = None
    postponed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watched:
    """The live parts.

    Attributes:
        health: updated by the sweeps.
        ledger: of the stream.
        standing: tells where the sweeps stand now.
        own_metrics: the bridge's own, cumulative since the start of the process.
    """

    health: Health
    ledger: Ledger
    standing: Callable[[], Standing]
    own_metrics: Callable[[], ExportMetricsServiceRequest]
