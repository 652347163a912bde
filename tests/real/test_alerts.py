"""From what goes wrong in a real Letta to a person, with no part left out.

Letta → `bridge run` → Prometheus with the rules of deploy/prometheus → Alertmanager with the file of
deploy/alertmanager → a webhook and a chat, which are told the run and the link to its trace.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from real import lab as labs
from real.driver import Driver
from real.lab import Lab
from real.prometheus import Alertmanager, Prometheus, needs_prometheus
from real.receivers import Ddapm
from real.scenarios import SCENARIOS, Stage
from real.seen import SeenSpan
from real.service import Service
from real.waiting import until
from real.webhook import Post, Webhook

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = [DEPLOY / "prometheus" / name for name in ("letta.records.yml", "letta.alerts.yml")]
RUNBOOKS = "https://git.example.com/letta-otel-bridge/blob/main/docs/runbooks"  # as prometheus.yml has it
VIEWER = "http://viewer.test/trace/"

# What may be told of each scenario. A tool that is cancelled ends its step well, or leaves it pending, as it happens.
CASES = {
    "LLM 500": {"LettaStepFailed"},
    "cancelled stream": {"LettaStepCancelled"},
    "cancelled in a tool": {"LettaStepCancelled", "LettaRunCancelled"},
}
# Each alert is about a span of this operation with this status.
ABOUT = {
    "LettaStepFailed": ("agent_step", "failed"),
    "LettaStepCancelled": ("agent_step", "cancelled"),
    "LettaRunCancelled": ("invoke_agent", "cancelled"),
}

pytestmark = [pytest.mark.real, needs_prometheus]


@dataclass(frozen=True)
class Watch:
    """All parts, running."""

    driver: Driver
    receiver: Ddapm
    prometheus: Prometheus
    webhook: Webhook

    def told(self, run: str) -> list[tuple[Post, dict[str, Any]]]:
        """The alerts about a run that reached the webhook, each with its request."""
        return [
            (post, alert)
            for post in list(self.webhook.posts)
            if post.path == "/alerts"
            for alert in post.body["alerts"]
            if alert["labels"].get("letta_run_id") == run
        ]

    def chats(self, text: str) -> list[dict[str, Any]]:
        """The chat messages with that in them."""
        posts = [post.body for post in list(self.webhook.posts) if post.path == "/chat"]
        return [body for body in posts if text in body["attachments"][0]["text"]]

    def span(self, run: str, operation: str, status: str) -> list[SeenSpan]:
        """Where the backend shows what happened to the run."""
        name = "letta.run.status" if operation == "invoke_agent" else "letta.step.status"
        return [
            span
            for span in self.receiver.spans()
            if (span.run_id, span.operation, span.attributes.get(name)) == (run, operation, status)
        ]


@pytest.fixture(scope="module")
def watch(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Everything up, and looked at once; whatever else this server holds is older."""
    folder = tmp_path_factory.mktemp("alerts")
    labs.install_receivers()
    with ExitStack() as stack:
        webhook = stack.enter_context(Webhook())
        receiver = Ddapm(labs.scratch(), folder, "http/protobuf")
        receiver.start()
        stack.callback(receiver.stop)
        service = Service(
            "alerts",
            letta=lab.url,
            since=datetime.now(UTC) - timedelta(seconds=1),
            folder=folder,
            sends_to={
                **receiver.environment(),
                "BRIDGE_TRACE_URL": VIEWER + "{trace_id}",
                "BRIDGE_POLL_INTERVAL": "1s",
                "BRIDGE_SETTLE": "5s",
            },
        )
        stack.callback(service.close)
        receiver.wait_ready()
        service.start()
        service.wait_live()
        alertmanager = stack.enter_context(Alertmanager(folder, alertmanager_file(folder, webhook)))
        prometheus = Prometheus(
            folder,
            {"letta-bridge": [service.address]},
            rules=RULES,
            alertmanager=alertmanager.address,
            every="1s",
            base=yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text()),
        )
        stack.enter_context(prometheus)
        prometheus.wait_scraped()
        driver = Driver(lab.url)
        stack.callback(driver.close)
        yield Watch(driver, receiver, prometheus, webhook)


def alertmanager_file(folder: Path, webhook: Webhook) -> Path:
    """The file that is shipped, with the addresses changed as its head says, and its template beside it."""
    shutil.copy(DEPLOY / "alertmanager/letta.tmpl", folder)
    shipped = (DEPLOY / "alertmanager/alertmanager.yml").read_text()
    assert shipped.count("http://localhost:9099/") == 3
    file = folder / "alertmanager.yml"
    file.write_text(shipped.replace("localhost:9099", webhook.address))
    return file


@pytest.mark.parametrize("scenario", CASES)
def test_a_person_hears_of_it_with_the_link_to_its_trace(
    watch: Watch, scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = SCENARIOS[scenario](Stage(watch.driver, watch.driver.tools()))
    over = time.time()
    run = watch.driver.wait_newest(agent)

    until(lambda: watch.told(run), seconds=120, every=0.05, what=f"the webhook hears of {run}")
    (post, alert), *more = watch.told(run)
    name = alert["labels"]["alertname"]
    with capsys.disabled():
        seconds = f"{post.at - over:.1f} s from its end in Letta to the webhook"
        print(f"\n{scenario}: {seconds}, by {name}")  # noqa: T201 - what a person wants to know

    assert more == [], "one alert, told once"
    assert name in CASES[scenario]
    assert alert["status"] == "firing"
    assert "runbooks" not in alert["labels"], "it is for the link alone"
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}/{name}.md"
    assert alert["labels"]["gen_ai_agent_id"] == agent
    [span] = until(lambda: watch.span(run, *ABOUT[name]), seconds=60, what="the backend has its span")
    assert span.status == "error"
    link = VIEWER + span.trace_id
    assert (alert["annotations"]["trace"], alert["annotations"]["run"]) == (link, run)
    [chat] = until(lambda: watch.chats(run), seconds=20, what=f"the chat hears of {run}")
    assert link in chat["attachments"][0]["text"]
    assert chat["attachments"][0]["title_link"] == link


def test_nothing_else_is_wrong(watch: Watch) -> None:
    """No rule fails on real data, and what is well is silent."""
    rules = watch.prometheus.rules()
    assert len(rules) > 30
    until(lambda: all(rule["health"] != "unknown" for rule in watch.prometheus.rules()), seconds=20, what="evaluated")
    assert [rule for rule in watch.prometheus.rules() if rule["health"] != "ok"] == []
    firing = {alert["labels"]["alertname"] for alert in watch.prometheus.alerts()}
    told = {post.body["groupLabels"]["alertname"] for post in list(watch.webhook.posts) if post.path == "/alerts"}
    assert firing | told <= ABOUT.keys()
