"""Records of one signal into requests that a backend takes: capped by count and bytes, in their order.

Within a request the records of one service stand together, the services in the order in which they first came up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from opentelemetry.sdk.resources import Resource

from bridge.export.fields import SCHEMA_URL, fill_resource, fill_scope
from bridge.export.services import Service, of_agent, of_deployment, resource_of

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

MAX_RECORDS = 512
MAX_BYTES = 3_500_000  # gRPC servers take 4 MiB by default

_TAG_AND_LENGTH = 6  # bytes in front of a record or a level, at most

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """How a signal's requests are made.

    Attributes:
        request: an empty one.
        groups: the field of a request with the groups, one for each resource.
        scopes: the field of a group with its one scope.
        records: the field of that with the records.
        fill: writes one thing into its record.
    """

    request: Callable[[], Any]
    groups: str
    scopes: str
    records: str
    fill: Callable[[Any, T], None]


class Headers(Generic[T]):
    """What stands above the records: made once for each service."""

    def __init__(self, layout: Layout[T], resource: Resource, *, version: str, per_agent: bool) -> None:
        """Nothing is made yet.

        Args:
            layout: the signal's.
            resource: the deployment's.
            version: the bridge's.
            per_agent: whether each agent is a service of its own.
        """
        self.layout = layout
        self.service: Callable[[Any], Service] = of_agent if per_agent else of_deployment
        self.of = cache(lambda service: self._made(resource_of(service, resource), version))

    def _made(self, resource: Resource, version: str) -> Any:
        """A group with its resource and scope and no record yet."""
        group = getattr(self.layout.request(), self.layout.groups).add(schema_url=resource.schema_url)
        fill_resource(group.resource, resource)
        scope = getattr(group, self.layout.scopes).add(schema_url=SCHEMA_URL)
        fill_scope(scope.scope, version)
        return group


class Growing(Generic[T]):
    """A request that knows an upper bound of its own serialised size."""

    def __init__(self, headers: Headers[T]) -> None:
        """Begin empty."""
        self._headers, self._layout = headers, headers.layout
        self._message = self._layout.request()
        self._groups = getattr(self._message, self._layout.groups)
        self._records: dict[Service, RepeatedCompositeFieldContainer[Any]] = {}
        self._last: Service = None
        self.size = 0
        self.count = 0

    def add(self, thing: T) -> None:
        """Write one more record."""
        self._last = self._headers.service(thing)
        record = self._records_of(self._last).add()
        self._layout.fill(record, thing)
        self._grown(record)

    def put(self, service: Service, record: Any) -> None:
        """Take over a record that is written already."""
        self._last = service
        self._records_of(service).append(record)
        self._grown(record)

    def take_back(self) -> tuple[Service, Any]:
        """Remove what was written last, and its group where it is the only one there."""
        records = self._records[self._last]
        record = records.pop()
        if not records:
            del self._records[self._last]
            del self._groups[-1]
        return self._last, record

    def serialised(self) -> bytes:
        """The request; none of it changes any more."""
        message: bytes = self._message.SerializeToString()
        return message

    def _records_of(self, service: Service) -> RepeatedCompositeFieldContainer[Any]:
        if service not in self._records:
            group = self._groups.add()
            group.CopyFrom(self._headers.of(service))
            self.size += group.ByteSize() + 2 * _TAG_AND_LENGTH  # both levels' lengths take more room as they fill
            (scope,) = getattr(group, self._layout.scopes)
            self._records[service] = getattr(scope, self._layout.records)
        return self._records[service]

    def _grown(self, record: Any) -> None:
        self.size += record.ByteSize() + _TAG_AND_LENGTH
        self.count += 1


def batches(things: Iterable[T], headers: Headers[T], *, max_records: int, max_bytes: int) -> Iterator[bytes]:
    """Serialised requests; a record that is longer than `max_bytes` by itself goes alone."""
    request = Growing(headers)
    for thing in things:
        if request.count >= max_records:
            yield request.serialised()
            request = Growing(headers)
        request.add(thing)
        if request.size > max_bytes and request.count > 1:
            last = request.take_back()
            yield request.serialised()
            request = Growing(headers)
            request.put(*last)
    if request.count:
        yield request.serialised()
