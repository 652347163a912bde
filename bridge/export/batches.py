"""Records of one signal into requests that a backend takes: capped by count and bytes, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

MAX_RECORDS = 512
MAX_BYTES = 3_500_000  # gRPC servers take 4 MiB by default

_TAG_AND_LENGTH = 6  # bytes in front of a record or a level, at most

T = TypeVar("T")


class Growing(Generic[T]):
    """A request that knows an upper bound of its own serialised size."""

    def __init__(
        self, message: Message, records: RepeatedCompositeFieldContainer[Any], fill: Callable[[Any, T], None]
    ) -> None:
        """Take a request that has a resource and a scope, and no record yet.

        Args:
            message: the request.
            records: where within it the records go.
            fill: writes one thing into its record.
        """
        self.message = message
        self.records = records
        self._fill = fill
        self.size = message.ByteSize() + 2 * _TAG_AND_LENGTH  # both levels' lengths take more room as they fill

    def add(self, thing: T) -> None:
        """Write one more record."""
        record = self.records.add()
        self._fill(record, thing)
        self.size += record.ByteSize() + _TAG_AND_LENGTH

    def put(self, record: Any) -> None:
        """Take over a record that is written already."""
        self.records.append(record)
        self.size += record.ByteSize() + _TAG_AND_LENGTH


def batches(
    things: Iterable[T], begin: Callable[[], Growing[T]], *, max_records: int, max_bytes: int
) -> Iterator[bytes]:
    """Serialised requests; a record that is longer than `max_bytes` by itself goes alone."""
    request = begin()
    for thing in things:
        if len(request.records) >= max_records:
            yield request.message.SerializeToString()
            request = begin()
        request.add(thing)
        if request.size > max_bytes and len(request.records) > 1:
            last = request.records.pop()
            yield request.message.SerializeToString()
            request = begin()
            request.put(last)
    if request.records:
        yield request.message.SerializeToString()
