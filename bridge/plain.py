"""Foreign text made fit for a person's eyes: one line, printable, of a bearable length."""

from __future__ import annotations


def one_line(text: str, *, longest: int = 300) -> str:
    """`text` without control characters and line breaks, cut where it is longer than `longest` characters."""
    start = text[: 4 * longest]  # what is cut off need not be looked through
    line = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    cut = len(line) > longest or len(text) > len(start)
    return line[: longest - 1] + "…" if cut else line
