"""The pages a person reads, taken apart: blocks of code, links, anchors and what stands in backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])

_PARSER: Final = MarkdownIt("commonmark").enable("table")
_NOT_IN_ANCHORS: Final = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Block:
    """One block of code; `line` is its first, counted from 1, and `language` empty where none is named."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Of all pages, those in these languages; without languages all of them."""
    return [block for page in PAGES for block in _blocks_of(page) if not languages or block.language in languages]


@cache
def _tokens(page: Path) -> list[Token]:
    return _PARSER.parse(page.read_text(encoding="utf-8"))


def _blocks_of(page: Path) -> Iterator[Block]:
    for token in _tokens(page):
        if token.type in {"fence", "code_block"}:
            assert token.map
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content)


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()


def links(page: Path) -> list[str]:
    """Where its links and pictures lead, as written."""
    found = [token.attrs.get("href" if token.type == "link_open" else "src") for token in _inline(page)]
    return [str(to) for to in found if to]


def pictures(page: Path) -> list[tuple[str, str]]:
    """Its pictures: the file, and what is told to those who cannot see it."""
    return [(str(token.attrs["src"]), token.content) for token in _inline(page) if token.type == "image"]


def spans(page: Path) -> list[str]:
    """What stands in backticks in its text, on one line each."""
    return [re.sub(r"\s+", " ", token.content) for token in _inline(page) if token.type == "code_inline"]


def anchors(page: Path) -> set[str]:
    """Of its headings, as code hosts make them."""
    tokens = _tokens(page)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    found: set[str] = set()
    for title in titles:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        name = _NOT_IN_ANCHORS.sub("", plain.lower()).replace(" ", "-")
        repeated = sum(each == name or re.fullmatch(rf"{re.escape(name)}-\d+", each) is not None for each in found)
        found.add(f"{name}-{repeated}" if repeated else name)
    return found
