"""One setting is declared once, on its field: kind of value, default, description, variable, secrecy.

`rows` reads these declarations back as a flat table; loading, the example file, the JSON schema and the reference
page all work from that table, so that none of them can know a setting the model does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

Key = tuple[str, ...]  # the way to a setting in the file: ("poll", "interval")


@dataclass(frozen=True)
class Kind:
    """How one sort of value is made from what a person wrote; stands in a field's `Annotated`.

    Attributes:
        words: the sort, for people: `duration`, `true or false`.
        parse: takes text, or a value that is right already; raises ValueError with what is wrong, in words that
            continue "{where}: ".
        schema: JSON schema of what may stand in the file.
        container: list or dict where the file may hold one instead of text.
        secret: the value may never be shown, and can come from a file of its own.
    """

    words: str
    parse: Callable[[Any], object]
    schema: Mapping[str, Any]
    container: type | None = None
    secret: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Parse first, then let pydantic check the type that the field states."""
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, value: Any) -> object:
        return None if value is None else self.parse(value)


class Section(BaseModel):
    """Base of every part of the settings: frozen, nothing unknown, no input in pydantic's own messages."""

    # Built when it is first validated: that of the whole has the parts in it, and theirs alone are never asked for.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True, defer_build=True
    )


def setting(
    default: str | None, env: str, description: str, *, bare: str = "", example: str = "", shown: bool = True
) -> Any:
    """A field that a user can set.

    Args:
        default: as a person would write it; None where nothing is the default.
        env: the variable; the section's prefix goes in front.
        description: one or two sentences for the example file and the reference page.
        bare: the unit that a number without one has in the variable, where a standard says so (`s`, `ms`).
        example: what the example file shows where there is no default.
        shown: False keeps the value out of the model's repr.
    """
    extra: dict[str, Any] = {"env": env, "default": default, "bare": bare, "example": example}
    return Field(default, description=description, repr=shown, json_schema_extra=extra)


def section(*, prefix: str = "") -> Any:
    """A field that holds a section, by default with all its defaults; `prefix` goes before its variables' names."""
    return Field(default_factory=dict, json_schema_extra={"prefix": prefix})


@dataclass(frozen=True)
class Row:
    """One setting, read off its field; see `setting` and `Kind` for the attributes they share."""

    key: Key
    env: str
    kind: Kind
    default: str | None
    description: str
    bare: str
    example: str

    @property
    def name(self) -> str:
        """The key as it is written in text: `poll.interval`."""
        return ".".join(self.key)

    @property
    def file_key(self) -> Key:
        """Of a secret: the key that names a file with the value."""
        return (*self.key[:-1], f"{self.key[-1]}_file")

    @property
    def file_env(self) -> str:
        """Of a secret: the variable that names a file with the value."""
        return f"{self.env}_FILE"


def rows(model: type[Section], key: Key = (), prefix: str = "") -> Iterator[Row]:
    """Every setting of `model` and its sections, in the order of their declaration."""
    for name, field in model.model_fields.items():
        extra = _extra(field)
        inner = section_of(field)
        if inner is not None:
            yield from rows(inner, (*key, name), extra["prefix"])
        elif "env" in extra:
            yield _row((*key, name), prefix, field, extra)


def sections(model: type[Section], key: Key = ()) -> Iterator[tuple[Key, type[Section]]]:
    """Every section of `model` with its key, outer ones first."""
    for name, field in model.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            yield (*key, name), inner
            yield from sections(inner, (*key, name))


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that `field` holds, or None where it holds a value."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _row(key: Key, prefix: str, field: FieldInfo, extra: Mapping[str, Any]) -> Row:
    kind = next(item for item in field.metadata if isinstance(item, Kind))
    return Row(
        key=key,
        env=prefix + extra["env"],
        kind=kind,
        default=extra["default"],
        description=field.description or "",
        bare=extra["bare"],
        example=extra["example"],
    )


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", field.json_schema_extra or {})
