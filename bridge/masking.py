"""Secrets taken out of foreign text, however they are written there: a server may repeat what it was sent.

The start of one that `bridge.plain.one_line` cut counts too. What is encoded otherwise than here is not found.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

MASK: Final = "***"
_CUT: Final = "…"
_SHORTEST_START: Final = 4  # characters


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that puts three stars in place of each of these; empty ones are left out."""
    written = sorted({form for secret in secrets if secret for form in forms(secret)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, written)) or r"(?!)")
    return lambda text: _without_starts(pattern.sub(MASK, text), written)


def _without_starts(text: str, written: Sequence[str]) -> str:
    """`text` with what stands right before each cut masked, where a secret begins so."""
    *cut, rest = text.split(_CUT)
    return "".join(f"{_without_start(part, written)}{_CUT}" for part in cut) + rest


def _without_start(text: str, written: Sequence[str]) -> str:
    for secret in written:
        for length in range(len(secret) - 1, _SHORTEST_START - 1, -1):
            if text.endswith(secret[:length]):
                return text[:-length] + MASK
    return text


def forms(secret: str) -> Iterator[str]:
    """How `secret` can be written: as it is, in a repr, in an address, in base64, and each of these within quotes."""
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, repr(secret)[1:-1], quote(secret), quote(secret, safe=""), encoded):
        yield from (form, json.dumps(form)[1:-1])
