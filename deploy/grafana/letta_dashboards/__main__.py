"""`python -m letta_dashboards FOLDER`: every dashboard as FOLDER/<backend>/<uid>.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from letta_dashboards import agent, bridge_itself, fleet, model
from letta_dashboards.layout import laid_out
from letta_dashboards.traces import BACKENDS

_IN_A_MENU: Final = "inControlsMenu"


def write(folder: Path) -> None:
    """Write them all; what else is in the folder stays."""
    for backend in BACKENDS:
        home = folder / backend.plugin
        home.mkdir(parents=True, exist_ok=True)
        for make in (fleet.page, agent.page, model.page, bridge_itself.page):
            page = make(backend)
            plain = json.loads(json.dumps(laid_out(page, backend), cls=JSONEncoder))
            text = json.dumps(_in_sight(plain), indent=2, sort_keys=True, ensure_ascii=False)
            (home / f"{page.uid}.json").write_text(f"{text}\n", encoding="utf-8")


def _in_sight(value: Any) -> Any:
    """The package puts every link and mark into a menu, where nobody looks; what does not say so is shown."""
    match value:
        case dict():
            return {name: _in_sight(inner) for name, inner in value.items() if inner != _IN_A_MENU}
        case list():
            return [_in_sight(inner) for inner in value]
        case _:
            return value


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        sys.exit("usage: python -m letta_dashboards FOLDER")
    write(Path(sys.argv[1]))
