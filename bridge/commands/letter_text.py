"""Dead letters as text for a person; what in them could move a terminal's cursor is for `harmless` to escape."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from bridge.export.console import lines
from bridge.export.deliver import SIGNALS
from bridge.ledger.ledger import DeadLetter, KeptLetter
from bridge.plain import one_line

_HEADS = ("NUMBER", "KEPT (UTC)", "KIND", "SOURCE", "REASON")
_LEAST_REASON = 20  # columns
_LONGEST_SOURCE = 24  # in a table; the reason says more


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter without its payload, which can have megabytes."""

    number: int
    kept_at: float
    kind: str
    source: str
    reason: str

    @classmethod
    def of(cls, kept: KeptLetter) -> Entry:
        """What a list shows of a letter."""
        return cls(kept.id, kept.kept_at, kept.letter.kind, kept.letter.source, kept.letter.reason)

    def name(self) -> str:
        """What a line about this letter begins with."""
        return f"{self.number} {self.kind} {one_line(self.source)}"

    def as_json(self) -> str:
        """One line, for programs."""
        return json.dumps(
            {
                "number": self.number,
                "kept_at": datetime.fromtimestamp(self.kept_at, UTC).isoformat().replace("+00:00", "Z"),
                "kind": self.kind,
                "source": self.source,
                "reason": self.reason,
            }
        )


def table(entries: Sequence[Entry], *, width: int) -> Iterator[str]:
    """A head and a line each; a reason is cut where it would pass `width` columns."""
    cells = [_HEADS, *(_cells(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS) - 1)]
    rest = max(_LEAST_REASON, width - sum(widths) - 2 * len(widths))
    for row in cells:
        columns = [f"{row[0]:>{widths[0]}}", *(f"{text:{w}}" for text, w in zip(row[1:-1], widths[1:], strict=True))]
        yield "  ".join([*columns, one_line(row[-1], longest=rest)])


def full(kept: KeptLetter) -> Iterator[str]:
    """Everything about one letter: facts, then its payload in readable form."""
    letter = kept.letter
    yield f"number  {kept.id}"
    yield f"kept    {_moment(kept.kept_at)} UTC"
    yield f"kind    {letter.kind}"
    yield f"source  {letter.source}"
    yield f"reason  {letter.reason}"
    yield ""
    yield from _payload(letter)


def harmless(line: str) -> str:
    """`line` with everything unprintable escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _cells(entry: Entry) -> tuple[str, ...]:
    source = one_line(entry.source, longest=_LONGEST_SOURCE)
    return str(entry.number), _moment(entry.kept_at)[:-3], one_line(entry.kind, longest=10), source, entry.reason


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _payload(letter: DeadLetter) -> Iterator[str]:
    if letter.kind in SIGNALS:
        try:
            yield from lines(SIGNALS[letter.kind], letter.payload)
        except DecodeError:
            yield f"{len(letter.payload)} bytes that cannot be read"
        return
    text = letter.payload.decode(errors="replace")
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is shown as it lies there
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    yield from text.split("\n")
