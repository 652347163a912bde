"""Trace and span ids that are the same each time a record is mapped.

A trace id is the step's own where the server traces itself (32 lower-case hex digits), else the run's uuid, so that a
run id pastes straight into a trace search. A span id is taken from a hash that covers the trace id, because some
backends key spans on the span id alone. Nothing here raises, whatever an id looks like.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_RECORD_ID: Final = re.compile(r"(?:[a-z]+-)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
_NO_TRACE: Final = "0" * 32

RUN: Final = b"run\0"
STEP: Final = b"step\0"
CHAT: Final = b"chat\0"
TOOL: Final = b"tool\0"


def usable_trace_id(raw: str | None) -> str | None:
    """The trace id as it stands when it is 32 lower-case hex digits and not zero, else None."""
    return raw if raw and raw != _NO_TRACE and _TRACE_ID.fullmatch(raw) else None


def run_trace_id(record_id: str, first_step_trace_id: str | None = None) -> str:
    """The trace, as 32 hex digits, that a run's spans share.

    Args:
        record_id: the run's id; for a step without a run, the step's.
        first_step_trace_id: the trace_id of the run's first step as Letta shows it.
    """
    return usable_trace_id(first_step_trace_id) or _uuid(record_id) or _digest(_bytes(record_id), 16).hex()


def span_id(trace_id: bytes, kind: bytes, source_id: str) -> bytes:
    """The 8 bytes that name one span for good.

    Args:
        trace_id: the trace it is in, 16 bytes.
        kind: RUN, STEP, CHAT, TOOL, or another text that ends with a zero byte.
        source_id: what it was made from: a run's or step's id, or for a tool the step's and the call's.
    """
    source = source_id.encode() if source_id.isascii() else _bytes(source_id)
    return _digest(trace_id + kind + source, 8)


def _uuid(record_id: str) -> str | None:
    match = _RECORD_ID.fullmatch(record_id)
    return usable_trace_id(match[1].replace("-", "").lower()) if match else None


def _digest(data: bytes, size: int) -> bytes:
    digest = sha256(data).digest()
    head = digest[:size]
    return head if head[0] or any(head) else digest[size : 2 * size]  # ids of all zeros are not valid


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
