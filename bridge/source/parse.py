"""From a body to records, losing none: what cannot be read is kept aside, word for word, with the reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from bridge.errors import LettaMisbehaved

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that does not fit its model.

    Attributes:
        id: its own id; where it has none, `malformed-` and a digest of its text, so that it is known again.
        kind: `run`, `step` or `message`.
        reason: what does not fit, in one line.
        text: the record as Letta sent it, JSON.
    """

    id: str
    kind: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: the records that could be read, in the server's order.
        order: ids of all records in the server's order, malformed ones included.
        malformed: the others.
    """

    items: tuple[T, ...]
    order: tuple[str, ...]
    malformed: tuple[Malformed, ...] = ()


def one(model: type[T], body: bytes, request: str) -> T:
    """A single record.

    Raises:
        LettaMisbehaved: it is no JSON, or does not fit.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise LettaMisbehaved(f"Letta's answer to {request} is not a {model.__name__}: {_reason(error)}") from error


def page(adapter: TypeAdapter[list[T]], kind: str, body: bytes, request: str) -> Page[T]:
    """A list of records; one that does not fit costs only itself.

    Raises:
        LettaMisbehaved: it is no JSON, or no list.
    """
    try:
        items = adapter.validate_json(body)
    except ValidationError:
        return _one_by_one(adapter, kind, _list(body, request))
    return Page(tuple(items), tuple(item.id for item in items))  # type: ignore[attr-defined] # every record has one


def _list(body: bytes, request: str) -> list[Any]:
    try:
        rows = json.loads(body)
    except ValueError as error:
        start = " ".join(body[:60].decode(errors="replace").split())
        raise LettaMisbehaved(f"Letta's answer to {request} is not JSON; it begins with {start!r}") from error
    if not isinstance(rows, list):
        raise LettaMisbehaved(f"Letta's answer to {request} is not a list but {type(rows).__name__}")
    return rows


def _one_by_one(adapter: TypeAdapter[list[T]], kind: str, rows: Sequence[Any]) -> Page[T]:
    items: list[T] = []
    order: list[str] = []
    malformed: list[Malformed] = []
    for row in rows:
        try:
            (item,) = adapter.validate_python([row])
        except ValidationError as error:
            lost = _malformed(kind, row, error)
            malformed.append(lost)
            order.append(lost.id)
        else:
            items.append(item)
            order.append(item.id)  # type: ignore[attr-defined] # every record has one
    return Page(tuple(items), tuple(order), tuple(malformed))


def _malformed(kind: str, row: object, error: ValidationError) -> Malformed:
    text = json.dumps(row, ensure_ascii=False, sort_keys=True)
    own = row.get("id") if isinstance(row, dict) else None
    name = own if isinstance(own, str) and own else f"malformed-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Malformed(name, kind, _reason(error, within=1), text)


def _reason(error: ValidationError, *, within: int = 0) -> str:
    """The first thing that does not fit; `within` is how deep the record lies in what was validated."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][within:]) or "the whole record"
    return f"{where}: {first['msg']}"
