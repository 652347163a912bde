"""Canaries: words that stand for a secret or for content, each with a name, found again in whatever came out.

A canary is letters and digits alone, so that percent-encoding, JSON and protobuf leave it as it is. `found_in` also
looks into what is base64, hexadecimal, UTF-16, gzip or zlib, and into those within each other; the first ten letters
of one that was cut are enough.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterator
from typing import Final

_PREFIX: Final = "cnry"
_LENGTH: Final = 16
_ENOUGH: Final = 10
_DEPTH: Final = 3

_CANARY = re.compile(rb"(?i)" + _PREFIX.encode() + rb"[a-z2-7]{%d,%d}" % (_ENOUGH - len(_PREFIX), _LENGTH))
_WIDE = re.compile(rb"(?i)c\0n\0r\0y\0(?:[a-z2-7]\0){%d,%d}" % (_ENOUGH - len(_PREFIX), _LENGTH))
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEX = re.compile(rb"[0-9a-fA-F]{24,}")
_ZIPPED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")


class Canaries:
    """All that were planted, by name."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The canary of this name; the same each time."""
        digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()
        canary = _PREFIX + digest[:_LENGTH]
        self._names[canary] = name
        return canary

    def names(self) -> set[str]:
        """Of all that were planted."""
        return set(self._names.values())

    def found_in(self, data: bytes) -> set[str]:
        """The names of those that are in `data`, whole or cut, plain or encoded."""
        seen = {mark for view in _views(data, _DEPTH) for mark in _marks(view)}
        return {name for canary, name in self._names.items() if any(canary.startswith(mark) for mark in seen)}


def _marks(view: bytes) -> Iterator[str]:
    for found in _CANARY.finditer(view):
        yield found[0].decode().lower()
    for found in _WIDE.finditer(view):
        yield found[0].replace(b"\0", b"").decode().lower()


def _views(data: bytes, depth: int) -> Iterator[bytes]:
    yield data
    if depth:
        for inner in set(_decoded(data)):
            yield from _views(inner, depth - 1)


def _decoded(data: bytes) -> Iterator[bytes]:
    for found in _BASE64.finditer(data):
        text = found[0].translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            whole = text[start : start + (len(text) - start) // 4 * 4]
            yield base64.b64decode(whole)
    for found in _HEX.finditer(data):
        for start in range(2):
            digits = found[0][start:]
            yield binascii.unhexlify(digits[: len(digits) // 2 * 2])
    for found in _ZIPPED.finditer(data):
        try:
            yield zlib.decompressobj(wbits=47).decompress(data[found.start() :])
        except zlib.error:
            continue
