"""What is in a PromQL expression, as far as the rules of deploy/prometheus go: names, labels, numbers, comparisons.

No parser: strings, comments and durations are told from names by their looks, which is enough for rules that
promtool has checked. A mutant is an expression with one thing changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_STRING = r'"(?:[^"\\]|\\.)*"'
_WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "bool", "offset", "group_left", "group_right"}
_LABEL_LISTS = re.compile(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^}]*)\}")
_MATCHER = re.compile(rf"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*({_STRING})\s*,?")
_NAME = re.compile(r"[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])")
_COMPARISON = re.compile(r"(?<![=!~])(==|!=|<=|>=|<|>)")
_NUMBER = re.compile(r"(?<![\w.\[:])\d+(?:\.\d+)?(?![\w.])")

OPPOSITE = {"==": "!=", "!=": "==", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def metrics(expression: str) -> set[str]:
    """The names of metrics; those that a matcher on __name__ describes are not among them."""
    bare = re.sub(r"\[[^\]]*\]", " ", _MATCHERS.sub(" ", _LABEL_LISTS.sub(" ", expression)))
    bare = re.sub(r"\boffset\s+\w+", " ", re.sub(_STRING, " ", bare))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def labels(expression: str) -> set[str]:
    """The labels it selects or groups by."""
    found = {name for name, _, _ in matchers(expression)}
    for _, inside in _LABEL_LISTS.findall(expression):
        found |= {name.strip() for name in inside.split(",") if name.strip()}
    return found


def matchers(expression: str) -> list[tuple[str, str, str]]:
    """(label, operator, value) of each."""
    found = [matcher for inside in _MATCHERS.findall(expression) for matcher in _MATCHER.findall(inside)]
    return [(label, operator, value[1:-1]) for label, operator, value in found]


def mutants(expression: str) -> Iterator[tuple[str, str]]:
    """(what was done, the expression with that done), one thing at a time."""
    for match in _COMPARISON.finditer(_hidden(expression)):
        yield f"{match[0]} turned round", _with(expression, match, OPPOSITE[match[0]])
    for name in sorted(metrics(expression)):
        for match in re.finditer(rf"(?<![\w:]){name}(?![\w:])", _hidden(expression)):
            yield f"{name} renamed", _with(expression, match, f"{name}_x")
    for match in _NUMBER.finditer(_hidden(expression)):
        number = float(match[0])
        for other in (number * 2, number / 2) if number else (5.0,):
            yield f"{match[0]} is {other:g}", _with(expression, match, f"{other:g}")
    yield from _fewer_labels(expression)
    yield from _fewer_clauses(expression)


def _fewer_labels(expression: str) -> Iterator[tuple[str, str]]:
    for braces in _MATCHERS.finditer(expression):
        for match in _MATCHER.finditer(expression, braces.start(1), braces.end(1)):
            yield f"matcher {match[0]} dropped", _with(expression, match, "")
    for match in _LABEL_LISTS.finditer(expression):
        names = [name.strip() for name in match[2].split(",") if name.strip()]
        for name in names:
            rest = ", ".join(other for other in names if other != name)
            yield f"{name} dropped from {match[1]}", _with(expression, match, f"{match[1]} ({rest})")


def _fewer_clauses(expression: str) -> Iterator[tuple[str, str]]:
    """Without what follows one `and`, up to the next."""
    clauses = re.split(r"\s+and\s+", expression)
    for number in range(1, len(clauses)):
        yield f"clause {number + 1} dropped", " and ".join(clauses[:number] + clauses[number + 1 :])


def _hidden(expression: str) -> str:
    """The expression with its strings, matchers' names and ranges blanked out, everything in its place."""

    def blank(match: re.Match[str]) -> str:
        return " " * len(match[0])

    return re.sub(rf"{_STRING}|\[[^\]]*\]|\{{[^}}]*\}}", blank, expression)


def _with(expression: str, match: re.Match[str], text: str) -> str:
    return expression[: match.start()] + text + expression[match.end() :]
