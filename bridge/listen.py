"""The address that the bridge's pages are on, as a person writes it.

Needs the standard library alone, for `bridge healthcheck` starts every half minute and reads nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str) -> Address | None:
    """`host:port`, `[::1]:port`, or None for `off`; raises ValueError, worded for a person."""
    text = text.strip()
    if text.lower() == "off":
        return None
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):(\d{1,5})", text)
    if not match or int(match[3]) > _LARGEST_PORT:
        raise ValueError(f"{text!r} is not an address like 127.0.0.1:9464; write one, or off")
    return Address(match[1] or match[2], int(match[3]))
