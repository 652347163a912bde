"""How Sphinx makes a site of these pages: `just docs`.

The pages are plain Markdown that reads well by itself, so nothing of Sphinx's stands in them. The way through the
site is the list of pages in `index.md`; what a page links to outside of this folder is shown or downloaded. Warnings
are errors: a link or anchor that leads nowhere, a page that `index.md` does not name, a language nobody knows.
"""

from __future__ import annotations

import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from bridge import __version__

DOCS = Path(__file__).parent

project = "letta-otel-bridge"
release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3  # as code hosts make them
html_theme = "furo"
html_title = f"letta-otel-bridge {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
templates_path: list[str] = []
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

SECTION = re.compile(r"^## (?P<caption>.+)\n(?P<body>(?:(?!## ).*\n)+)", re.MULTILINE)
PAGE = re.compile(r"^- \[.+?\]\((?P<name>[\w-]+)\.md\)", re.MULTILINE)
FOLDER = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<to>[^)#:]+/)\)")


def setup(app: Sphinx) -> None:
    """The languages that only a search page knows, and what is done to pages on their way in."""
    for language in ("jaeger", "traceql", "traceql-metrics"):
        app.add_lexer(language, TextLexer)
    app.connect("source-read", _give_a_table_of_contents)
    app.connect("source-read", _show_folders)


def _give_a_table_of_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """`index.md` lists the pages under its headings; the runbooks belong to the alerts."""
    if page == "index":
        source[0] += "".join(
            _toctree(section["caption"], PAGE.findall(section["body"])) for section in SECTION.finditer(source[0])
        )
    elif page == "alerts":
        source[0] += _toctree("", [f"runbooks/{runbook.stem}" for runbook in sorted(DOCS.glob("runbooks/*.md"))])


def _toctree(caption: str, pages: list[str]) -> str:
    lines = ["", "```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages, "```", ""]
    return "\n".join(lines) if pages else ""


def _show_folders(_: Sphinx, page: str, source: list[str]) -> None:
    """A link to a folder of the repository can lead nowhere on a site: its text alone is shown."""
    beside = (DOCS / page).parent
    source[0] = FOLDER.sub(lambda link: link["text"] if (beside / link["to"]).is_dir() else link[0], source[0])
