"""Foreign text in a line of ours."""

from __future__ import annotations

import pytest

from bridge import retry_after
from bridge.plain import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  two\r\n lines\t", "two lines"),
        ("\x1b[2J\x9b31m \u202ered\u2028 \ud83d", "[2J 31m red"),
        ("a" * 20, "a" * 9 + "…"),
        ("a" * 10, "a" * 10),
        (" " * 100 + "late", "…"),
        ("naïve ☃", "naïve ☃"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text, longest=10 if "a" * 10 in text or "late" in text else 300) == line


@pytest.mark.parametrize("header", ["Thu, 01 Jan 1970 00:00:00 +99999999999999", "", "soon", "-5", "1.5"])
def test_a_wait_that_makes_no_sense_is_none(header: str) -> None:
    assert retry_after.seconds(header, now=0.0) is None
