"""A tab that notes what its console said and what it fetched."""

from __future__ import annotations

from playwright.async_api import ConsoleMessage, Error, Page, Request


class WatchedTab:
    """One tab.

    Attributes:
        page: the tab.
        complaints: errors and warnings of the console, and exceptions that nothing caught.
        fetched: each address, in the order of the requests.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", self._caught)
        page.on("request", self._fetch)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _caught(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _fetch(self, request: Request) -> None:
        self.fetched.append(request.url)
