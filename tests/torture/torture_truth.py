"""What the world holds in the end against the promise: one complaint a line, none is the only good answer.

The truth is Letta's own rows, by the rules that the tests against a real server use (`real.truth`), which share no
code with the bridge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Protocol

from bridge_world import events_in, spans_in
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from real import compare
from real.normalise import otlp_attributes, otlp_span
from real.seen import SeenSpan
from real.truth import USAGE, Totals, Truth, derive
from torture.torture_backend import Backend

from bridge.demo.standin.rows import Fields, Table
from bridge.export.answers import Signal
from bridge.ledger.ledger import DeadLetter, Ledger, SeriesKey, Total

ToldEvent = Mapping[str, Any]  # the attributes of a log event
WRONG: Final = frozenset({"failed", "cancelled", "abandoned"})
NOTHING: Final[Mapping[Table, Sequence[Fields]]] = MappingProxyType({})


class Ended(Protocol):
    """What is left when all is over."""

    backend: Backend
    deaths: int

    def rows(self, table: Table) -> list[Fields]:
        """Letta's rows."""
        ...


@dataclass(frozen=True)
class Books:
    """What a ledger holds once everything is done."""

    totals: Mapping[SeriesKey, Total]
    letters: Sequence[DeadLetter]
    in_flight: bool


async def books(ledger: Ledger) -> Books:
    """Read them."""
    letters = [kept.letter for kept in await ledger.dead_letters(limit=100_000)]
    return Books(await ledger.totals(), letters, in_flight=await ledger.in_flight() is not None)


def complaints(
    world: Ended, held: Books, *, dead: Collection[str] = (), gone: Mapping[Table, Sequence[Fields]] = NOTHING
) -> list[str]:
    """Everything that is not as promised.

    Args:
        world: what is left.
        held: what its ledger holds.
        dead: names of spans, first word, that are dead letters by right.
        gone: rows that Letta showed and no longer does: they may have been delivered, or not.
    """
    shown, ever = truth_of(world), truth_of(world, gone)
    events = told(world, held.letters)
    spans = seen(world.backend.taken.values(), held.letters, events)
    complaints = [*resent(world), *letters(held, dead)]
    complaints += [line for line in compare.spans_once(shown, spans) if line.startswith("missing")]
    complaints += [line for line in compare.spans_once(ever, spans) if not line.startswith("missing")]
    complaints += compare.usage(ever, spans)
    complaints += compare.parents(ever, [span for span in spans if span.run_id in shown.runs])
    complaints += compare.shape(spans)
    complaints += late(world, spans, events)
    complaints += went_wrong(world, spans, held.letters)
    complaints += off_by(counted(held.totals), totals_of(spans))
    complaints += off_by(feedback_counted(held.totals), feedback_of(events))
    if not gone:
        complaints += off_by(_without_outcomes(counted(held.totals)), _without_outcomes(shown.totals()))
    if held.in_flight:
        complaints.append("a batch is still aside")
    return complaints


def truth_of(world: Ended, gone: Mapping[Table, Sequence[Fields]] = NOTHING) -> Truth:
    """What Letta shows now, and what it showed once."""
    rows = {table: [*gone.get(table, ()), *world.rows(table)] for table in (Table.RUNS, Table.STEPS, Table.MESSAGES)}
    steps: dict[str, list[Fields]] = defaultdict(list)
    messages: dict[str, list[Fields]] = defaultdict(list)
    for step in rows[Table.STEPS]:
        steps[step["run_id"]].append(step)
    for message in rows[Table.MESSAGES]:
        messages[message["run_id"]] += message["shown"]
    return derive((run, steps[run["id"]], messages[run["id"]]) for run in rows[Table.RUNS])


