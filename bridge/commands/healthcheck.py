"""`bridge healthcheck`: ask the bridge that runs here how it is, for a container's health check; exit code 0 or 1.

Asks /livez, or /readyz with --ready, at the address of BRIDGE_LISTEN, over the loopback where that is a wildcard.
It starts every half minute for as long as the bridge runs: where the variable is set nothing else of the settings is
read, nor their libraries imported. No proxy is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.commands.command import Subparsers, described
from bridge.errors import BridgeError
from bridge.listen import Address, parse

if TYPE_CHECKING:
    from http.client import HTTPResponse

_VARIABLE: Final = "BRIDGE_LISTEN"
_LONGEST_WAIT: Final = 5.0  # seconds for each answer of the socket: the page is made from memory
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on: asked instead of it
_OK: Final = 200
_MORE_THAN_A_PAGE: Final = 65536  # bytes


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    about = "ask the bridge that runs on this machine whether it is alive: exit code 0 or 1"
    parser = commands.add_parser("healthcheck", help=about, description=described(about))
    parser.add_argument("--ready", action="store_true", help="ask as well whether Letta and the backend answer it")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings file to take the address of the pages from, where BRIDGE_LISTEN is not set",
    )
    parser.set_defaults(plain=_check)


def _check(given: argparse.Namespace) -> int:
    address = _address(given.config)
    page = "/readyz" if given.ready else "/livez"
    good, trouble = _ask(address, page)
    state = "ready" if given.ready else "alive"
    if not good:
        raise BridgeError(f"not {state}: {trouble} (http://{address}{page})")
    print(f"{state} (http://{address}{page})")
    return 0


def _address(config: Path | None) -> Address:
    """Where to ask; raises BridgeError where there is nothing to be asked."""
    raw = os.environ.get(_VARIABLE, "").strip()
    try:
        listen = parse(raw) if raw else _of_the_settings(config)
    except ValueError as error:
        raise BridgeError(f"{_VARIABLE}: {error}") from None
    if listen is None:
        raise BridgeError(f"{_VARIABLE} is off, so there is no page to ask; set it to an address like 127.0.0.1:9464")
    if not listen.port:
        raise BridgeError(f"{_VARIABLE} is {listen}, and which port that became is not known; set a port")
    return Address(_LOOPBACK.get(listen.host, listen.host), listen.port)


def _of_the_settings(config: Path | None) -> Address | None:
    from bridge.settings import find_config, load

    try:
        return load(os.environ, find_config(os.environ, config)).serve.listen
    except BridgeError as error:  # exit code 1, for a container engine knows no other
        raise BridgeError(str(error)) from error


def _ask(address: Address, page: str) -> tuple[bool, str]:
    """Whether the page says yes, and what is wrong where it does not."""
    from http.client import HTTPConnection, HTTPException

    from bridge.causes import why

    connection = HTTPConnection(address.host, address.port, timeout=_LONGEST_WAIT)
    began = time.monotonic()
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status == _OK, _said(answer)
    except TimeoutError:
        return False, f"no answer for {time.monotonic() - began:.0f} s"
    except (OSError, HTTPException, UnicodeError) as error:
        return False, why(error)
    finally:
        connection.close()


def _said(answer: HTTPResponse) -> str:
    """Which parts are not well, as the page has them; the status where the page has none."""
    from bridge.plain import one_line

    try:
        page = json.loads(answer.read(_MORE_THAN_A_PAGE))
    except ValueError:
        page = None
    parts = page if isinstance(page, dict) else {}
    ago = parts.get("answered_s_ago")
    last = ago if isinstance(ago, dict) else {}
    wrong = [
        f"{name}: {text}{_since(last.get(name))}"
        for name, text in parts.items()
        if isinstance(text, str) and text != "ok"
    ]
    return one_line("; ".join(wrong)) or f"status {answer.status}"


def _since(ago: object) -> str:
    return f" (its last good answer was {ago:.0f} s ago)" if isinstance(ago, int | float) else ""
