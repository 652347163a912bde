"""The bridge's log, line by line."""

from __future__ import annotations

import io
import json
from typing import Any

_TROUBLE = {"warning", "error", "critical"}
_ADVICE = ("again_in_seconds", "check", "Check", "set ", "Set ", "Is ", "dead letter", "raise", "lower")


class Lines:
    """What was logged so far."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    @property
    def troubles(self) -> list[dict[str, Any]]:
        return [line for line in self.all if line["level"] in _TROUBLE]

    def assert_one(self, *words: str) -> None:
        """One line for the whole of a fault, with these words, fit for a terminal, and with something to do in it."""
        assert len(self.troubles) == 1, "\n".join(map(str, self.troubles)) or "not a word about it"
        text = " ".join(f"{name}={value}" for name, value in self.troubles[0].items())
        for word in words:
            assert word in text, f"{word!r} is not in: {text}"
        assert any(advice in text for advice in _ADVICE), f"no word of what to do: {text}"
        assert text.isprintable(), f"what a terminal would obey: {text!r}"
        assert len(text) < 1000, f"{len(text)} characters"

    def assert_quiet(self) -> None:
        """Nothing that a person has to know."""
        assert not self.troubles