def seen(
    taken: Iterable[Span], letters: Iterable[DeadLetter] = (), events: Sequence[ToldEvent] = ()
) -> list[SeenSpan]:
    """Each span once: what the backend took, and what lies in dead letters; with tokens that were told later."""
    kept = (span for letter in letters if letter.kind in {"span", "spans"} for span in spans_in(letter.payload))
    by_id = {span.span_id: span for span in (*kept, *taken)}
    spans = [otlp_span(MessageToDict(span, preserving_proto_field_name=True)) for span in by_id.values()]
    tokens = {event["letta.step.id"]: event for event in events if "letta.usage.total_tokens" in event}
    return [
        replace(span, attributes={**span.attributes, **_usage(tokens[span.step_id])})
        if span.operation == "chat" and span.step_id in tokens
        else span
        for span in spans
    ]


def told(world: Ended, letters: Iterable[DeadLetter]) -> list[ToldEvent]:
    """Each log event of a change once, in the order of its time: taken by the backend, or in dead letters."""
    return [_event(record) for record in _records(world, letters) if not _is_of_an_end(record)]


def went_wrong(world: Ended, spans: Sequence[SeenSpan], letters: Iterable[DeadLetter]) -> list[str]:
    """Each step that was sent as gone wrong has one event, and so has a run of which no step was."""
    found = Counter(
        (event.get("letta.step.id") or event["letta.run.id"], record["event_name"])
        for record in _records(world, letters)
        if _is_of_an_end(record)
        for event in [_event(record)]
    )
    steps = [span for span in spans if span.operation == "agent_step" and _status(span, "step") in WRONG]
    runs = [span for span in spans if span.operation == "invoke_agent" and _status(span, "run") in WRONG]
    excused = {step.run_id for step in steps}
    wanted = {(span.step_id, f"letta.step.{_status(span, 'step')}") for span in steps}
    wanted |= {(span.run_id, f"letta.run.{_status(span, 'run')}") for span in runs if span.run_id not in excused}
    might = {(span.run_id, f"letta.run.{_status(span, 'run')}") for span in runs}
    wrong = [f"{name} of {id_} told {n} times" for (id_, name), n in found.items() if n > 1]
    wrong += [f"{name} of {id_} was never told" for id_, name in wanted - found.keys()]
    return wrong + [f"{name} of {id_} told of nothing" for id_, name in found.keys() - wanted - might]


def _status(span: SeenSpan, of: str) -> str | None:
    status: str | None = span.attributes.get(f"letta.{of}.status")
    return status


def _is_of_an_end(record: Mapping[str, Any]) -> bool:
    return record["event_name"].rsplit(".", 1)[1] in WRONG


def _records(world: Ended, letters: Iterable[DeadLetter]) -> list[Mapping[str, Any]]:
    taken = [LogRecord.FromString(record) for record in world.backend.times[Signal.LOGS]]
    kept = [
        record for letter in letters if letter.kind in {"event", "events"} for record in events_in(letter.payload)
    ]
    by_form = {record.SerializeToString(deterministic=True): record for record in (*taken, *kept)}
    in_order = sorted(by_form.values(), key=lambda record: record.observed_time_unix_nano)
    return [MessageToDict(record, preserving_proto_field_name=True) for record in in_order]


def late(world: Ended, spans: Sequence[SeenSpan], events: Sequence[ToldEvent]) -> list[str]:
    """Of each step and run, what was told last is what its row says: feedback, tags, a change of mind."""
    steps = {span.step_id: dict(span.attributes) for span in spans if span.operation == "agent_step"}
    runs = {span.run_id: dict(span.attributes) for span in spans if span.operation == "invoke_agent"}
    wrong = []
    for event in events:
        about = steps.get(event["letta.step.id"]) if "letta.step.id" in event else runs.get(event["letta.run.id"])
        if about is not None:
            wrong += [f"told twice: {event}"] if event.items() <= about.items() else []
            about.update(event)
    over = {row["id"] for row in world.rows(Table.RUNS) if row["status"] not in {"created", "running"}}
    for row in world.rows(Table.STEPS):
        known = steps.get(row["id"], {})
        wrong += _differs(row, "feedback", known.get("gen_ai.evaluation.score.label"))
        wrong += _differs(row, "tags", list(known.get("letta.step.tags", ())))
    for row in world.rows(Table.RUNS):
        if row["id"] in over and row["id"] in runs:
            wrong += _differs(row, "status", runs[row["id"]].get("letta.run.status"))
    return wrong


