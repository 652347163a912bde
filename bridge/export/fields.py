"""What spans, log records and metrics have in common, written into OTLP messages in place.

Building messages by constructor copies at every level and costs three times as much. This is the last guard in front
of a batch, and nothing here raises for what it is given: text with lone surrogates gets U+FFFD in their place, an
integer past 64 bits becomes its decimal text, a time is held within 63 bits, and an attribute that still does not fit
is left out and counted in `dropped_attributes_count`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.sdk.resources import Resource

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

SCOPE_NAME = "letta-otel-bridge"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.1"

_LAST_MOMENT = 2**63 - 1  # OTLP has 64 bits, many backends store 63


def fill_resource(message: ResourceMessage, resource: Resource) -> None:
    """Write the attributes of a resource; the message is there even when it has none."""
    message.SetInParent()
    message.dropped_attributes_count = fill_attributes(message.attributes, resource.attributes)


def fill_scope(message: InstrumentationScope, version: str) -> None:
    """Write who made the telemetry."""
    message.name = SCOPE_NAME
    message.version = version


def fill_attributes(into: RepeatedCompositeFieldContainer[KeyValue], attributes: Mapping[str, object]) -> int:
    """Write attributes in their order; return how many had to be left out, repaired as far as possible."""
    dropped = 0
    for name, value in attributes.items():
        pair = into.add()
        try:
            pair.key = name
            _set(pair.value, value)
        except (TypeError, ValueError):
            if not _fill_repaired(pair, name, value):
                del into[-1]
                dropped += 1
    return dropped


def well_formed(text: str) -> str:
    """`text` as valid UTF-8 can carry it: surrogate pairs joined, lone ones replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def moment(time_ns: int) -> int:
    """`time_ns` held within what backends store."""
    return min(max(time_ns, 0), _LAST_MOMENT)


def _set(target: AnyValue, value: object) -> None:
    """Write one value; raises TypeError or ValueError for what OTLP cannot hold."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, tuple | list):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    else:
        raise TypeError(f"no OTLP value for {type(value).__name__}")


def _fill_repaired(pair: KeyValue, name: str, value: object) -> bool:
    pair.Clear()
    try:
        pair.key = well_formed(name)
        _set(pair.value, _repaired(value))
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def _repaired(value: object) -> object:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, tuple | list):
        return tuple(_repaired(item) for item in value)
    return value
