"""The site: it builds without a warning, twice to the same bytes, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from docs.pages import DOCS, ROOT
from playwright.sync_api import sync_playwright

pytest.importorskip("sphinx", reason="needs the packages of the extra `docs`")

pytestmark = pytest.mark.timeout(300)  # a site takes ten seconds, and longer on a busy machine

LOADED = {"script": "src", "img": "src", "source": "srcset", "iframe": "src", "link": "href", "object": "data"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_LOAD = {"next", "prev", "index", "search", "genindex", "canonical"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


def build(folder: Path) -> Path:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / ".ci/docs", folder], env=os.environ | {"PATH": programs}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {to for page in site.rglob("*.html") for to in Loads.of(page.read_text(encoding="utf-8"))}
    assert any("furo.css" in to for to in loaded)
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    loaded |= set(re.findall(r"url\(['\"]?([^'\")]+)", styles)) | set(re.findall(r"@import\s+['\"]([^'\"]+)", styles))
    assert not [to for to in loaded if urlsplit(to).scheme not in {"", "data"} or to.startswith("//")]


def test_it_is_the_same_each_time(site: Path, tmp_path: Path) -> None:
    again = build(tmp_path)
    files = {file.relative_to(site) for file in site.rglob("*") if file.is_file()}
    assert files == {file.relative_to(again) for file in again.rglob("*") if file.is_file()}
    assert not [str(file) for file in files if (site / file).read_bytes() != (again / file).read_bytes()]


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here")
def test_it_is_readable_on_a_phone_and_fetches_nothing(site: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        for file in sorted(site.rglob("*.html")):
            page.goto(file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, file.name
        browser.close()
    assert not [to for to in fetched if urlsplit(to).scheme not in {"file", "data"}]


class Loads(HTMLParser):
    """What a browser fetches for a page without being asked."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: str) -> Iterator[str]:
        parser = cls()
        parser.feed(page)
        yield from parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        to = given.get(LOADED.get(tag, ""))
        if to and not (tag == "link" and given.get("rel") in NO_LOAD):
            self.found.append(to)
