"""What is written about the settings, made from the model: the example file, its JSON schema, the reference page.

Pure text; `python -m bridge.settings example|schema|reference` prints it, and a test compares the committed files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from textwrap import wrap
from typing import Any

from bridge.settings.fields import Key, Row, Section, rows, sections
from bridge.settings.model import Settings

_WIDTH = 118

_EXAMPLE = """\
# yaml-language-server: $schema=bridge.schema.json
#
# Settings of letta-otel-bridge. Copy this file to config/bridge.yaml and take the # from the lines you want to
# change; they show the defaults, or an example where there is none. A variable wins over the file.
"""

_REFERENCE = """\
# Settings

Settings come from a YAML file and from environment variables. A variable wins over the file, setting by setting, and
an empty one counts as unset. The file is the one given with `--config`, else the one `BRIDGE_CONFIG` names, else
`config/bridge.yaml` where there is one; without a file the variables are enough. `config/bridge.example.yaml` shows
every key, and editors complete them with `config/bridge.schema.json`.

- A duration is written like `500ms`, `5s`, `2h`, `1d` or `1h30m`. A number without a unit is refused, except in the
  standard OpenTelemetry variables, which are plain numbers.
- A secret can come from a file: every secret has a second variable and a second key for the file's name. Giving both
  is an error.
- The `OTEL_EXPORTER_OTLP_*` variables mean what the OpenTelemetry specification says. A signal's own setting wins
  over the general one, wherever the two are written. `OTEL_RESOURCE_ATTRIBUTES` adds attributes to all that is sent.
- A file's path is taken from the directory the bridge is started in.
- A mistake stops the bridge before anything starts: one line for each, exit code 2. An unknown key and an unknown
  `BRIDGE_*` variable are mistakes; unknown `LETTA_*` and `OTEL_*` variables are left to other programs.
"""


def example() -> str:
    """config/bridge.example.yaml: every key, commented out under its section."""
    parts = [_EXAMPLE]
    for key, group in groupby(rows(Settings), lambda row: row.key[:-1]):
        indent = "  " * len(key)
        parts.append("\n" + _heading(key) + "\n".join(_commented(row, indent) for row in group) + "\n")
    return "".join(parts)


def _heading(key: Key) -> str:
    if not key:
        return ""
    indent = "  " * (len(key) - 1)
    return f"{indent}# {_about(key)}\n{indent}{key[-1]}:\n"


def _commented(row: Row, indent: str) -> str:
    mark = f"{indent}# "
    lines = wrap(_meaning(row), _WIDTH, initial_indent=mark, subsequent_indent=mark, break_on_hyphens=False)
    lines.append(f"{mark}{row.kind.words} · {_variables(row)}")
    lines += [f"{indent}#{key}: {value}".rstrip() for key, value in _samples(row)]
    return "\n".join(lines)


def _samples(row: Row) -> Iterator[tuple[str, str]]:
    path = f"/v1/{row.key[-2]}" if _general(row) == "otlp.endpoint" else ""
    yield row.key[-1], (row.default or row.example) + path
    if row.kind.secret:
        yield row.file_key[-1], f"/run/secrets/{row.env.lower()}"


def _variables(row: Row) -> str:
    return f"{row.env} or {row.file_env}" if row.kind.secret else row.env


def schema() -> str:
    """config/bridge.schema.json: JSON schema of the file, for editors."""
    tree = _object("Settings of letta-otel-bridge")
    tree["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for key, _ in sections(Settings):
        _parent(tree, key)[key[-1]] = _object(_about(key))
    for row in rows(Settings):
        properties = _parent(tree, row.key)
        properties[row.key[-1]] = {**row.kind.schema, "description": f"{_meaning(row)} ({_variables(row)})"}
        if row.default and _general(row) is None:
            plain = row.kind.schema["type"] in ("number", "integer", "boolean")
            properties[row.key[-1]]["default"] = json.loads(row.default) if plain else row.default
        if row.kind.secret:
            properties[row.file_key[-1]] = {"type": "string", "description": f"File with the value of {row.name}"}
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _object(description: str) -> dict[str, Any]:
    return {"description": description, "type": ["object", "null"], "additionalProperties": False, "properties": {}}


def _parent(tree: dict[str, Any], key: Key) -> dict[str, Any]:
    for name in key[:-1]:
        tree = tree["properties"][name]
    properties: dict[str, Any] = tree["properties"]
    return properties


def reference() -> str:
    """docs/settings.md: a table for each section."""
    parts = [_REFERENCE]
    for key, group in groupby(rows(Settings), lambda row: row.key[:-1]):
        heading = f"\n## {'.'.join(key)}\n\n{_about(key)}\n" if key else "\n## Without a section\n"
        parts.append(heading + "\n| Key | Variable | Value | Default | Meaning |\n|---|---|---|---|---|\n")
        parts += [_table_row(row) for row in group]
    return "".join(parts)


def _table_row(row: Row) -> str:
    key, variable = _code(row.key[-1]), _code(row.env)
    if row.kind.secret:
        key, variable = f"{key} or {_code(row.file_key[-1])}", f"{variable} or {_code(row.file_env)}"
    return f"| {key} | {variable} | {row.kind.words} | {_default(row)} | {_meaning(row)} |\n"


def _default(row: Row) -> str:
    if general := _general(row):
        return f"that of {_code(general)}"
    return _code(row.default) if row.default else ""


def _general(row: Row) -> str | None:
    """Of a signal's own OTLP setting, the name of the general one."""
    return f"otlp.{row.key[-1]}" if row.key[0] == "otlp" and len(row.key) > len(("otlp", "endpoint")) else None


def _meaning(row: Row) -> str:
    general = _general(row)
    return f"As {general}, for {row.key[-2]} alone." if general else row.description


def _about(key: Key) -> str:
    model: type[Section] = dict(sections(Settings))[key]
    if len(key) > 1:
        return f"What is different for {key[-1]}."
    return (model.__doc__ or "").strip()


def _code(text: str) -> str:
    return f"`{text}`"
