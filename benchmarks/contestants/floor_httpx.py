"""The floor with its requests to Letta sent by httpx, which most would take: the reach was set on such a floor."""

from __future__ import annotations

import httpx

from benchmarks.contestants.floor import main

if __name__ == "__main__":
    main(httpx.AsyncHTTPTransport())
