"""What can be wrong between settings that are right each for itself; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args
from urllib.parse import urlsplit

from bridge.settings.fields import Key
from bridge.settings.model import Settings
from bridge.settings.otlp import Signal, resolve

_CLOUD = "letta.com"


def check(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Each problem: the setting it is said of, and what is wrong, in words that continue "{where}: "."""
    yield from _key_for_cloud(settings)
    yield from _key_without_page(settings)
    for signal in get_args(Signal):
        yield from _endpoint(settings, signal)


def _key_for_cloud(settings: Settings) -> Iterator[tuple[Key, str]]:
    host = urlsplit(settings.letta.base_url).hostname or ""
    if not settings.letta.api_key and (host == _CLOUD or host.endswith(f".{_CLOUD}")):
        yield ("letta", "api_key"), f"no key is set, and {host} needs one; set it, or LETTA_API_KEY_FILE"


def _key_without_page(settings: Settings) -> Iterator[tuple[Key, str]]:
    if settings.serve.wake_key and settings.serve.listen is None:
        yield ("serve", "wake_key"), "it opens a page, and BRIDGE_LISTEN is off; set an address there, or no key here"


def _endpoint(settings: Settings, signal: Signal) -> Iterator[tuple[Key, str]]:
    own = getattr(settings.otlp, signal)
    try:
        resolved = resolve(settings.otlp, signal)
    except ValueError as error:
        yield ("otlp", signal, "endpoint") if own.endpoint else ("otlp", "endpoint"), str(error)
        return
    if (resolved.client_key is None) != (resolved.client_certificate is None):
        lone = "client_key" if resolved.client_key else "client_certificate"
        key = ("otlp", signal, lone) if lone in own.model_fields_set else ("otlp", lone)
        yield key, "a client certificate and its key belong together; set the other one too"
