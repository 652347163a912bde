"""Secrets out of foreign text."""

import base64
import json
from urllib.parse import quote

import pytest

from bridge.masking import masker
from bridge.plain import one_line

SECRET = "sk/üb\"er%=\\'"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        repr(SECRET),
        quote(SECRET),
        quote(SECRET, safe=""),
        json.dumps(SECRET),
        json.dumps(quote(SECRET)),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_it_is_found_in_every_way_of_writing_it(written: str) -> None:
    masked = masker([SECRET])(f"before {written} after")
    assert masked.replace('"', "").replace("'", "") == "before *** after"


def test_the_start_of_one_that_was_cut_is_masked_too() -> None:
    text = one_line("the key is sk-abcdefghijkl, it is wrong", longest=20)
    assert masker(["sk-abcdefghijkl"])(text) == "the key is ***…"


def test_text_without_secrets_is_left_alone() -> None:
    assert masker(["secret", ""])("nothing… here …") == "nothing… here …"
    assert masker([])("nothing") == "nothing"
