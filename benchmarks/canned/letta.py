"""A Letta server whose answers are made on demand, with the real one's (0.16.8) swapped cursors of the run list.

What was asked is counted by route; `/bench/…` reads that, adds runs, and is not counted. The long bodies, steps and
messages, come from templates, one for each kind of run, so that no contestant waits for JSON to be written.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from benchmarks.canned import records
from benchmarks.canned.http import Request, Response, serve
from benchmarks.canned.records import KINDS, World, dumped
from benchmarks.canned.template import Template

_KEPT = 4000  # templates
_Key = tuple[str, int, bool, tuple[str, ...]]  # route, kind of run, whether it goes on, what else was asked
_NOT_FOUND = Response(b'{"detail":"not found: this server is canned"}', 404)


class CannedLetta:
    """The routes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked: Counter[str] = Counter()
        self._made: dict[_Key, Template] = {}

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        path, _, query = request.target.decode().partition("?")
        if path.startswith("/bench/"):
            return self._bench(path)
        parts = path.strip("/").split("/")
        shape = "/".join(part if n != 2 or not part else "{id}" for n, part in enumerate(parts))
        self._asked[shape] += 1
        return self._route(shape, parts[2] if len(parts) > 2 else "", query)

    def _route(self, shape: str, id_: str, query: str) -> Response:  # noqa: C901, PLR0911 - a table of routes
        world, (run, step) = self._world, records.numbers(id_) if id_ else (0, 0)
        if shape == "v1/health":
            return Response(b'{"version":"0.16.8","status":"ok"}')
        if shape == "v1/steps":
            return Response(b'{"detail":"Argument order does not match type"}', 400)
        if shape == "v1/runs":
            return Response(self._runs(_flat(query)))
        if shape == "v1/runs/{id}":
            return Response(dumped(world.run(run, listed=False)))
        if shape == "v1/runs/{id}/steps":
            return Response(self._filled(self._steps, run, query))
        if shape == "v1/runs/{id}/messages":
            return Response(self._filled(self._messages, run, query))
        if shape == "v1/runs/{id}/metrics":
            return Response(dumped(world.run_metrics(run)))
        if shape == "v1/steps/{id}":
            return Response(dumped(world.step(run, step)))
        if shape == "v1/steps/{id}/metrics":
            return Response(dumped(world.step_metrics(run, step)))
        if shape == "v1/steps/{id}/messages":
            return Response(dumped(world.step_messages(run, step)))
        if shape == "v1/agents/{id}":
            return Response(dumped(records.agent(id_)))
        return _NOT_FOUND

    def _runs(self, query: dict[str, str]) -> bytes:
        world, limit = self._world, int(query.get("limit", 100))
        first = world.runs - world.open_runs if query.get("active", "").lower() == "true" else 0
        low, high = first, world.count  # half open
        newest_first = query.get("order", "desc") == "desc"
        if "before" in query:  # walks on in the order of the list, and `after` the other way: so does the real server
            low, high = self._side(query["before"], low, high, older=newest_first)
        elif "after" in query:
            low, high = self._side(query["after"], low, high, older=not newest_first)
        numbers = range(high - 1, low - 1, -1) if newest_first else range(low, high)
        return dumped(world.run(number) for number in numbers[:limit])

    @staticmethod
    def _side(cursor: str, low: int, high: int, *, older: bool) -> tuple[int, int]:
        number, _ = records.numbers(cursor)
        return (low, min(high, number)) if older else (max(low, number + 1), high)

    def _steps(self, run: int, query: dict[str, str]) -> bytes:
        begin = records.numbers(query["after"])[1] + 1 if "after" in query else 0
        limit = int(query.get("limit", 100))
        steps = range(begin, self._world.steps)
        if query.get("order", "desc") == "desc":
            steps = steps[::-1]
        return dumped(self._world.step(run, step) for step in steps[:limit])

    def _messages(self, run: int, query: dict[str, str]) -> bytes:
        limit = int(query.get("limit", 100))
        first = records.numbers(query["after"])[1] if "after" in query else 0
        found: list[dict[str, Any]] = []
        passed = "after" not in query
        for step in range(first, self._world.steps):
            for message in self._world.step_messages(run, step):
                if passed:
                    found.append(message)
                passed = passed or message["id"] == query["after"]
            if len(found) >= limit:
                break
        return dumped(found[:limit])

    def _filled(self, make: Callable[[int, dict[str, str]], bytes], run: int, query: str) -> bytes:
        """What `make` would give, from the template of the first run of its kind that was asked for the same."""
        asked, created = _flat(query), self._world.created(run)
        alike = tuple(f"{name}={value}".replace(f"{run:08x}", "") for name, value in sorted(asked.items()))
        key = (make.__name__, run % KINDS, self._world.is_open(run), alike)
        template = self._made.get(key)
        if template is None:
            template = Template(make(run, asked), run, created)
            if len(self._made) < _KEPT:
                self._made[key] = template
        return template.filled(run, created)

    def _bench(self, path: str) -> Response:
        told: dict[str, Any] = {"asked": dict(self._asked), "cpu": time.process_time()}
        if path == "/bench/grow":
            run = self._world.grow(time.time())
            told["step"] = records.step_id(run, self._world.steps - 1)
        if path == "/bench/reset":
            self._asked.clear()
        return Response(json.dumps(told).encode())


def _flat(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query).items()}


def main() -> None:
    """Serve a world, described on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--open-runs", type=int, default=0)
    parser.add_argument("--spacing", type=float, default=60.0)
    parser.add_argument("--undated", action="store_true")
    given = parser.parse_args()
    newest = time.time() - given.steps * 4.0 - 5.0
    world = World(given.runs, given.steps, given.open_runs, given.spacing, newest)
    serve(CannedLetta(world), dated=not given.undated)


if __name__ == "__main__":
    main()
