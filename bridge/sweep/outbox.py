"""What a sweep has mapped and not yet sent, and the batch it becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.follow.state import FollowedRun
from bridge.ledger.ledger import Batch, DeadLetter, Plan
from bridge.map.failures import Failure
from bridge.map.telemetry import LogEvent, Measurements, Span, Telemetry
from bridge.map.totals import fold
from bridge.source.parse import Malformed

Encode = Callable[[Sequence[Span]], tuple[bytes, ...]]
EncodeLogs = Callable[[Sequence[LogEvent]], tuple[bytes, ...]]


class Outbox:
    """Collects; `batch` hands everything over and begins anew."""

    def __init__(self) -> None:
        """Begin empty."""
        self._clear()

    def _clear(self) -> None:
        self._spans: list[Span] = []
        self._events: list[LogEvent] = []
        self._measurements: list[Measurements] = []
        self._failures: list[Failure] = []
        self._runs: list[FollowedRun] = []
        self._dead_letters: list[DeadLetter] = []
        self._loose_steps: dict[str, float] = {}
        self._steps_watermark: float | None = None
        self._loose_steps_since: float | None = None

    @property
    def span_count(self) -> int:
        """Spans collected."""
        return len(self._spans)

    def add_run(self, run: FollowedRun, telemetry: Telemetry = Telemetry()) -> None:  # noqa: B008 - immutable
        """A visited run as it is to be remembered, with what it became."""
        self._runs.append(run)
        self._add(telemetry)

    def add_loose_step(self, step_id: str, telemetry: Telemetry, *, at: float) -> None:
        """A step without a run."""
        self._loose_steps[step_id] = at
        self._add(telemetry)

    def add_malformed(self, malformed: Sequence[Malformed]) -> None:
        """Records that could not be read: kept, so that nothing is lost."""
        self._dead_letters += [
            DeadLetter(kind=lost.kind, source=lost.id, reason=lost.reason, payload=lost.text.encode())
            for lost in malformed
        ]

    def advance_steps(self, watermark: float, *, forget_before: float) -> None:
        """How far the global step list has been read, and which delivered ids it can no longer show."""
        self._steps_watermark = watermark
        self._loose_steps_since = forget_before

    def batch(self, encode: Encode, encode_logs: EncodeLogs) -> Batch | None:
        """Everything collected as one batch; None when there is nothing."""
        plan = Plan(
            runs=tuple(self._runs),
            totals=tuple((name, attributes, total) for (name, attributes), total in fold(self._measurements).items()),
            dead_letters=tuple(self._dead_letters),
            steps_watermark=self._steps_watermark,
            loose_steps=dict(self._loose_steps),
            loose_steps_since=self._loose_steps_since,
            failures=tuple(self._failures),
        )
        spans, events = self._spans, self._events
        examples = tuple(measurement for measurement in self._measurements if measurement.example)
        self._clear()
        if plan == Plan() and not spans and not events:
            return None
        return Batch(
            payloads=encode(spans) if spans else (),
            spans=len(spans),
            plan=plan,
            logs=encode_logs(events) if events else (),
            examples=examples,
        )

    def _add(self, telemetry: Telemetry) -> None:
        self._spans += telemetry.spans
        self._events += telemetry.events
        self._measurements += telemetry.measurements
        self._failures += telemetry.failures
