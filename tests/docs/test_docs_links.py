"""Links of the pages lead somewhere, and so do the paths that they name."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from docs.pages import DOCS, PAGES, ROOT, anchors, blocks, links, pictures, spans

PATH = re.compile(r"(?<![\w/.:@$-])(?:\.ci|benchmarks|bridge|config|deploy|docs|tests)/[\w./*{},-]*[\w*}/]")
UNTRACKED = {
    "config/bridge.yaml",
    "deploy/compose/letta-api-key",
    "deploy/compose/letta.env",
}  # the reader makes these

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_relative_links_and_their_anchors_resolve(page: Path) -> None:
    for link in links(page):
        if urlsplit(link).scheme:
            continue
        to, _, anchor = link.partition("#")
        target = (page.parent / to).resolve() if to else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@each_page
def test_links_to_elsewhere_are_safe(page: Path) -> None:
    for link in links(page):
        parts = urlsplit(link)
        assert parts.scheme in {"", "https"} or parts.hostname in {"localhost", "127.0.0.1"}, link


@each_page
def test_a_picture_says_what_it_shows(page: Path) -> None:
    for file, told in pictures(page):
        assert len(told) > 40, file


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = {(DOCS / link).name for link in links(DOCS / "index.md") if link.endswith(".md")}
    assert listed == {page.name for page in DOCS.glob("*.md")} - {"index.md"}


@each_page
def test_paths_that_are_named_exist(page: Path) -> None:
    text = "\n".join([*spans(page), *(block.text for block in blocks() if block.page == page)])
    for named in PATH.findall(text):
        if named not in UNTRACKED:
            assert list(ROOT.glob(named.rstrip("/"))), named
