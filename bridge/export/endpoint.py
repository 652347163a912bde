"""Where one signal goes: one OTLP endpoint, its settings already resolved by whoever reads the user's.

Nothing secret of it shows in a repr, and `mask` takes it out of any text: header values, and the password and the
query of the URL. A setting that can never work raises SettingsError when the Endpoint is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from bridge.errors import SettingsError
from bridge.masking import masker

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://)?[^/]*@", re.IGNORECASE)
_SHORTEST_SECRET = 4  # the 0 of `x-mlflow-experiment-id: 0` is no secret, and masking it would garble any text


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One OTLP endpoint.

    Attributes:
        url: over HTTP the signal's full URL; over gRPC `http://host:port` (plain text), `https://host:port` (TLS), or
            any gRPC target without a scheme, which is TLS unless `insecure`.
        protocol: `http/protobuf` or `grpc`.
        headers: sent with every request, as HTTP headers or gRPC metadata.
        compression: `gzip` or `none`.
        timeout: seconds that one request may take, connecting included.
        ca_file: certificates (PEM) to trust instead of the default ones.
        client_key: the private key (PEM) of `client_certificate`.
        client_certificate: our own certificate (PEM), for a backend that asks for one.
        insecure: plain text for a gRPC target without a scheme; a scheme wins, and HTTP does not look at it.
    """

    url: str = field(repr=False)
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Literal["gzip", "none"] = "none"
    timeout: float = 10.0
    ca_file: Path | None = None
    client_key: Path | None = None
    client_certificate: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        """Raise SettingsError for what no request could ever carry."""
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise SettingsError(f"OTLP header {name!r} cannot be sent: use printable ASCII on one line")
        try:
            urlsplit(self.url)
        except ValueError as error:
            raise SettingsError(f"OTLP endpoint {self.address}: {error}") from error
        if (self.client_key is None) != (self.client_certificate is None):
            raise SettingsError("OTLP client certificate: set both the certificate file and its key file, or neither")

    @property
    def address(self) -> str:
        """The URL as it may be shown."""
        return shown(self.url)

    def mask(self, text: str) -> str:
        """`text` with everything secret replaced; a backend may repeat what it was sent."""
        return masker(self.secrets())(text)

    def secrets(self) -> Iterator[str]:
        """Everything that `mask` takes out."""
        parts = urlsplit(self.url)
        values = [*self.headers.values(), parts.password or "", *(value for _, value in parse_qsl(parts.query))]
        for value in values:
            yield from (p for p in {value, unquote(value), *value.split()} if len(p) >= _SHORTEST_SECRET)


def shown(url: str) -> str:
    """`url`, however broken, without user, password, query and fragment."""
    return _USER.sub(r"\1", re.split(r"[?#]", url, maxsplit=1)[0])
