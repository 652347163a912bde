"""What an attribute can hold."""

from __future__ import annotations

import pytest

from bridge.map.values import attributes, description, message, stacktrace, text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain", "plain"),
        ("naïve 🤖", "naïve 🤖"),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("\ud83e\udd16", "🤖"),  # a pair that came in two halves
    ],
)
def test_text_can_be_encoded(raw: str, clean: str) -> None:
    assert text(raw) == clean
    assert text(raw).encode()


def test_what_is_not_there_is_left_out() -> None:
    assert attributes({"a": None, "b": (), "c": 0, "d": False, "e": "", "f": 0.0}) == {
        "c": 0,
        "d": False,
        "e": "",
        "f": 0.0,
    }


def test_numbers_past_64_bits_become_text() -> None:
    assert attributes({"most": 2**63 - 1, "least": -(2**63), "more": 2**63, "less": -(2**63) - 1}) == {
        "most": 2**63 - 1,
        "least": -(2**63),
        "more": "9223372036854775808",
        "less": "-9223372036854775809",
    }


def test_lists_are_cleaned_too() -> None:
    assert attributes({"tags": ("ok", "\ud800")}) == {"tags": ("ok", "\ufffd")}


def test_a_description_is_cut_at_256() -> None:
    assert description("x" * 256) == "x" * 256
    assert description("x" * 257) == "x" * 255 + "…"


def test_a_message_says_how_much_was_cut() -> None:
    assert message("x" * 4096) == "x" * 4096
    assert message("x" * 4096 + "yy") == "x" * 4096 + " [2 characters cut]"


def test_a_stacktrace_keeps_its_end() -> None:
    assert stacktrace("x" * 16384) == "x" * 16384
    assert stacktrace("yy" + "x" * 16384) == "[2 characters cut]\n" + "x" * 16384
