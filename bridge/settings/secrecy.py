"""Secrets: single values and headers. No message here repeats any part of a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr

from bridge.settings.fields import Kind, Section
from bridge.settings.values import is_header_text

Headers = tuple[tuple[str, SecretStr], ...]

# What RFC 9110 allows in a header's name, which is also what the W3C baggage format allows in a key.
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# The 0 of `x-mlflow-experiment-id: 0` is no secret, and masking every 0 would garble the log.
_SHORTEST_IN_HEADER = 6


def secret_values(settings: Section) -> frozenset[str]:
    """Every secret in `settings` as plain text, for whoever has to mask them."""
    return frozenset(value for value in _secrets(settings) if value)


def _secrets(part: object) -> Iterator[str]:
    match part:
        case SecretStr():
            yield part.get_secret_value()
        case Section():
            for name in type(part).model_fields:
                yield from _secrets(getattr(part, name))
        case tuple():
            for header in part:
                if isinstance(header, tuple):
                    yield from _in_header(header[1].get_secret_value())


def _in_header(value: str) -> Iterator[str]:
    """The value, and its last word: of `Bearer abc` a message may repeat `abc` alone."""
    yield from (piece for piece in (value, value.rpartition(" ")[2]) if len(piece) >= _SHORTEST_IN_HEADER)


def _secret(value: Any) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if not is_header_text(text):
        raise ValueError("the value holds a line break or another character that cannot stand in an HTTP header")
    return SecretStr(text)


def _headers(value: Any) -> Headers:
    """From the OTLP variables' text, from a mapping of plain values, or from headers already read."""
    if isinstance(value, str):
        return _unique(_entries(value))
    pairs = value.items() if isinstance(value, Mapping) else value
    return _unique(_header(f"header {number}", name, item) for number, (name, item) in enumerate(pairs, start=1))


def _entries(text: str) -> Iterator[tuple[str, SecretStr]]:
    # opentelemetry.util.re has a parser for this, but it drops what it cannot read and logs it, secrets and all.
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        name, equals, value = entry.partition("=")
        if not equals:
            raise ValueError(f"entry {number} is not name=value; write a comma within a value as %2C")
        yield _header(f"entry {number}", name.strip(), unquote(value.strip()))


def _header(where: str, name: str, value: object) -> tuple[str, SecretStr]:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"the name in {where} is not a valid header name")
    if not is_header_text(text):
        raise ValueError(f"the value in {where} cannot stand in a header; use printable ASCII")
    return name.lower(), SecretStr(text)


def _unique(headers: Iterator[tuple[str, SecretStr]]) -> Headers:
    return tuple(dict(headers).items())


SECRET = Kind("secret text", _secret, {"type": "string"}, secret=True)
HEADERS = Kind(
    "name=value,name=value",
    _headers,
    {"type": ["object", "string"], "additionalProperties": {"type": "string"}},
    container=dict,
    secret=True,
)
