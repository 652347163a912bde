"""What an OTLP attribute can hold, made from whatever Letta sent.

Text without lone surrogates, integers within 64 bits (a larger one becomes its decimal text), nothing where Letta
said nothing. What is cut ends in a mark that says so. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from bridge.map.series import AttributeValue
from bridge.map.telemetry import Layer
from bridge.plain import one_line

_INT64_MAX: Final = 2**63 - 1
_INT64_MIN: Final = -(2**63)
_NAME: Final = 128  # no provider takes a longer name for a tool
_DESCRIPTION: Final = 256
_MESSAGE: Final = 4_096
_STACKTRACE: Final = 16_384  # the longest seen of a 0.16.8 server had 6,000

Raw = AttributeValue | None
Raws = Mapping[str, Raw]


def attributes(values: Raws) -> dict[str, AttributeValue]:
    """The values that are there, each in a form that can be encoded; None and empty tuples are left out.

    Three a step, with some fifty values: most are ASCII text, which needs nothing.
    """
    return {
        name: value if isinstance(value, str) and value.isascii() else _value(value)
        for name, value in values.items()
        if value is not None and value != ()
    }


def layer(values: Raws) -> Layer:
    """The same for several spans."""
    return Layer(attributes(values))


@lru_cache(maxsize=1024)
def shared(names: tuple[str, ...], told: tuple[Raw, ...]) -> Layer:
    """The same by their names, where they are likely to come again: then it is the same object.

    Most of what is told of a step is told of others too. It is looked up here, and an encoder encodes it once.
    """
    return layer(dict(zip(names, told, strict=True)))


def text(value: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which UTF-8 cannot hold."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def name(value: str) -> str:
    """A model's, an agent's or a tool's name as an operation is called by it: one line of at most 128 characters."""
    return _short_name(value[: 4 * _NAME])


@lru_cache(maxsize=4096)
def _short_name(value: str) -> str:
    return one_line(text(value), longest=_NAME)


def line(value: str | None) -> str:
    """One line of at most 256 characters that a terminal can show; empty for None."""
    return one_line(text(value or ""), longest=_DESCRIPTION)


def description(value: str) -> str:
    """At most 256 characters; one that was cut ends in an ellipsis."""
    return text(value if len(value) <= _DESCRIPTION else value[: _DESCRIPTION - 1] + "…")


def message(value: str) -> str:
    """An error's whole message, cut only where it is out of all proportion."""
    cut = len(value) - _MESSAGE
    return text(value if cut <= 0 else f"{value[:_MESSAGE]} [{cut} characters cut]")


def stacktrace(value: str) -> str:
    """A traceback, of which the end says most: what is too long is cut at its beginning."""
    cut = len(value) - _STACKTRACE
    return text(value if cut <= 0 else f"[{cut} characters cut]\n{value[cut:]}")


def _value(value: AttributeValue) -> AttributeValue:
    if isinstance(value, int):
        return value if _INT64_MIN <= value <= _INT64_MAX else str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, tuple):
        return tuple(text(item) for item in value)
    return value
