"""Which names a page on the loopback answers to: those that lead to no other machine.

Else a web site whose name leads to 127.0.0.1 could have a visitor's browser read the page for it (DNS rebinding). An
address is nobody's name. The names by which a container asks the machine it runs on are Docker's and Podman's own.
Whoever opened the pages to a network has named them as they like: there every name is answered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_MISDIRECTED: Final = 421
_FROM_A_CONTAINER: Final = frozenset({"host.docker.internal", "host.containers.internal"})
_OF_ANOTHER: Final = (
    "this page is on the loopback and answers to localhost and to addresses alone: ask for one of them, or let a"
    " proxy do so\n"
)


def guarded(app: ASGIApp, listen: str, *, but: AbstractSet[str]) -> ASGIApp:
    """`app`, with 421 for what was meant for another host; the paths `but` answer to any name."""
    if not _is_loopback(listen):
        return app

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] != "http" or scope["path"] in but
        if asked or may_be_asked_as(Headers(scope=scope).get("host", ""), listen):
            await app(scope, receive, send)
        else:
            await PlainTextResponse(_OF_ANOTHER, _MISDIRECTED)(scope, receive, send)

    return guard


def may_be_asked_as(host: str, listen: str) -> bool:
    """Whether a request with this Host header was meant for a page that listens there."""
    if not _is_loopback(listen):
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return name in {listen, "localhost"} | _FROM_A_CONTAINER or name.endswith(".localhost") or _is_address(name)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
