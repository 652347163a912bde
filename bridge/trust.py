"""Whose certificates are believed where the user names none: Mozilla's, as certifi has them.

SSL_CERT_FILE or SSL_CERT_DIR takes their place, as with httpx and with OpenSSL itself.
"""

from __future__ import annotations

import os
import ssl

import certifi

from bridge.errors import SettingsError


def usual() -> ssl.SSLContext:
    """A client's context.

    Raises:
        SettingsError: SSL_CERT_FILE or SSL_CERT_DIR names what cannot be used.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder or None)
    except (OSError, ssl.SSLError) as error:
        named = f"SSL_CERT_FILE: {file}" if file else f"SSL_CERT_DIR: {folder}"
        raise SettingsError(f"{named} cannot be used for certificates: {error}") from error
