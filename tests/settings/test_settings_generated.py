"""The committed example, schema and reference page are what the model generates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.settings import Settings, load
from bridge.settings.__main__ import main
from bridge.settings.fields import rows
from bridge.settings.generate import example, reference, schema

ROOT = Path(__file__).parents[2]
FILES = {
    "example": "config/bridge.example.yaml",
    "schema": "config/bridge.schema.json",
    "reference": "docs/settings.md",
}


@pytest.mark.parametrize("page", FILES)
def test_the_committed_file_is_the_generated_one(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([page]) == 0
    committed = (ROOT / FILES[page]).read_text(encoding="utf-8")
    assert capsys.readouterr().out == committed, f"run: python -m bridge.settings {page} > {FILES[page]}"


@pytest.mark.parametrize("arguments", [[], ["exmaple"], ["example", "schema"]])
def test_another_word_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", "say which: python -m bridge.settings example, schema or reference\n")


def test_the_example_as_it_is_changes_nothing() -> None:
    assert load({}, ROOT / FILES["example"]) == load({}, None)


def test_each_line_of_the_example_can_be_uncommented(tmp_path: Path) -> None:
    """Everything at once, but for what needs a file; what has a default shows that default."""
    text = re.sub(r"^( *)#(\w+:)", r"\1\2", example(), flags=re.MULTILINE)
    text = re.sub(r"^ *(\w+_file|certificate|client_key|client_certificate): /.*\n", "", text, flags=re.MULTILINE)
    file = tmp_path / "bridge.yaml"
    file.write_text(text, encoding="utf-8")
    settings, default = load({}, file), load({}, None)
    for row in rows(Settings):
        if row.default:
            assert _value(settings, row.key) == _value(default, row.key), row.name
    assert settings.otlp.traces.endpoint == "http://localhost:4318/v1/traces"


def _value(part: Any, key: tuple[str, ...]) -> Any:
    for name in key:
        part = getattr(part, name)
    return part


def test_the_example_names_the_schema_beside_it() -> None:
    assert example().startswith("# yaml-language-server: $schema=bridge.schema.json\n")
    assert (ROOT / FILES["example"]).with_name("bridge.schema.json").is_file()


def test_the_schema_knows_every_key_and_no_other() -> None:
    expected = {row.key for row in rows(Settings)} | {row.file_key for row in rows(Settings) if row.kind.secret}
    assert set(_keys(json.loads(schema()))) == expected


def _keys(tree: dict[str, Any], key: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if "properties" not in tree:
        return [key]
    assert tree["additionalProperties"] is False
    return [leaf for name, inner in tree["properties"].items() for leaf in _keys(inner, (*key, name))]


def test_every_variable_is_in_the_reference_and_in_the_example() -> None:
    for row in rows(Settings):
        assert f"`{row.env}`" in reference()
        assert row.env in example()
        assert row.description


def test_no_line_of_the_example_is_too_wide() -> None:
    assert max(map(len, example().splitlines())) <= 118
