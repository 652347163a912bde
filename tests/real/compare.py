"""What a receiver shows against what must have arrived: each check returns its complaints, one line each.

No complaint is the only good answer; every check looks from both sides, for what is missing and for what is too much.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from real.seen import Point, SeenSpan
from real.truth import USAGE, Ending, ExpectedTool, Totals, Truth

KINDS = {"invoke_agent": "internal", "agent_step": "internal", "chat": "client", "execute_tool": "internal"}

# span → the attribute that says how it ended
OUTCOMES = {"invoke_agent": "letta.run.status", "agent_step": "letta.step.status"}

# metric → the attribute its total is split by; none where only the whole is compared
SPLIT_BY = {
    "letta.steps": "letta.step.status",
    "letta.tokens": "letta.token.type",
    "letta.runs": None,
    "letta.tool.calls": None,
    "gen_ai.client.token.usage": "gen_ai.token.type",
}


def without_resent(spans: Sequence[SeenSpan]) -> tuple[list[SeenSpan], list[str]]:
    """Each span once, and a complaint for every one that was sent again with other content.

    A process that was killed between the backend's yes and its commit may send a span again, but the same span.
    """
    first: dict[tuple[str, str], SeenSpan] = {}
    complaints = []
    for span in spans:
        known = first.setdefault((span.trace_id, span.span_id), span)
        if known != span:
            complaints.append(f"sent again with other content: {known} and {span}")
    return list(first.values()), complaints


def spans_once(truth: Truth, spans: Sequence[SeenSpan]) -> list[str]:
    """Every run, step, LLM request and tool call has exactly one span; nothing else has any."""
    expected: Counter[tuple[str, str, str]] = Counter()
    expected.update(("invoke_agent", run, "") for run in truth.runs)
    expected.update((operation, step, "") for operation in ("agent_step", "chat") for step in truth.steps)
    expected.update(("execute_tool", tool.step_id, tool.call_id) for tool in truth.tools)
    seen = Counter(_identity(span) for span in spans)
    complaints = [f"missing: {_words(key)}" for key in expected.keys() - seen.keys()]
    complaints += [f"unexpected: {_words(key)}" for key in seen.keys() - expected.keys()]
    complaints += [f"{times} times: {_words(key)}" for key, times in seen.items() if times > 1]
    complaints += [f"{times} spans with the id {id_}" for id_, times in _count(s.span_id for s in spans) if times > 1]
    return complaints


def parents(truth: Truth, spans: Sequence[SeenSpan]) -> list[str]:
    """A run is a root in the trace of its own uuid; its steps hang below it, requests and tools below their step."""
    runs = {span.run_id: span for span in spans if span.operation == "invoke_agent"}
    steps = {span.step_id: span for span in spans if span.operation == "agent_step"}
    approved = {tool.call_id: tool for tool in truth.tools if tool.run_id != _run_of(truth, tool.step_id)}
    complaints = []
    for span in spans:
        match span.operation:
            case "invoke_agent":
                right = span.parent_id == "" and span.trace_id == _trace_of(span.run_id)
            case "agent_step":
                right = _is_below(span, runs.get(_run_of(truth, span.step_id)))
            case "execute_tool" if tool := approved.get(_call_id(span)):
                right = _is_below(span, steps.get(tool.step_id)) or _is_below(span, runs.get(tool.run_id))
            case _:
                right = _is_below(span, steps.get(span.step_id))
        if not right:
            complaints.append(
                f"wrong parent: {_words(_identity(span))}: {span.parent_id or 'none'} in {span.trace_id}"
            )
    return complaints


def statuses(truth: Truth, spans: Sequence[SeenSpan]) -> list[str]:
    """Status, error.type and Letta's own word of every span are what the record's end makes them."""
    tools = {tool.call_id: tool for tool in truth.tools}
    complaints = []
    for span in spans:
        ending = _ending(span, truth, tools)
        if ending is None:
            continue  # spans_once complains
        wanted = ("error" if ending.error_type else "unset", ending.error_type)
        got = (span.status, span.attributes.get("error.type"))
        if got != wanted or (ending.outcome in {"cancelled", "abandoned"} and span.status_message != ending.outcome):
            complaints.append(f"{_words(_identity(span))}: {got} {span.status_message!r}, must be {wanted}")
        word = OUTCOMES.get(span.operation)
        if word and span.attributes.get(word) != ending.outcome:
            complaints.append(f"{_words(_identity(span))}: {span.attributes.get(word)}, must be {ending.outcome}")
    return complaints


def usage(truth: Truth, spans: Sequence[SeenSpan]) -> list[str]:
    """The tokens of each step are on its chat span, and on no other span."""
    complaints = []
    for span in spans:
        got = {kind: span.attributes[name] for kind, name in USAGE.items() if span.attributes.get(name)}
        step = truth.steps.get(span.step_id) if span.operation == "chat" else None
        wanted = {kind: count for kind, count in step.tokens.items() if count} if step else {}
        if got != wanted:
            complaints.append(f"{_words(_identity(span))}: tokens {got}, must be {wanted}")
    return complaints


def shape(spans: Sequence[SeenSpan]) -> list[str]:
    """Kinds and times: no span ends before it starts, and no two steps of a run overlap."""
    complaints = [f"{_words(_identity(s))} ends before it starts" for s in spans if s.end_ns < s.start_ns]
    complaints += [f"{_words(_identity(s))} is {s.kind}" for s in spans if s.kind not in ("", KINDS.get(s.operation))]
    for steps in _steps_by_run(spans).values():
        steps.sort(key=lambda span: (span.start_ns, span.end_ns))
        complaints += [
            f"{later.step_id} starts before {earlier.step_id} ends"
            for earlier, later in pairwise(steps)
            if later.start_ns < earlier.end_ns
        ]
    return complaints


def order(truth: Truth, spans: Sequence[SeenSpan]) -> list[str]:
    """The steps of a run start in the order in which the API lists them."""
    places = {step: place for place, step in enumerate(truth.steps)}
    complaints = []
    for steps in _steps_by_run(spans).values():
        steps.sort(key=lambda span: places.get(span.step_id, 0))
        complaints += [
            f"{later.step_id} starts before {earlier.step_id}, which it follows"
            for earlier, later in pairwise(steps)
            if later.start_ns < earlier.start_ns
        ]
    return complaints


def totals(truth: Truth, found: Totals) -> list[str]:
    """Every total is the sum over the API."""
    wanted = truth.totals()
    both = {key: (found.get(key, 0), wanted.get(key, 0)) for key in wanted.keys() | found.keys()}
    return [f"{name} {split}: {got}, must be {must}" for (name, split), (got, must) in both.items() if got != must]


def last_totals(points: Iterable[Point]) -> Totals:
    """The totals of the metrics in SPLIT_BY after the last point of each series."""
    last = {(p.metric, p.attributes): p for p in points if p.metric in SPLIT_BY}
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for point in last.values():
        by = SPLIT_BY[point.metric]
        sums[point.metric, dict(point.attributes).get(by, "") if by else ""] += point.value
    return {key: total for key, total in sums.items() if total}


def never_back(points: Sequence[Point]) -> list[str]:
    """Each cumulative series keeps its start and never falls; `points` are in the order of their time."""
    complaints = []
    last: dict[tuple[str, tuple[tuple[str, str], ...]], Point] = {}
    for point in points:
        if point.metric not in SPLIT_BY:
            continue
        before = last.get((point.metric, point.attributes), point)
        last[point.metric, point.attributes] = point
        if not point.cumulative:
            complaints.append(f"{point.metric} {point.attributes} is not cumulative")
        if point.start_ns != before.start_ns or point.value < before.value:
            complaints.append(f"{point.metric} {point.attributes} began again: {before} then {point}")
    return complaints


def _run_of(truth: Truth, step_id: str) -> str:
    """The run of a step; a tool that had to be approved ran in a later one."""
    step = truth.steps.get(step_id)
    return step.run_id if step else ""


def _steps_by_run(spans: Iterable[SeenSpan]) -> Mapping[str, list[SeenSpan]]:
    found: dict[str, list[SeenSpan]] = defaultdict(list)
    for span in spans:
        if span.operation == "agent_step":
            found[span.run_id].append(span)
    return found


def _ending(span: SeenSpan, truth: Truth, tools: Mapping[str, ExpectedTool]) -> Ending | None:
    match span.operation:
        case "invoke_agent":
            run = truth.runs.get(span.run_id)
            return run.ending if run else None
        case "execute_tool":
            tool = tools.get(_call_id(span))
            return Ending("tool", "tool_error" if tool.failed else None) if tool else None
        case _:
            step = truth.steps.get(span.step_id)
            return step.ending if step else None


def _identity(span: SeenSpan) -> tuple[str, str, str]:
    if span.operation == "invoke_agent":
        return span.operation, span.run_id, ""
    return span.operation, span.step_id, _call_id(span) if span.operation == "execute_tool" else ""


def _call_id(span: SeenSpan) -> str:
    return str(span.attributes.get("gen_ai.tool.call.id", ""))


def _is_below(span: SeenSpan, parent: SeenSpan | None) -> bool:
    return parent is not None and (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)


def _trace_of(run_id: str) -> str:
    return run_id.removeprefix("run-").replace("-", "")


def _words(identity: tuple[str, str, str]) -> str:
    return " ".join(part for part in identity if part)


def _count(ids: Iterable[str]) -> Iterator[tuple[str, int]]:
    return iter(Counter(ids).items())
