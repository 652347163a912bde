"""Spans straight to protobuf's wire format: what the messages of opentelemetry-proto serialise to, byte for byte.

A message in memory costs a call for each attribute and level, several times what its bytes do. So spans as the
mapping makes them are written as bytes. One with anything rarer in it (an event, a link, text that is no UTF-8, a
number past 64 bits) is left to the messages, and the tests hold both against the official encoder. What is written
for speed is in this module alone. Field numbers and types are those of opentelemetry-proto, which never change; the
format is https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Final

from bridge.map.telemetry import Attributes, Layer, Span, SpanKind, StatusCode

_LAST_MOMENT: Final = 2**63 - 1
_INT64: Final = 2**63
_UINT64_MASK: Final = 2**64 - 1
_TRACE_ID_SIZE: Final = 16
_SPAN_ID_SIZE: Final = 8
_SIZED: Final = 2  # how a field is written that says its size first
_HIGH: Final = 0x80  # of a byte: another one follows

# The first byte of a field: its number and how it is written. Of a group and of a scope in it, the resource or the
# scope is field 1, the records are field 2; of a request, the groups are field 1.
FIRST: Final = b"\x0a"
SECOND: Final = b"\x12"
_ATTRIBUTE: Final = b"\x4a"
_STATUS: Final = b"\x7a"

_TIMES: Final = Struct("<BQBQ").pack  # fields 7 and 8
_START, _END = 0x39, 0x41
_DOUBLE: Final = Struct("<Bd").pack
_DOUBLE_VALUE: Final = 0x21
_FLAGS: Final = b"\x85\x01\x00\x01\x00\x00"  # the other span is known not to be remote
_KINDS: Final = {SpanKind.INTERNAL: b"\x30\x01", SpanKind.CLIENT: b"\x30\x03"}
_UNSET: Final = b"\x7a\x00"
_CODES: Final = {StatusCode.UNSET: b"", StatusCode.OK: b"\x18\x01", StatusCode.ERROR: b"\x18\x02"}
_SMALL: Final = tuple(bytes((number,)) for number in range(_HIGH))
_BOOLS: Final = {False: b"\x10\x00", True: b"\x10\x01"}


def plain_span(span: Span) -> bytes | None:
    """A span's message; None for one that is not plain enough, which the messages have to write."""
    trace_id, span_id, parent_id, name, kind, start_ns, end_ns, layers, status, message, events, links = span
    well_dated = 0 < start_ns <= end_ns <= _LAST_MOMENT
    well_named = len(trace_id) == _TRACE_ID_SIZE and len(span_id) == _SPAN_ID_SIZE
    if events or links or not well_dated or not well_named or len(parent_id) not in (0, _SPAN_ID_SIZE):
        return None
    try:
        parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id]
        if parent_id:
            parts += (b"\x22\x08", parent_id)
        parts += (_title(name), _KINDS[kind], _TIMES(_START, start_ns, _END, end_ns))
        for layer in layers:
            if type(layer) is Layer:
                parts.append(layer.wire or _of_layer(layer))
            else:
                parts += _attributes(layer)
        parts += (_status(status, message) if message or status else _UNSET, _FLAGS)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return b"".join(parts)


def _of_layer(layer: Layer) -> bytes:
    """The attributes of a layer, which its other spans find there."""
    layer.wire = b"".join(_attributes(layer))
    return layer.wire


def _attributes(attributes: Attributes) -> list[bytes]:
    parts: list[bytes] = []
    for key, value in attributes.items():
        if type(value) is str:
            parts.append(_text(key, value))
        elif type(value) is int:
            number = varint(value) if 0 <= value < _INT64 else _negative(value)
            parts += (_before_int(key, len(number)), number)
        else:
            content = _value(value)
            parts += (_before(key, len(content)), content)
    return parts


def sized(field: bytes, size: int) -> bytes:
    """What stands in front of a field's `size` bytes: its first byte and their number."""
    return field + varint(size)


def varint(number: int) -> bytes:
    """A whole number of 0 or more, seven bits a byte, the lowest first."""
    if number < _HIGH:
        return _SMALL[number]
    if number < 1 << 14:
        return (number & 0x7F | (number & 0x3F80) << 1 | 0x80).to_bytes(2, "little")
    if number < 1 << 21:
        spread = number & 0x7F | (number & 0x3F80) << 1 | (number & 0x1FC000) << 2
        return (spread | 0x8080).to_bytes(3, "little")
    return bytes((number & 0x7F | _HIGH,)) + varint(number >> 7)


def count_records(request: bytes) -> int:
    """How many spans or log records a serialised request holds; they are only skipped, which is ten times as fast.

    Raises:
        ValueError: it is damaged, or not written by this program.
    """
    return sum(
        scope_field == SECOND[0]
        for group, start, end in _fields(request, 0, len(request))
        if group == FIRST[0]
        for scope, scope_start, scope_end in _fields(request, start, end)
        if scope == SECOND[0]
        for scope_field, _, _ in _fields(request, scope_start, scope_end)
    )


def _value(value: object) -> bytes:
    """The message of a value that is neither text nor whole; raises TypeError or ValueError where it has none."""
    if type(value) is float:
        return _DOUBLE(_DOUBLE_VALUE, value)
    if type(value) is bool:
        return _BOOLS[value]
    if type(value) is tuple:
        return _texts(value)
    raise TypeError(value)


def _negative(value: int) -> bytes:
    if -_INT64 <= value < 0:
        return varint(value & _UINT64_MASK)
    raise ValueError(value)


def _texts(values: tuple[str, ...]) -> bytes:
    items: list[bytes] = []
    for text in (value.encode() for value in values):
        inner = sized(FIRST, len(text))
        items += (sized(FIRST, len(inner) + len(text)), inner, text)
    content = b"".join(items)
    return sized(b"\x2a", len(content)) + content


def _status(code: StatusCode, message: str) -> bytes:
    text = message.encode()
    content = (sized(SECOND, len(text)) + text if text else b"") + _CODES[code]
    return sized(_STATUS, len(content)) + content


@lru_cache(maxsize=1024)
def _title(name: str) -> bytes:
    """A span's name: there are few."""
    title = name.encode()
    return sized(b"\x2a", len(title)) + title if title else b""


def _text(key: str, value: str) -> bytes:
    text = value.encode()
    return _before_text(key, len(text)) + text


@lru_cache(maxsize=4096)
def _before_text(key: str, size: int) -> bytes:
    """All of an attribute up to a text of so many bytes."""
    head = sized(FIRST, size)
    return _before(key, len(head) + size) + head


@lru_cache(maxsize=1024)
def _before_int(key: str, size: int) -> bytes:
    """All of an attribute up to a whole number of so many bytes."""
    return _before(key, 1 + size) + b"\x18"


@lru_cache(maxsize=1024)
def _before(key: str, size: int) -> bytes:
    """All of an attribute up to the message of its value, of so many bytes: there are a few dozen keys."""
    name = key.encode()
    pair = (sized(FIRST, len(name)) + name if name else b"") + sized(SECOND, size)
    return sized(_ATTRIBUTE, len(pair) + size) + pair


def _fields(request: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message that lies between `at` and `end`: first byte, where its content begins and ends."""
    while at < end:
        field, size, shift, byte = request[at], 0, 0, _HIGH
        while byte & _HIGH:
            at += 1
            byte = request[at] if at < end else 0
            size |= (byte & 0x7F) << shift
            shift += 7
        start, at = at + 1, at + 1 + size
        if field & 0x07 != _SIZED or at > end:
            raise ValueError("not a request of spans or log records")
        yield field, start, at
