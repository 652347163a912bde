"""Reads the YAML file into what was given for each setting, with the line it stands on.

Every value stays the text that was written, so that the file and the environment are read by the same rules: `off`
is not false, 5:30 is not a number of minutes. Nothing is raised: each problem becomes one line, and what can be
read is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import yaml

from bridge.settings.fields import Key, Row
from bridge.settings.nearest import no_such
from bridge.settings.reading import Given, Reading

_NULL = "tag:yaml.org,2002:null"


def read_file(path: Path, rows: Iterable[Row], sections: Collection[Key]) -> Reading:
    """What the file at `path` gives; secrets' `_file` keys come as they are."""
    reader = _Reader(path, _leaves(rows), sections)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        reader.reading.problem(path, "there is no such file; --config or BRIDGE_CONFIG named it", ())
    except OSError as error:
        reader.reading.problem(path, f"the file cannot be read: {error.strerror}", ())
    except UnicodeDecodeError:
        reader.reading.problem(path, "the file is not UTF-8 text", ())
    except yaml.YAMLError as error:
        reader.reading.problem(f"{path}{_line(error)}", f"this is not YAML: {_reason(error)}", ())
    else:
        reader.section((), root)
    return reader.reading


def _leaves(rows: Iterable[Row]) -> dict[Key, type | None]:
    """Each key that holds a value → the container it may hold instead of text."""
    leaves: dict[Key, type | None] = {}
    for row in rows:
        leaves[row.key] = row.kind.container
        if row.kind.secret:
            leaves[row.file_key] = None
    return leaves


class _Reader:
    def __init__(self, path: Path, leaves: Mapping[Key, type | None], sections: Collection[Key]) -> None:
        self.path = path
        self.leaves = leaves
        self.sections = sections
        self.reading = Reading()

    def problem(self, node: yaml.Node, key: Key, what: str) -> None:
        self.reading.problem(self.where(node, key), what, key)

    def where(self, node: yaml.Node, key: Key) -> str:
        return f"{self.path}:{node.start_mark.line + 1} {'.'.join(key)}".rstrip()

    def section(self, key: Key, node: yaml.Node | None) -> None:
        if node is None or node.tag == _NULL:
            return
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, key, f"this is {_noun(node)}, where {'settings' if key else 'sections'} should be")
            return
        seen: set[str] = set()
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self.problem(name, key, f"this is {_noun(name)}, where a name should be")
            elif name.value in seen:
                self.problem(name, (*key, name.value), "this stands here twice; keep one of them")
            else:
                seen.add(name.value)
                self.entry((*key, name.value), name, value)

    def entry(self, key: Key, name: yaml.Node, node: yaml.Node) -> None:
        if key in self.sections:
            self.section(key, node)
        elif key in self.leaves:
            self.leaf(key, node)
        else:
            known = [".".join(each) for each in (*self.leaves, *self.sections)]
            self.problem(name, key, no_such(".".join(key), known))

    def leaf(self, key: Key, node: yaml.Node) -> None:
        try:
            value = _value(node, self.leaves[key])
        except ValueError as error:
            self.problem(node, key, str(error))
            return
        if value is not None:
            self.reading.given[key] = Given(self.where(node, key), value)


def _value(node: yaml.Node, container: type | None) -> str | list[str] | dict[str, str] | None:
    """What `node` holds, as text; None where it is empty."""
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == _NULL else node.value.strip() or None
    if isinstance(node, yaml.SequenceNode) and container is list:
        return [_plain(item) for item in node.value]
    if isinstance(node, yaml.MappingNode) and container is dict:
        return {_plain(name): _plain(item) for name, item in node.value}
    raise ValueError(f"this is {_noun(node)}, where one value should be")


def _plain(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"one of its items is {_noun(node)}, where one value should be")  # noqa: TRY004
    return str(node.value)


def _noun(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "a single value"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    """PyYAML's reason without what it quotes from the file, which may be a part of a secret."""
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    return re.sub(r"'[^'<][^']{4,}'", "'…'", reason)
