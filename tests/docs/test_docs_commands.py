"""Every `bridge …` that the pages tell a person to type is taken by the real parser."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence

import pytest
from docs.pages import DOCS, PAGES, ROOT, blocks, spans

from bridge.cli import EXIT_CODES, _parser

ENDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<"})
STAND_FOR_A_NUMBER = {"N": "1"}


def commands(text: str) -> Iterator[Sequence[str]]:
    """What follows `bridge` in each command of some shell, also where a container is told to run it."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word not in ENDS:
                command.append(word)
                continue
            if (arguments := _of_the_bridge(command)) is not None:
                yield [STAND_FOR_A_NUMBER.get(word, word) for word in arguments]
            command = []


def _of_the_bridge(command: list[str]) -> list[str] | None:
    match command:
        case ["docker", "compose", *words] if "exec" in words:
            return _of_the_bridge(words[words.index("exec") + 2 :])  # past the name of the service
        case ["docker", "compose", *words] if "run" in words:
            return words[words.index("bridge") + 1 :]  # the service's entry point is the program
        case ["kubectl", *words] if "--" in words:
            return _of_the_bridge(words[words.index("--") + 1 :])
        case [before, *words] if before in {"sudo", "env"} or "=" in before:
            return _of_the_bridge(words)
        case [program, *words] if program.rpartition("/")[2] == "bridge":
            return words
    return None


IN_BLOCKS = [
    pytest.param(words, id=f"{block} {' '.join(words)}") for block in blocks("sh") for words in commands(block.text)
]
IN_TEXT = [
    pytest.param(words, id=f"{page.relative_to(ROOT)} {span}")
    for page in PAGES
    for span in sorted(set(spans(page)))
    if "bridge " in span and "'" not in span
    for words in commands(span.replace("#", "\\#"))
]


@pytest.mark.parametrize("words", IN_BLOCKS)
def test_a_command_in_a_block_is_accepted(words: Sequence[str]) -> None:
    assert vars(_parser().parse_args(words))


@pytest.mark.parametrize("words", IN_TEXT)
def test_a_command_in_the_text_exists_with_its_options(words: Sequence[str]) -> None:
    """It may leave out what is required: `bridge dead-letters show`."""
    parser = _parser()
    for word in words:
        named = _subcommands(parser)
        if word.startswith("-"):
            assert word in parser._option_string_actions
        elif named:
            assert word in named
            parser = named[word]


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def test_there_are_commands_to_check() -> None:
    assert len(IN_BLOCKS) > 15
    assert len(IN_TEXT) > 25


def test_the_page_has_the_exit_codes_that_the_help_has() -> None:
    told = re.findall(r"^\| (\d) \|", (DOCS / "operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert told == re.findall(r"^  (\d)  ", EXIT_CODES, re.MULTILINE)
