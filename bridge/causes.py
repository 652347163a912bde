"""Why a request got no answer, in the operating system's words: httpx says `All connection attempts failed`."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator


def why(error: BaseException) -> str:
    """One line for a person."""
    for cause in causes(error):
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, ssl.SSLError):  # its errno is none of the operating system's
            return " ".join(str(cause).split())
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return " ".join(str(error).split()) or type(error).__name__


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, outermost first; of a group of attempts the first."""
    while error:
        yield error
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