def feedback_counted(totals: Mapping[SeriesKey, Total]) -> Totals:
    """What was counted as feedback, by value."""
    counts = {key: total.sum for key, total in totals.items() if key[0] == "letta.feedback"}
    return {
        ("letta.feedback", str(dict(attributes)["letta.feedback.value"])): n for (_, attributes), n in counts.items()
    }


def feedback_of(events: Sequence[ToldEvent]) -> Totals:
    """What must have been counted, by the events themselves."""
    name = "gen_ai.evaluation.score.label"
    return Counter(("letta.feedback", event[name]) for event in events if name in event)


def _differs(row: Fields, name: str, known: Any) -> list[str]:
    return [] if row[name] == known else [f"{row['id']}: {name} is {row[name]}, but {known} was told"]


def _event(record: Mapping[str, Any]) -> ToldEvent:
    return otlp_attributes(record.get("attributes", ()))


def _usage(event: ToldEvent) -> ToldEvent:
    return {name: value for name, value in event.items() if name in USAGE.values()}


def resent(world: Ended) -> list[str]:
    """What is sent again is the same, and only a death between yes and commit sends anything again."""
    changed = [f"sent in {len(f)} forms: {id_.hex()}" for id_, f in world.backend.forms.items() if len(f) > 1]
    too_often = [
        f"{signal} taken {times} times after {world.deaths} deaths: {what.hex()[:64]}"
        for signal, counter in world.backend.times.items()
        for what, times in counter.items()
        if times > 1 + world.deaths
    ]
    return changed + too_often


def letters(held: Books, dead: Collection[str]) -> list[str]:
    """Only what the backend will never take is a dead letter."""
    names = [
        (letter, span.name.split()[0])
        for letter in held.letters
        if letter.kind == "span"
        for span in spans_in(letter.payload)
    ]
    return [f"wrongly a dead letter: {name}: {letter.reason}" for letter, name in names if name not in dead]


def counted(totals: Mapping[SeriesKey, Total]) -> Totals:
    """The ledger's totals, split as `real.compare` splits them; sums of zero are left out."""
    sums: Counter[tuple[str, str]] = Counter()
    for (metric, attributes), total in totals.items():
        if metric in compare.SPLIT_BY:
            by = compare.SPLIT_BY[metric]
            sums[metric, str(dict(attributes).get(by, "")) if by else ""] += total.sum  # type: ignore[assignment]
    return {key: total for key, total in sums.items() if total}


def totals_of(spans: Sequence[SeenSpan]) -> Totals:
    """What the counters must be, by the spans themselves."""
    sums: Counter[tuple[str, str]] = Counter()
    for span in spans:
        match span.operation:
            case "agent_step":
                sums["letta.steps", span.attributes["letta.step.status"]] += 1
            case "invoke_agent":
                sums["letta.runs", ""] += 1
            case "execute_tool":
                sums["letta.tool.calls", ""] += 1
            case "chat":
                sums.update(_tokens(span.attributes))
    return {key: total for key, total in sums.items() if total}


def off_by(found: Totals, wanted: Totals) -> list[str]:
    """Every counter exact."""
    both = {key: (found.get(key, 0), wanted.get(key, 0)) for key in found.keys() | wanted.keys()}
    return [
        f"{name} {split}: {got:g}, must be {must:g}" for (name, split), (got, must) in both.items() if got != must
    ]


def _tokens(attributes: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    tokens = {("letta.tokens", kind): attributes.get(name, 0) for kind, name in USAGE.items()}
    usage = {("gen_ai.client.token.usage", kind): tokens["letta.tokens", kind] for kind in ("input", "output")}
    return {**tokens, **usage}


def _without_outcomes(totals: Totals) -> Totals:
    """A row's outcome can change after it was sent; how many there are cannot."""
    sums: Counter[tuple[str, str]] = Counter()
    for (name, split), total in totals.items():
        sums[name, "" if name == "letta.steps" else split] += total  # type: ignore[assignment]
    return dict(sums)
