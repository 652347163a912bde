"""Records of one signal into requests that a backend takes: capped by count and bytes, in their order.

Within a request the records of one service stand together, the services in the order in which they first came up.
Spans and log records are laid out alike: a request has groups (field 1), a group its resource (1) and its one scope
(2), that has its name (1) and the records (2), and both end with a schema's address. So requests are put together of
bytes here, whatever the signal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.sdk.resources import Resource

from bridge.export.fields import SCHEMA_URL, fill_resource, fill_scope
from bridge.export.services import Service, of_agent, of_deployment, resource_of
from bridge.export.wire import FIRST, SECOND, sized

MAX_RECORDS = 512
MAX_BYTES = 3_500_000  # gRPC servers take 4 MiB by default

_LONGEST_HEAD: Final = 6  # bytes in front of a record or a level, at most

T = TypeVar("T")


class Header(NamedTuple):
    """What stands around the records of one service: serialised fields of its group, and of the scope in that."""

    group_before: bytes
    scope_before: bytes
    scope_after: bytes
    group_after: bytes

    @property
    def size(self) -> int:
        """Bytes of a group without records, at most."""
        return sum(map(len, self)) + 2 * _LONGEST_HEAD


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """How one signal's things become records, and what stands around them.

    Attributes:
        record: one thing as a serialised record.
        service: under which service it is sent.
        header: of a service.
    """

    record: Callable[[T], bytes]
    service: Callable[[Any], Service]
    header: Callable[[Service], Header]


def layout(record: Callable[[T], bytes], resource: Resource, *, version: str, per_agent: bool) -> Layout[T]:
    """The layout of a signal; headers are made once for each service.

    Args:
        record: one thing as a serialised record.
        resource: the deployment's.
        version: the bridge's.
        per_agent: whether each agent is a service of its own.
    """

    @cache
    def header(service: Service) -> Header:
        return _header(resource_of(service, resource), version)

    return Layout(record, of_agent if per_agent else of_deployment, header)


def batches(things: Iterable[T], layout: Layout[T], *, max_records: int, max_bytes: int) -> Iterator[bytes]:
    """Serialised requests; a record that is longer than `max_bytes` by itself goes alone."""
    groups: dict[Service, _Group] = {}
    count = size = 0  # of the records in them, and no fewer bytes than they make
    for thing in things:
        service, record = layout.service(thing), layout.record(thing)
        more = len(record) + _LONGEST_HEAD
        group = groups.get(service)
        with_header = size + more + (0 if group else layout.header(service).size)
        if count and (count >= max_records or with_header > max_bytes):
            yield _request(groups)
            groups, group, count, size = {}, None, 0, 0
        if group is None:
            group = groups[service] = _Group(layout.header(service))
            size += layout.header(service).size
        group.records += (sized(SECOND, len(record)), record)
        size += more
        count += 1
    if count:
        yield _request(groups)


def _request(groups: Mapping[Service, _Group]) -> bytes:
    parts: list[bytes] = []
    for group in groups.values():
        parts += group.parts()
    return b"".join(parts)


class _Group:
    """The records of one service, each behind its head."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self.records: list[bytes] = []

    def parts(self) -> list[bytes]:
        """The bytes of the group, its own head first: each level says how long it is before what is in it."""
        header, records = self._header, self.records
        scope_size = len(header.scope_before) + sum(map(len, records)) + len(header.scope_after)
        scope_head = sized(SECOND, scope_size)
        group_size = len(header.group_before) + len(scope_head) + scope_size + len(header.group_after)
        before = (sized(FIRST, group_size), header.group_before, scope_head, header.scope_before)
        return [*before, *records, header.scope_after, header.group_after]


def _header(resource: Resource, version: str) -> Header:
    """Written by the messages of spans, to which those of log records are alike."""
    group, scope = ResourceSpans(), ScopeSpans()
    fill_resource(group.resource, resource)
    fill_scope(scope.scope, version)
    return Header(
        group_before=group.SerializeToString(),
        scope_before=scope.SerializeToString(),
        scope_after=ScopeSpans(schema_url=SCHEMA_URL).SerializeToString(),
        group_after=ResourceSpans(schema_url=resource.schema_url).SerializeToString(),
    )
