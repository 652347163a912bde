"""Addresses: Letta's, an OTLP endpoint's, the one to listen on, the ledger's.

No message repeats a password: an address that holds one is refused without being quoted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from bridge.listen import Address, parse
from bridge.settings.fields import Kind

_URL = {"type": "string", "format": "uri"}


def web_address(text: str) -> SplitResult:
    """`text` as an http or https URL with a host; raises ValueError, worded for a person."""
    if not re.match(r"https?://", text, re.IGNORECASE):
        what = repr(text) if re.search(r"[.:/]|localhost", text) else "the value"  # which may be a key gone astray
        raise ValueError(f"{what} does not start with http:// or https://")
    shown = text.partition("?")[0]
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{shown!r} is not a valid URL") from None
    if not parts.hostname or port == 0 or re.search(r"\s", text):
        raise ValueError(f"{shown!r} is not a valid URL")
    return parts


def refuse_credentials(text: str, instead: str) -> None:
    """Raise ValueError where `text`, an address, holds a user name or password."""
    if "@" in re.split(r"[/?#]", text.partition("://")[2] or text)[0]:
        raise ValueError(f"a user name or password in the address would be shown in logs; {instead}")


def _base_url(value: Any) -> str:
    text = str(value).strip()
    refuse_credentials(text, "take it out and set LETTA_API_KEY")
    parts = web_address(text)
    if parts.query or parts.fragment:
        raise ValueError("the address holds a ? or a #; only the server's own address belongs here")
    return parts.geturl().rstrip("/").removesuffix("/v1").rstrip("/")


def _trace_url(value: Any) -> str:
    text = str(value).strip()
    refuse_credentials(text, "take it out: it would be shown in every link")
    if "{trace_id}" not in text:
        raise ValueError(f"{text!r} has no {{trace_id}}, which says where the id of a trace goes")
    web_address(text.replace("{trace_id}", "0"))
    return text


def _endpoint(value: Any) -> str:
    text = str(value).strip()
    refuse_credentials(text, "take it out and send it as a header")
    return text


def _listen(value: Any) -> Address | None:
    return value if isinstance(value, Address) else parse(str(value))


def _ledger(value: Any) -> Path:
    text = str(value).strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text).expanduser()
    if scheme.lower() != "sqlite" or not rest.startswith("/") or not rest[1:]:
        raise ValueError(f"a ledger behind {scheme}:// is not available; give a file, or sqlite:///path/to/file")
    return Path(rest[1:])


BASE_URL = Kind("URL", _base_url, _URL)
TRACE_URL = Kind("URL with {trace_id}", _trace_url, {"type": "string"})
ENDPOINT = Kind("URL, or host:port for grpc", _endpoint, {"type": "string"})
LISTEN = Kind("host:port or off", _listen, {"type": "string"})
LEDGER = Kind("file", _ledger, {"type": "string"})
