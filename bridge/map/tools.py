"""The tools that ran in a step: one `execute_tool {tool}` a call, as the run's messages tell.

A call that was only asked for (an approval request) or that was denied did not run and makes no span. A call without
any return did run, as far as anyone knows: its span says `unknown`. Each call's outcome is its own return's; the
message's top-level status and name are the first call's alone (0.16.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from bridge.map import genai, ids, letta, values
from bridge.map.status import SpanStatus, tool_status
from bridge.map.step import Place
from bridge.map.telemetry import INTERNAL, Layer, Link, Span
from bridge.map.timing import Interval, Timing
from bridge.source.models import Message, Step

_CALL: Final = "tool_call_message"
_RETURN: Final = "tool_return_message"
_AWAITS: Final = "requires_approval"
_ERROR: Final = "error"
_BY_CLIENT: Final = "tool"


class ToolRun(NamedTuple):
    """One tool that ran.

    Attributes:
        step_id: the step that asked for it.
        source_id: what tells it from the step's other calls: the call's id, else its place among the messages.
        call_id: the model's id of the call, where it gave one.
        name: as `values.name` has it, for a model may make up any; None where no message names it.
        status: `success`, `error`, whatever else Letta says, or `unknown`.
        returned_at: when it came back, to the second; None where that is not known.
    """

    step_id: str
    source_id: str
    call_id: str | None
    name: str | None
    status: str
    returned_at: datetime | None = None

    @property
    def id(self) -> str:
        """Unique among all tools: a call's id is the model's own, and need not be so beyond its step."""
        return f"{self.step_id}/{self.source_id}"


class Conversation:
    """The messages of one reading, looked through once for what concerns tools."""

    def __init__(self, messages: Sequence[Message]) -> None:
        """Index the messages.

        Args:
            messages: oldest first.
        """
        self._by_step: dict[str, list[Message]] = {}
        self._names: dict[str, str] = {}
        self._by_client: set[str] = set()
        self._never_ran: set[str] = set()
        for message in messages:
            self._index(message)

    def _index(self, message: Message) -> None:
        if message.step_id is not None:
            self._by_step.setdefault(message.step_id, []).append(message)
        for call in message.tool_calls or ():
            if call.tool_call_id and call.name:
                self._names[call.tool_call_id] = values.name(call.name)
        for approval in message.approvals or ():
            if approval.tool_call_id and approval.type == _BY_CLIENT:
                self._by_client.add(approval.tool_call_id)
            elif approval.tool_call_id and approval.approve is False:
                self._never_ran.add(approval.tool_call_id)
        if message.message_type == _RETURN and message.name is None:
            self._never_ran.update(self._turned_down(message))

    def _turned_down(self, message: Message) -> Iterator[str]:
        """A cancelled request's calls come back as errors of no tool, without a word of approval (0.16.8)."""
        for back in message.tool_returns or ():
            if back.tool_call_id and back.status == _ERROR and back.tool_call_id not in self._by_client:
                yield back.tool_call_id

    def of(self, step_id: str) -> Sequence[Message]:
        """The messages of one step."""
        return self._by_step.get(step_id, ())

    def tools_of(self, step: Step) -> Sequence[ToolRun]:
        """What ran in a step of this run, in the order it was asked for."""
        returned = {tool.source_id: tool for tool in self.returned(step.id)}
        if step.stop_reason == _AWAITS:
            return tuple(returned.values())
        called = {tool.source_id: tool for tool in self._called(step.id, returned)}
        return tuple({**called, **returned}.values())

    def returned(self, step_id: str) -> Iterator[ToolRun]:
        """What ran and came back, for this run's steps or an earlier one's."""
        for message in self.of(step_id):
            if message.message_type == _RETURN:
                yield from self._returned_in(message, step_id)

    def _returned_in(self, message: Message, step_id: str) -> Iterator[ToolRun]:
        # Of several calls, the message is named for the first that the server ran.
        first = message.name and values.name(message.name)
        for position, back in enumerate(message.tool_returns or ()):
            call_id = back.tool_call_id
            if call_id in self._never_ran:
                continue
            name, date = self._names.get(call_id or ""), message.date
            if call_id in self._by_client:
                date = None  # it ran before anyone told the server
            else:
                name, first = name or first, None
            source_id = call_id or f"{message.id}/{position}"
            yield ToolRun(step_id, source_id, call_id, name, back.status or letta.UNKNOWN, date)

    def _called(self, step_id: str, returned: Mapping[str, ToolRun]) -> Iterator[ToolRun]:
        """In the order of the calls; one that came back is as it `returned`."""
        for message in self.of(step_id):
            if message.message_type != _CALL:
                continue
            for position, call in enumerate(message.tool_calls or ()):
                call_id = call.tool_call_id
                if call_id not in self._never_ran:
                    source_id = call_id or f"{message.id}/{position}"
                    name = call.name and values.name(call.name)
                    yield returned.get(source_id) or ToolRun(step_id, source_id, call_id, name, letta.UNKNOWN)


def tool_span(tool: ToolRun, times: Interval, place: Place, layers: Iterable[Layer]) -> Span:
    """One tool's span.

    Args:
        tool: what ran.
        times: when.
        place: the trace, the parent, the links.
        layers: what it shares with the step that asked for it.
    """
    title, status, told = _told(tool.name, tool.status, times.timing)
    return Span(
        place.trace_id,
        ids.span_id(place.trace_id, ids.TOOL, tool.id),
        place.parent_id,
        title,
        INTERNAL,
        times.start_ns,
        times.end_ns,
        (*layers, told, values.attributes({genai.TOOL_CALL_ID: tool.call_id})),
        status.code,
        status.message,
        links=place.links,
    )


def link_to_step(step_id: str, trace_id: bytes) -> Link:
    """A pointer to the span of a step that is in a trace already closed."""
    return Link(trace_id, ids.span_id(trace_id, ids.STEP, step_id))


class _Told(NamedTuple):
    """The name and the status of a tool's span, and what other calls of the tool have in common with it."""

    name: str
    status: SpanStatus
    layer: Layer


@lru_cache(maxsize=1024)
def _told(tool: str | None, returned: str, timing: Timing) -> _Told:
    status = tool_status(returned)
    attributes: values.Raws = {
        genai.OPERATION_NAME: genai.EXECUTE_TOOL,
        genai.TOOL_NAME: tool,
        genai.TOOL_TYPE: genai.FUNCTION,
        letta.TOOL_STATUS: returned,
        genai.ERROR_TYPE: status.error_type,
        letta.TIMING: timing,
    }
    return _Told(f"{genai.EXECUTE_TOOL} {tool}" if tool else genai.EXECUTE_TOOL, status, values.layer(attributes))
