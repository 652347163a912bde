"""`pytest tests/map --update-golden` writes what the mapping makes of each golden case now: read the diff."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("map", database=None, deadline=None, derandomize=True, max_examples=60)
settings.load_profile("map")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected.json of every golden case")
