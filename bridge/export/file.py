"""OTLP JSON lines in a file, one request a line, as the OpenTelemetry Collector's file exporter writes them.

A line counts as accepted when it is on the disk (fsync). A write that fails half-way is taken back, and half a line
that a crash left behind is ended first, so that every accepted line stands by itself. The file holds whatever the
spans hold: it is readable by its owner alone. What the disk may get over (full, I/O error) is retryable; a path that
cannot be written is denied.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any

from google.protobuf import json_format

from bridge.export.answers import Accepted, Answer, Denied, Retryable, Signal
from bridge.export.records import parsed

_ONE_AT_A_TIME = Lock()  # the signals' sinks may have the same file
_IDS = ("traceId", "spanId", "parentSpanId")


class FileSink:
    """Appends all signals to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Append one line."""
        line = json_line(signal, payload)
        try:
            await asyncio.to_thread(_append, self._path, line)
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
            return Denied(f"{self._path} cannot be written: {error.strerror}")
        except OSError as error:
            return Retryable(f"{self._path} could not be written: {error.strerror}")
        return Accepted()

    async def close(self) -> None:
        """Nothing stays open between two lines."""


def json_line(signal: Signal, payload: bytes) -> bytes:
    """A serialised request as one line of OTLP JSON: ids in hex, enums as numbers, 64-bit integers as text."""
    content = json_format.MessageToDict(parsed(signal, payload), use_integers_for_enums=True)
    for carrier in _carriers(content):
        for name in _IDS:
            if name in carrier:
                carrier[name] = base64.b64decode(carrier[name]).hex()
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _carriers(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything in a request that has ids: spans and their links, log records."""
    for group in content.get("resourceSpans", ()):
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield span
                yield from span.get("links", ())
    for group in content.get("resourceLogs", ()):
        for scope in group.get("scopeLogs", ()):
            yield from scope.get("logRecords", ())


def _append(path: Path, line: bytes) -> None:
    """Put `line` at the end of the file and on the disk, or leave the file as it was."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with _ONE_AT_A_TIME, os.fdopen(descriptor, "rb+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            _write(file, line if _ends_line(file, end) else b"\n" + line)
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise
    if is_new:
        _sync_folder(path.parent)


def _ends_line(file: FileIO, end: int) -> bool:
    if end == 0:
        return True
    file.seek(end - 1)
    return file.read(1) == b"\n"


def _write(file: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
