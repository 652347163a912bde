"""The words for a name that does not exist: with the nearest one that does."""

from __future__ import annotations

from collections.abc import Iterable


def no_such(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Says that no setting is called `name`, and which of the `known` ones may have been meant.

    `prefix` is left out of the comparison: what all names share makes any two of them look alike.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - a start where all names are right does without

    by_rest = {each.removeprefix(prefix): each for each in known}
    near = get_close_matches(name.removeprefix(prefix), by_rest, n=1)
    advice = f"did you mean {by_rest[near[0]]}?" if near else "bridge settings reference lists them all"
    return f"there is no such setting; {advice}"
