"""An environment with what the bridge depends on and nothing else, as a user has it who installed it.

Packages of development are imported where they are found (httpx takes rich along), and nobody who installed the
bridge alone pays for them. The packages are links into the environment that this runs in: nothing is downloaded.
"""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_NAME = re.compile(r"[\w.-]+")


@contextmanager
def environment() -> Iterator[Path]:
    """The Python of a clean environment, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True)
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        for wanted in needed(tomllib.loads(_PROJECT.read_text())["project"]["dependencies"]):
            for path in _tops(wanted):
                if not (packages / path.name).exists():
                    (packages / path.name).symlink_to(path)
        yield Path(folder) / "bin" / Path(sys.executable).name


def needed(requirements: Iterable[str]) -> Iterable[Distribution]:
    """The distributions that are asked for, directly or not: as far as they are installed, and without extras."""
    found: dict[str, Distribution] = {}
    wanted = list(requirements)
    while wanted:
        requirement = wanted.pop()
        name = _NAME.match(requirement)
        if name is None or "extra ==" in requirement or name[0] in found:
            continue
        with suppress(PackageNotFoundError):  # for another system, or another Python
            found[name[0]] = distribution(name[0])
            wanted += found[name[0]].requires or ()
    return found.values()


def _tops(wanted: Distribution) -> Iterator[Path]:
    """Its packages, modules and metadata; not its scripts, which lie elsewhere."""
    for name in sorted({file.parts[0] for file in wanted.files or ()} - {"..", "__pycache__"}):
        yield Path(str(wanted.locate_file(name)))
