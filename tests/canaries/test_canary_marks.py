"""The search itself: a canary is found in every form in which it could leave."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pytest
from marks import Canaries

KEY = "key of Letta"


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text.encode(),
        lambda text: text.upper().encode(),
        lambda text: text[:12].encode(),
        lambda text: quote(f"é {text}", safe="").encode(),
        lambda text: json.dumps({"a": f'"{text}\\'}).encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode().hex().encode(),
        lambda text: b"f" + text.encode().hex().upper().encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.b64encode(b"user:" + text.encode()),
        lambda text: base64.urlsafe_b64encode(b"\xff\xfe:" + text.encode()),
        lambda text: b"junk" + gzip.compress(text.encode()) + b"junk",
        lambda text: zlib.compress(text.encode()),
        lambda text: base64.b64encode(gzip.compress(b"x" * 50 + text.encode())),
    ],
)
def test_it_is_found_in_this_form(form: Callable[[str], bytes]) -> None:
    canaries = Canaries()
    canary, other = canaries(KEY), canaries("another")
    assert canaries.found_in(b"before " + form(canary) + b" after") == {KEY}
    assert canaries.found_in(form(other)) == {"another"}


def test_nothing_is_found_where_there_is_nothing() -> None:
    canaries = Canaries()
    canaries(KEY)
    assert canaries.found_in(b"cnry canary " + bytes(range(256)) * 4) == set()
