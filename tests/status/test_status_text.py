"""Values as a person reads them."""

import pytest
from status.status_world import TRACE

from bridge.status.text import LONGEST, age, distance, harmless, length, moment, plural, size, trace_link


def plain(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("Ada", "Ada"),
        ("", ""),
        ("two\nlines\tand\x00\x1b[31m more", "two lines and [31m more"),
        ("safe\u202eexe.fdp", "safe exe.fdp"),
        ("\u2066a\u2069\u200b", "a"),
        ("\ud800 half a pair", "half a pair"),
        ("日本語 émigré 🙂", "日本語 émigré 🙂"),
        ("\x00\x01", "(2 unprintable characters)"),
    ],
)
def test_foreign_text_is_one_printable_line(foreign: str, shown: str) -> None:
    assert harmless(foreign, plain) == shown


def test_long_text_is_cut_and_its_length_said() -> None:
    found = harmless("x" * 1_048_576, plain)
    assert found == f"{'x' * (LONGEST - 1)}… (1,048,576 characters)"
    assert harmless("x" * LONGEST, plain) == "x" * LONGEST


def test_a_secret_is_masked_before_the_cut_could_halve_it() -> None:
    secret = "sk-canary-0123456789"
    for at in range(LONGEST - len(secret) - 2, LONGEST + 2):
        shown = harmless("x" * at + secret + "y" * LONGEST, lambda text: text.replace(secret, "***"))
        assert "sk" not in shown


def test_white_space_that_shrinks_brings_no_secret_in() -> None:
    text = " " * (4 * LONGEST - 10) + "sk-canary-0123456789"
    assert "sk-canary" not in harmless(text, lambda text: text.replace("sk-canary-0123456789", "***"))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0 s"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (11_100, "3 h 5 min"),
     (86_400, "1 d"), (187_200, "2 d 4 h")],
)  # fmt: skip
def test_ages_have_two_units_at_most(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_what_lies_ahead_is_not_past() -> None:
    assert [distance(12), distance(0.5), distance(-0.5), distance(-12)] == [
        "12 s ago",
        "0 s ago",
        "0 s ago",
        "in 12 s",
    ]


def test_moments_are_utc_and_any_number_is_one() -> None:
    assert moment(1_700_000_000) == "2023-11-14 22:13:20"
    assert moment(1e18) == "1000000000000000000 s since 1970"
    assert moment(-1e18) == "-1000000000000000000 s since 1970"


def test_lengths_sizes_and_counts() -> None:
    assert [length(0.25), length(5), length(90)] == ["250 ms", "5 s", "1 min"]
    assert [size(980), size(5_200_000), size(4_000_000_000_000)] == ["980 B", "5.2 MB", "4.0 TB"]
    assert [plural(1, "run"), plural(1200, "run"), plural(0, "run")] == ["1 run", "1,200 runs", "0 runs"]


@pytest.mark.parametrize(
    ("trace_url", "trace_id", "link"),
    [
        ("http://j:1/trace/{trace_id}", TRACE, f"http://j:1/trace/{TRACE}"),
        ("https://g/explore?left={trace_id}&x=1", TRACE, f"https://g/explore?left={TRACE}&x=1"),
        ("https://g/{trace_id}", '"><script>', None),
        ("https://g/{trace_id}", "..", None),
        ("https://g/{trace_id}", "a" * 33, None),
        ("javascript:alert('{trace_id}')", TRACE, None),
        ("data:text/html,{trace_id}", TRACE, None),
        (None, TRACE, None),
    ],
)
def test_a_link_is_a_web_address_or_none(trace_url: str | None, trace_id: str, link: str | None) -> None:
    assert trace_link(trace_url, trace_id) == link
