"""One answer as it comes in: its head, and of its body as much as is of use."""

from __future__ import annotations

import zlib
from typing import Final, Protocol

from bridge.http1.answer import Answer

_GZIP: Final = 31  # zlib's wbits


class PackedOtherwise(Exception):
    """By something that was not asked for."""


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Incoming:
    """Built by the parser's calls.

    Attributes:
        status: None until the head is whole.
        is_full: more of the body is of no use.
    """

    __slots__ = ("_body", "_headers", "_left", "_unpacker", "is_full", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self.is_full = False
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._left = 0
        self._unpacker: _Unpacker | None = None

    def header(self, name: bytes, value: bytes) -> None:
        """Take a header; not one that follows the body."""
        if self.status is None:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def head(self, status: int, longest: int) -> None:
        """The head is whole; of the body so many bytes are of use.

        Raises:
            PackedOtherwise: the body cannot be read.
        """
        self.status = status
        self._left = longest + 1
        packed = self._headers.get("content-encoding", "identity").strip().lower()
        if packed in {"gzip", "x-gzip"}:
            self._unpacker = zlib.decompressobj(_GZIP)
        elif packed != "identity":
            raise PackedOtherwise(f"the body is packed by {packed!r}, which was not asked for")

    def body(self, data: bytes) -> None:
        """Keep it unpacked, to one byte beyond what is of use; raises zlib.error."""
        if self._unpacker is not None:
            data = self._unpacker.decompress(data, self._left)
        self._body.append(data[: self._left])
        self._left -= len(data)
        self.is_full = self._left <= 0

    def ends_with_the_connection(self) -> bool:
        """Whether its end is announced by nothing else, and what is packed ends as well."""
        announced = self.status is None or {"content-length", "transfer-encoding"} & self._headers.keys()
        return not announced and (self._unpacker is None or self._unpacker.eof)

    def answer(self) -> Answer | None:
        """What came; None while the head is not whole."""
        return None if self.status is None else Answer(self.status, self._headers, b"".join(self._body))
