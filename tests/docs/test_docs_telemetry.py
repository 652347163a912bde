"""Names of spans' attributes, log events and metrics on the pages are ones that docs/telemetry.md has."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
from docs.pages import DOCS, PAGES, ROOT, spans

NAME = re.compile(r"(?<![\w./:-])(?:letta|letta_bridge|gen_ai)[._][a-z0-9_.*]*[a-z0-9*]")
FILES = (".yml", ".yaml", ".env", ".tmpl", ".ledger")
OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")

TOLD = set(NAME.findall((DOCS / "telemetry.md").read_text(encoding="utf-8")))
KNOWN = TOLD | {name.replace(".", "_") for name in TOLD}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_on_a_page_are_told(page: Path) -> None:
    named = {name for span in spans(page) if "/" not in span for name in NAME.findall(span)}
    assert not [name for name in named if not name.endswith(FILES) and not _known(name)]


def _known(name: str) -> bool:
    if "*" in name:
        return bool(fnmatch.filter(KNOWN, name))
    bare = next((name.removesuffix(suffix) for suffix in OF_A_HISTOGRAM if name.endswith(suffix)), name)
    return bool({name, bare} & KNOWN)


def test_there_are_names_to_check() -> None:
    assert len(TOLD) > 80
