"""The plain kinds of values: text, switches, numbers, choices, lists of names, files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from bridge.settings.fields import Kind


def one_of(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def is_header_text(text: str) -> bool:
    """Whether `text` can be sent as an HTTP header's value and as gRPC metadata: printable ASCII."""
    return text.isascii() and text.isprintable()


def _text(value: Any) -> str:
    return str(value).strip()


def _header_text(value: Any) -> str:
    text = _text(value)
    if not is_header_text(text):
        raise ValueError(f"{text!r} cannot stand in an HTTP header; use printable ASCII")
    return text


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = _text(value)
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _names(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(name for name in (str(item).strip() for item in items) if name)


def _file(value: Any) -> Path:
    path = Path(value).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"the file {str(path)!r} cannot be read: {error.strerror}") from None
    return path


def _path(value: Any) -> Path:
    return Path(value).expanduser()


def choice(options: Any) -> Kind:
    """The kind of one of the lower-case words of the Literal `options`, which may be given in upper case too."""
    words: tuple[str, ...] = get_args(options)

    def parse(value: Any) -> str:
        text = _text(value)
        if text.lower() not in words:
            raise ValueError(f"{text!r} is not supported; use {one_of(words)}")
        return text.lower()

    return Kind(one_of(words), parse, {"type": "string", "enum": list(words)})


def number(least: float, most: float) -> Kind:
    """The kind of a number between two bounds, both allowed."""

    def parse(value: Any) -> float:
        try:
            amount = float(value)
        except ValueError:
            raise ValueError(f"{_text(value)!r} is not a number") from None
        return _within(amount, least, most)

    return Kind("number", parse, {"type": "number", "minimum": least, "maximum": most})


def whole(least: int, most: int) -> Kind:
    """The kind of a whole number between two bounds, both allowed."""

    def parse(value: Any) -> int:
        try:
            amount = int(value)
        except ValueError:
            raise ValueError(f"{_text(value)!r} is not a whole number") from None
        return int(_within(amount, least, most))

    return Kind("whole number", parse, {"type": "integer", "minimum": least, "maximum": most})


def _within(amount: float, least: float, most: float) -> float:
    if not least <= amount <= most:
        raise ValueError(f"{amount:g} is not between {least:g} and {most:g}")
    return amount


TEXT = Kind("text", _text, {"type": "string"})
HEADER_TEXT = Kind("text", _header_text, {"type": "string"})
SWITCH = Kind("true or false", _switch, {"type": "boolean"})
NAMES = Kind("list of names", _names, {"type": ["array", "string"], "items": {"type": "string"}}, container=list)
FILE = Kind("file", _file, {"type": "string"})
PATH = Kind("path", _path, {"type": "string"})
