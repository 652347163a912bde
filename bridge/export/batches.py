"""Records of one signal into requests that a backend takes: capped by count and bytes, in their order.

Within a request the records of one service stand together, the services in the order in which they first came up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bridge.export.services import Service

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
        groups: where within a request the groups go, one for each resource.
        records: where within a group the records go.
        service: what a thing is sent under.
        header: a group of that service, with its resource and scope and no record yet.
        fill: writes one thing into its record.
    """

    request: Callable[[], Any]
    groups: Callable[[Any], RepeatedCompositeFieldContainer[Any]]
    records: Callable[[Any], RepeatedCompositeFieldContainer[Any]]
    service: Callable[[T], Service]
    header: Callable[[Service], Any]
    fill: Callable[[Any, T], None]


class Growing(Generic[T]):
    """A request that knows an upper bound of its own serialised size."""

    def __init__(self, layout: Layout[T]) -> None:
        """Begin empty."""
        self._layout = layout
        self._message = layout.request()
        self._groups = layout.groups(self._message)
        self._records: dict[Service, RepeatedCompositeFieldContainer[Any]] = {}
        self._last: Service = None
        self.size = 0
        self.count = 0

    def add(self, thing: T) -> None:
        """Write one more record."""
        self._last = self._layout.service(thing)
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
            group.CopyFrom(self._layout.header(service))
            self.size += group.ByteSize() + 2 * _TAG_AND_LENGTH  # both levels' lengths take more room as they fill
            self._records[service] = self._layout.records(group)
        return self._records[service]

    def _grown(self, record: Any) -> None:
        self.size += record.ByteSize() + _TAG_AND_LENGTH
        self.count += 1


def batches(things: Iterable[T], layout: Layout[T], *, max_records: int, max_bytes: int) -> Iterator[bytes]:
    """Serialised requests; a record that is longer than `max_bytes` by itself goes alone."""
    request = Growing(layout)
    for thing in things:
        if request.count >= max_records:
            yield request.serialised()
            request = Growing(layout)
        request.add(thing)
        if request.size > max_bytes and request.count > 1:
            last = request.take_back()
            yield request.serialised()
            request = Growing(layout)
            request.put(*last)
    if request.count:
        yield request.serialised()
