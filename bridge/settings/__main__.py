"""Prints what is generated from the settings: `python -m bridge.settings example|schema|reference`."""

from __future__ import annotations

import sys

from bridge.settings.generate import example, reference, schema

_PAGES = {"example": example, "schema": schema, "reference": reference}


def main(arguments: list[str]) -> int:
    """Print the page that `arguments` names; 2 where it names none."""
    if len(arguments) != 1 or arguments[0] not in _PAGES:
        sys.stderr.write("say which: python -m bridge.settings example, schema or reference\n")
        return 2
    sys.stdout.write(_PAGES[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
