"""From a body to records, losing none: what cannot be read is kept aside, word for word, with the reason.

The fast way reads strict JSON. What that refuses is read once more, leniently: bytes that are no UTF-8 and lone
surrogates become U+FFFD, so that one cut emoji costs no record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from bridge.errors import LettaMisbehaved
from bridge.plain import one_line


class Named(Protocol):
    """A record of a list."""

    @property
    def id(self) -> str:
        """Unique in its list."""
        ...


R = TypeVar("R")
T = TypeVar("T", bound=Named)

_NAMELESS: Final = "malformed-"
_LONGEST_ID: Final = 256
_MOST_DIGITS: Final = 400  # Python refuses to read numbers of some thousand


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

    @property
    def last(self) -> str | None:
        """The id to go on from: the last one that Letta knows a record by."""
        return next((id_ for id_ in reversed(self.order) if not id_.startswith(_NAMELESS)), None)


def one(adapter: TypeAdapter[R], what: str, body: bytes, request: str) -> R:
    """One record; a field that does not fit is left out, as far as the record can do without it.

    Args:
        adapter: reads it.
        what: for the words of a failure, `a run`.
        body: the answer's.
        request: that it answers.

    Raises:
        LettaMisbehaved: it is no JSON, or not such a record.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError:
        value = _value(body, request)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        record = _without_misfits(adapter, value, error)
        if record is None:
            reason = _reason(error)
            raise LettaMisbehaved(f"Letta's answer to {request} is not {what}: {reason}") from error
        return record


def page(adapter: TypeAdapter[list[T]], kind: str, body: bytes, request: str) -> Page[T]:
    """A list of records; one that does not fit costs only itself.

    Raises:
        LettaMisbehaved: it is no JSON, or no list.
    """
    try:
        items = adapter.validate_json(body)
    except ValidationError:
        return _one_by_one(adapter, kind, _list(body, request))
    return Page(tuple(items), tuple(item.id for item in items))


def distinct(page: Page[T]) -> Page[T]:
    """The page with each id once: a record that is listed twice must not count twice."""
    if len(set(page.order)) == len(page.order):
        return page
    items: dict[str, T] = {}
    for item in page.items:
        items.setdefault(item.id, item)
    lost = {record.id: record for record in page.malformed}
    return Page(tuple(items.values()), tuple(dict.fromkeys(page.order)), tuple(lost.values()))


def rescued(adapter: TypeAdapter[T], page: Page[T]) -> Page[T]:
    """The page with every malformed record back in its place that can do without the fields that do not fit."""
    if not page.malformed:
        return page
    records = {item.id: item for item in page.items}
    for lost in page.malformed:
        try:
            adapter.validate_python(value := json.loads(lost.text))
        except ValidationError as error:
            if (record := _without_misfits(adapter, value, error)) is not None:
                records[lost.id] = record
    return replace(page, items=tuple(records[id_] for id_ in page.order if id_ in records))


def _without_misfits(adapter: TypeAdapter[R], value: object, error: ValidationError) -> R | None:
    if not isinstance(value, dict):
        return None
    problems = error.errors(include_url=False, include_input=False)
    misfits = {problem["loc"][0] for problem in problems if problem["loc"]}
    try:
        return adapter.validate_python({name: inner for name, inner in value.items() if name not in misfits})
    except ValidationError:
        return None


def _list(body: bytes, request: str) -> list[Any]:
    rows = _value(body, request)
    if not isinstance(rows, list):
        raise LettaMisbehaved(f"Letta's answer to {request} is not a list but {type(rows).__name__}")
    return rows


def _value(body: bytes, request: str) -> Any:
    """The JSON value of a body that may be no UTF-8."""
    try:
        text = body.decode(json.detect_encoding(body), errors="replace")
        return _mended(json.loads(text, parse_int=_whole))
    except RecursionError as error:
        raise LettaMisbehaved(f"Letta's answer to {request} is nested too deeply to be read") from error
    except ValueError as error:
        start = one_line(body[:60].decode(errors="replace"))
        what = "damaged JSON, or cut off" if start.startswith(("[", "{")) else f"not JSON; it begins with {start!r}"
        raise LettaMisbehaved(f"Letta's answer to {request} is {what}") from error


def _whole(digits: str) -> int | str:
    """A number; one of absurd length stays text, so that it costs its record and not the page."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _mended(value: Any) -> Any:
    """The value with U+FFFD in place of lone surrogates, which no encoding can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(inner) for name, inner in value.items()}
    return value


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
            order.append(item.id)
    return Page(tuple(items), tuple(order), tuple(malformed))


def _malformed(kind: str, row: object, error: ValidationError) -> Malformed:
    text = json.dumps(row, ensure_ascii=False, sort_keys=True)
    own = row.get("id") if isinstance(row, dict) else None
    has_name = isinstance(own, str) and 0 < len(own) <= _LONGEST_ID
    name = str(own) if has_name else f"{_NAMELESS}{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Malformed(name, kind, _reason(error, within=1), text)


def _reason(error: ValidationError, *, within: int = 0) -> str:
    """The first thing that does not fit; `within` is how deep the record lies in what was validated."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][within:]) or "the whole record"
    return one_line(f"{where}: {first['msg']}")
