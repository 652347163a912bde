"""Which proxy the environment names for a URL, by the rules of the standard library."""

from __future__ import annotations

import os
import sys
from typing import Final
from urllib.parse import urlsplit

from bridge.errors import SettingsError
from bridge.plain import one_line

_ASKS_THE_SYSTEM: Final = sys.platform in {"darwin", "win32"}  # which may know one that no variable names


def proxy_for(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names, unless NO_PROXY names the server."""
    if not _ASKS_THE_SYSTEM and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - takes 1 MB, and there seldom is a proxy

    address = urlsplit(url)
    if proxy_bypass(address.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def unusable(error: Exception) -> SettingsError:
    """What to raise where the client has no use for it: a scheme that it does not know, SOCKS without its package."""
    said = "the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used"
    return SettingsError(f"{said}: {one_line(str(error))}")
