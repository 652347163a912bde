"""Prints what is generated from the code: `python -m bridge.map reference`."""

from __future__ import annotations

import sys

from bridge.map.reference import reference


def main(arguments: list[str]) -> int:
    """Print the page; 2 where it is not asked for."""
    if arguments != ["reference"]:
        sys.stderr.write("say which: python -m bridge.map reference\n")
        return 2
    sys.stdout.write(reference())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
