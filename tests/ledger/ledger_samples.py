"""Runs, batches and series to fill a ledger with."""

from collections.abc import Awaitable, Callable
from typing import Any

from bridge.follow.state import FollowedRun
from bridge.ledger.ledger import Batch, DeadLetter, Export, Ledger, Plan, SeriesKey, Total
from bridge.map.failures import Failure

Opener = Callable[..., Awaitable[Ledger]]
Opens = Callable[[object], Awaitable[Ledger]]
Reopen = Callable[[], Awaitable[Ledger]]  # everything is asserted after a restart: what counts is what was written

NOW = 1_700_000_000.0
STEPS = "letta.steps"
DURATION = "letta.step.duration"
SUCCESS = (("letta.step.status", "success"),)

LETTER = DeadLetter(kind="span", source="step-9", reason="attribute too long", payload=b"\xff\x00span")
UNREADABLE = DeadLetter(kind="step", source="step-8", reason="no id", payload=b'{"id": "\xff"}')
FAILURE = Failure(
    kind="step", seen_at=NOW + 1 / 3, status="failed", message='llm "é"', trace_id="0a" * 16, span_id="0b" * 8,
    run_id="run-1", step_id="step-2", agent_id="agent-1", agent_name="Ada", error_type="llm_error", model_handle="m",
)  # fmt: skip
COUNTED: SeriesKey = (STEPS, SUCCESS)
MEASURED: SeriesKey = (DURATION, ())
TELLING = [
    Export(b"\x00first", {COUNTED: Total(sum=2**53 + 1, count=3), MEASURED: Total(sum=2.0, count=1, buckets=(0, 1))}),
    Export(b"second", {("odd", ()): Total(sum=1, count=1)}),
]


def followed(name: str, **fields: Any) -> FollowedRun:
    """A run that was just discovered, unless `fields` say otherwise."""
    known: dict[str, Any] = {"agent_id": "agent-1", "created_ns": 1, "status": "created"}
    return FollowedRun(id=name, first_seen=NOW, last_news=NOW, **known | fields)


def closed(name: str, **fields: Any) -> FollowedRun:
    """A tombstone."""
    return followed(name, **{"phase": "closed"} | fields)


def asking(name: str, **fields: Any) -> FollowedRun:
    """A run that stopped for an approval."""
    return followed(name, **{"status": "completed", "stop_reason": "requires_approval"} | fields)


def ids(runs: object) -> list[str]:
    """The runs' ids in their order."""
    assert isinstance(runs, list)
    return [run.id for run in runs]


def counted(value: float, instrument: str = STEPS) -> Plan:
    """A plan that adds `value` to one counter."""
    return Plan(totals=((instrument, SUCCESS, Total(sum=value)),))


def batch(*payloads: bytes, plan: Plan | None = None) -> Batch:
    """A batch of one span a payload."""
    return Batch(payloads, len(payloads), plan or Plan())


def visited(*runs: FollowedRun) -> Batch:
    """Runs that were looked at, with nothing to send."""
    return Batch((), 0, Plan(runs=runs))


FULL_PLAN = Plan(
    runs=(followed("run-1", phase="closed", cursor="step-2", sent=("step-3",), waiting={"step-4": NOW}),),
    totals=(
        (STEPS, SUCCESS, Total(sum=2)),
        (DURATION, (), Total(sum=1.5, count=2, buckets=(1, 1, 0))),
        ("odd", (("a", True), ("b", 1), ("c", 1.0), ("d", "1"), ("e", ("x", "y"))), Total(sum=1)),
    ),
    dead_letters=(UNREADABLE,),
    steps_watermark=NOW + 0.25,
    loose_steps={"step-7": NOW},
    failures=(FAILURE,),
)
