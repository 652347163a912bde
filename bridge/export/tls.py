"""The certificates of an endpoint; a file that cannot be used raises SettingsError, before anything is sent."""

from __future__ import annotations

import ssl
from pathlib import Path

from bridge import trust
from bridge.errors import SettingsError
from bridge.export.endpoint import Endpoint


def context(endpoint: Endpoint) -> ssl.SSLContext:
    """A client's context: the endpoint's own CA or else the default ones, and its client certificate."""
    made = _trusting(endpoint.ca_file) if endpoint.ca_file else trust.usual()
    if endpoint.client_certificate and endpoint.client_key:
        _present(made, endpoint.client_certificate, endpoint.client_key)
    return made


def read(path: Path | None) -> bytes | None:
    """What a certificate or key file holds."""
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise SettingsError(f"OTLP certificate file {path} cannot be read: {error.strerror}") from error


def _trusting(ca_file: Path) -> ssl.SSLContext:
    read(ca_file)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise SettingsError(f"OTLP CA file {ca_file} holds no certificate in PEM") from error


def _present(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    read(certificate)
    read(key)
    try:
        made.load_cert_chain(certificate, key, password="")  # else OpenSSL asks the terminal for an encrypted key
    except ssl.SSLError as error:
        raise SettingsError(f"OTLP client certificate {certificate} and key {key} are no pair in PEM") from error
