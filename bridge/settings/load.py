"""Settings out of the file and the environment; the environment wins, setting by setting.

Nothing is read but the file, the files of secrets and whether named files exist. Everything that is wrong is
reported at once: one SettingsError, one line a problem, each with where it was set. No line shows a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bridge.errors import SettingsError
from bridge.settings.checks import check
from bridge.settings.environment import CONFIG, read_environment
from bridge.settings.fields import Key, Row, rows, sections
from bridge.settings.model import Settings
from bridge.settings.reading import Given, Reading

_USUAL_PLACE = Path("config/bridge.yaml")


def find_config(environ: Mapping[str, str], given: Path | None) -> Path | None:
    """The file to load: `given`, else BRIDGE_CONFIG, else config/bridge.yaml where it exists, else none."""
    if given:
        return given
    if named := environ.get(CONFIG, "").strip():
        return Path(named)
    return _USUAL_PLACE if _USUAL_PLACE.is_file() else None


def load(environ: Mapping[str, str], path: Path | None) -> Settings:
    """The settings in `environ` and in the file at `path`.

    Raises:
        SettingsError: one line for everything that is wrong.
    """
    table = tuple(rows(Settings))
    file = _read_file(path, table) if path else Reading()
    variables = read_environment(environ, table)
    given = {**_with_secrets(file, table), **_with_secrets(variables, table)}
    settings, broken = _build(given)
    doubtful = file.doubtful | variables.doubtful | {key[0] for key in broken}
    between = _inconsistent(settings, given, table) if "" not in doubtful else ()
    problems = [*file.problems, *variables.problems, *broken.values()]
    problems += [line for name, line in between if name not in doubtful]
    if problems:
        raise SettingsError("\n".join(dict.fromkeys(problems)))
    return settings.model_copy(update={"notes": tuple(_notes(given))})


def _read_file(path: Path, table: tuple[Row, ...]) -> Reading:
    from bridge.settings.file import read_file  # noqa: PLC0415 - YAML takes memory: only where there is a file

    return read_file(path, table, {key for key, _ in sections(Settings)})


def _with_secrets(reading: Reading, table: tuple[Row, ...]) -> dict[Key, Given]:
    """What `reading` gives, with the files of secrets read; both ways at once are a problem."""
    given = dict(reading.given)
    for row in table:
        named = given.pop(row.file_key, None) if row.kind.secret else None
        if named and row.key in given:
            reading.problem(named.where, f"{given[row.key].where} is set too; keep one of them", row.key)
        elif named:
            try:
                given[row.key] = Given(named.where, _secret_in(Path(str(named.value)).expanduser()))
            except ValueError as error:
                reading.problem(named.where, str(error), row.key)
    return given


def _secret_in(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise ValueError(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise ValueError(f"the file {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {str(path)!r} is not UTF-8 text") from None
    if not text:
        raise ValueError(f"the file {str(path)!r} is empty")
    return text


def _build(given: Mapping[Key, Given]) -> tuple[Settings, dict[Key, str]]:
    """The settings out of what is right of `given`, and a line for each that is not."""
    try:
        return Settings.model_validate(_tree(given)), {}
    except ValidationError as error:
        broken = dict(_lines(error, given))
    right = {key: each for key, each in given.items() if key not in broken}
    return Settings.model_validate(_tree(right)), broken


def _tree(given: Mapping[Key, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, each in given.items():
        branch = tree
        for name in key[:-1]:
            branch = branch.setdefault(name, {})
        branch[key[-1]] = each.value
    return tree


def _lines(error: ValidationError, given: Mapping[Key, Given]) -> Iterator[tuple[Key, str]]:
    for each in error.errors(include_url=False, include_input=False):
        key = next(key for key in given if key == each["loc"][: len(key)])
        yield key, f"{given[key].where}: {each['ctx']['error']}"


def _inconsistent(
    settings: Settings, given: Mapping[Key, Given], table: tuple[Row, ...]
) -> Iterator[tuple[str, str]]:
    """What is wrong between settings that are right each for itself: the section, and the line."""
    variables = {row.key: row.env for row in table}
    for key, what in check(settings):
        yield key[0], f"{given[key].where if key in given else variables[key]}: {what}"


def _notes(given: Mapping[Key, Given]) -> Iterator[str]:
    url = given.get(("letta", "base_url"))
    if url and str(url.value).rstrip("/").endswith("/v1"):
        yield f"{url.where}: the trailing /v1 is left out, the bridge adds it by itself"
