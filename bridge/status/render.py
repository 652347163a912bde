"""The view as HTML, and the headers that go with it.

Imported when the page is first asked for. All text that the template puts out goes through `harmless`, and then is
escaped: a name that the template forgets to guard cannot become markup, or tell a secret.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bridge.settings import Settings
from bridge.status import text
from bridge.status.in_force import in_force
from bridge.status.text import Mask
from bridge.status.traffic import is_good
from bridge.status.view import View

REFRESH: Final = 10  # seconds

_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='7' fill='%23{colour}'/%3E%3Cg fill='%23fff'%3E"
    "%3Crect x='6' y='8' width='20' height='4' rx='2'/%3E%3Crect x='9' y='14.5' width='9' height='4' rx='2'/%3E"
    "%3Crect x='16' y='21' width='9' height='4' rx='2'/%3E%3C/g%3E%3C/svg%3E"
)
_COLOURS: Final = {"good": "3b5bdb", "note": "3b5bdb", "warn": "b35c00", "bad": "cf2a2a"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A page and its headers."""

    body: str
    headers: Mapping[str, str]


class Renderer:
    """Makes pages."""

    def __init__(self, settings: Settings, mask: Mask, *, refresh: int = REFRESH) -> None:
        """Read the templates, and make the part that stays the same.

        Args:
            settings: in force.
            mask: takes secrets out of a text.
            refresh: seconds after which a browser asks again.
        """
        self._refresh = refresh
        self._style = resources.files("bridge.status").joinpath("page/status.css").read_text(encoding="utf-8")
        environment = _environment(mask)
        self._template = environment.get_template("status.html")
        groups = in_force(settings)
        set_ = sum(line.is_set for group in groups for line in group.lines)
        self._settings = Markup(environment.get_template("settings.html").render(groups=groups, set=set_))  # noqa: S704

    def page(self, view: View, *, refreshes: bool) -> Answer:
        """The page of a view; `refreshes`: whether it asks for itself again."""
        body = self._template.render(
            view=view,
            settings=self._settings,
            style=Markup(self._style),  # noqa: S704 - ours
            icon=Markup(_ICON.format(colour=_COLOURS[view.headline.tone])),  # noqa: S704 - ours
            refresh=self._refresh if refreshes else None,
            at=_at,
            when=partial(_when, view.now),
            ago=lambda at: text.distance(view.now - at),
        )
        return Answer(body, self._headers(refreshes=refreshes))

    def _headers(self, *, refreshes: bool) -> Mapping[str, str]:
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        headers = {
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-store",
        }
        return {**headers, "refresh": str(self._refresh)} if refreshes else headers


def _environment(mask: Mask) -> Environment:
    environment = Environment(
        loader=PackageLoader("bridge.status", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=partial(_harmless, mask),
    )
    environment.filters |= {
        "age": text.age,
        "seconds": text.length,
        "count": "{:,}".format,
        "size": text.size,
        "prose": _prose,
        "link": _link,
    }
    environment.globals |= {"plural": text.plural, "trace_link": text.trace_link, "is_good": is_good}
    return environment


def _harmless(mask: Mask, value: Any) -> Any:
    """What the template is about to put out."""
    return text.harmless(value, mask) if type(value) is str else value


def _at(at: float) -> Markup:
    """A moment."""
    moment = text.moment(at)
    return Markup('<time datetime="{}Z">{}</time>').format(moment.replace(" ", "T"), moment)


def _when(now: float, at: float) -> Markup:
    """A moment and how long ago it was."""
    return Markup('{} <span class="ago">{}</span>').format(_at(at), text.distance(now - at))


def _prose(sentence: str) -> Markup:
    """The page's own words, with what stands in backticks as code."""
    pieces = [escape(piece) for piece in sentence.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else piece for number, piece in enumerate(pieces)
    )


def _link(url: str) -> Markup:
    """An address as it stands in an attribute: whole, or it would lead nowhere."""
    return escape(url)
