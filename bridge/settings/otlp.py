"""One OTLP endpoint out of the general settings and a signal's own, by the letter of the exporter specification.

A signal's own setting wins over the general one, each for itself. Only the general endpoint is a base address to
which the signal's path is added; a signal's own is used as it stands, with `/` where it has no path. Over gRPC a
scheme decides about TLS and wins over `insecure`.
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bridge.settings.addresses import web_address
from bridge.settings.model import Compression, Export, Exporter, Otlp, OtlpEndpoint, Protocol

Signal = Literal["traces", "metrics", "logs"]

_DEFAULTS: Mapping[Protocol, str] = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedEndpoint:
    """Where and how one signal is sent.

    Attributes:
        url: over HTTP the signal's full URL; over gRPC a URL or any target that gRPC takes.
        headers: plain values, out of the repr.
        timeout: seconds.
        ca_file: PEM file, as are `client_key` and `client_certificate`; all exist.
        insecure: no TLS, whichever of scheme and setting decided it.
    """

    url: str = field(repr=False)
    protocol: Protocol
    headers: Mapping[str, str] = field(repr=False)
    compression: Compression
    timeout: float
    ca_file: Path | None
    client_key: Path | None
    client_certificate: Path | None
    insecure: bool


def resolve(otlp: Otlp, signal: Signal) -> ResolvedEndpoint:
    """The endpoint of `signal`; raises ValueError, worded for a person, which `load` has ruled out."""
    own: OtlpEndpoint = getattr(otlp, signal)

    def pick(name: str) -> Any:
        return getattr(own if name in own.model_fields_set else otlp, name)

    url, insecure = _address(otlp, signal, pick("protocol"), insecure=pick("insecure"))
    return ResolvedEndpoint(
        url=url,
        protocol=pick("protocol"),
        headers={name: value.get_secret_value() for name, value in pick("headers")},
        compression=pick("compression"),
        timeout=pick("timeout"),
        ca_file=pick("certificate"),
        client_key=pick("client_key"),
        client_certificate=pick("client_certificate"),
        insecure=insecure,
    )


def destination(export: Export, signal: Signal) -> Exporter | Literal["file"]:
    """Where `signal` goes; `file` stands for `export.file`, which takes the place of OTLP."""
    chosen: Exporter = getattr(export, signal)
    return "file" if chosen == "otlp" and export.file else chosen


def _address(otlp: Otlp, signal: Signal, protocol: Protocol, *, insecure: bool) -> tuple[str, bool]:
    own = getattr(otlp, signal).endpoint
    endpoint = own or otlp.endpoint or _DEFAULTS[protocol]
    if protocol == "grpc":
        return _target(endpoint, insecure=insecure)
    url = _as_it_stands(endpoint) if own else _below(endpoint, signal)
    return url, url.startswith("http://")


def _target(endpoint: str, *, insecure: bool) -> tuple[str, bool]:
    if re.match(r"https?://", endpoint, re.IGNORECASE):
        parts = web_address(endpoint)
        return parts.geturl(), parts.scheme == "http"
    return endpoint, insecure


def _as_it_stands(endpoint: str) -> str:
    parts = web_address(endpoint)
    return parts._replace(path=parts.path or "/").geturl()


def _below(base: str, signal: Signal) -> str:
    parts = web_address(base)
    if parts.query or parts.fragment:
        raise ValueError("a base address cannot hold a ? or a #; give each signal an endpoint of its own")
    return f"{parts.geturl().rstrip('/')}/v1/{signal}"
