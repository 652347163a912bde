"""deploy/compose: sound by the Compose specification, and in keeping with the repository and the settings.

The schema is the specification's own (compose-spec.schema.json, Apache-2.0, Copyright The Compose Specification
Authors), as it stood on 2026-06-23.
"""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bridge.settings import Settings, load

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "deploy/compose"
SCHEMA = json.loads((HERE / "compose-spec.schema.json").read_text())
SITUATIONS: dict[str, tuple[str, ...]] = {  # as `docker compose -f … -f …` is told
    "beside Letta": ("beside-letta.yaml",),
    "beside Letta, with a key": ("beside-letta.yaml", "with-key.yaml"),
    "the whole stand": ("stand.yaml",),
}
FILES = sorted({name for names in SITUATIONS.values() for name in names})
MADE_BY_THE_USER = {"letta-api-key", "letta.env"}

Service = dict[str, Any]


def file(name: str) -> dict[str, Any]:
    """A Compose file, its variables at their defaults."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (FOLDER / name).read_text())
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "given", text)
    assert not re.search(r"\$\{|\$\w", text), "every variable has a default, or says what is missing"
    return dict(yaml.safe_load(text))


def merged(under: Service, over: Service) -> Service:
    """As Compose merges: mappings by key, lists one after the other, anything else replaced."""
    result = dict(under)
    for key, value in over.items():
        below = under.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[key] = {**below, **value}
        elif isinstance(value, list) and isinstance(below, list):
            result[key] = [*below, *value]
        else:
            result[key] = value
    return result


def services(situation: str) -> dict[str, Service]:
    found: dict[str, Service] = {}
    for name in SITUATIONS[situation]:
        for key, service in file(name)["services"].items():
            base = service.pop("extends", None)
            below = file(base["file"])["services"][base["service"]] if base else {}
            found[key] = merged(found.get(key, {}), merged(below, service))
    return found


def bridge(situation: str) -> Service:
    return services(situation)["bridge"]


def settings(situation: str, folder: Path) -> Settings:
    """As the container loads them; a mounted secret is a file of the test."""
    given = dict(bridge(situation)["environment"])
    if "LETTA_API_KEY_FILE" in given:
        (secret,) = bridge(situation)["secrets"]
        assert given["LETTA_API_KEY_FILE"] == f"/run/secrets/{secret}"
        (folder / secret).write_text("key")
        given["LETTA_API_KEY_FILE"] = str(folder / secret)
    return load(given, None)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_valid(name: str) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(file(name))


def test_every_file_is_looked_at() -> None:
    with_services = {path.name for path in FOLDER.glob("*.y*ml") if "services:" in path.read_text()}
    assert with_services == set(FILES)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_image_is_pinned(situation: str) -> None:
    for name, service in services(situation).items():
        pinned = (
            r"letta-otel-bridge:\d+\.\d+\.\d+"
            if "build" in service
            else r"[\w./-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}"
        )
        assert re.fullmatch(pinned, service["image"]), name


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_path_is_in_the_repository(situation: str) -> None:
    declared = {key for name in SITUATIONS[situation] for key in file(name).get("volumes", {})}
    used = set()
    for service in services(situation).values():
        for source in [volume.split(":")[0] for volume in service.get("volumes", ())]:
            if source.startswith("."):
                assert (FOLDER / source).exists(), source
            else:
                used.add(source)
        for option in service.get("command", ()):  # a configuration that is named is one that is mounted
            for path in re.findall(r"/etc/[\w/.-]+", option):
                assert inside(service, path), path
    assert used == declared


def inside(service: Service, path: str) -> bool:
    """Whether a path of the container is there through one of its mounts."""
    for volume in service["volumes"]:
        source, target = str(volume).split(":")[:2]
        if path == target or path.startswith(f"{target}/"):
            mounted = FOLDER / source / path.removeprefix(target).lstrip("/")
            return mounted.exists()
    return False


@pytest.mark.parametrize("name", FILES)
def test_what_the_user_makes_is_not_in_the_repository(name: str) -> None:
    named = {secret["file"] for secret in file(name).get("secrets", {}).values()}
    named |= {each["path"] for service in file(name)["services"].values() for each in service.get("env_file", ())}
    assert named <= MADE_BY_THE_USER
    assert not [each for each in named if (FOLDER / each).exists()]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_bridge_takes_its_settings_as_they_stand(situation: str, tmp_path: Path) -> None:
    loaded = settings(situation, tmp_path)
    assert loaded.notes == ()
    assert (loaded.letta.api_key is not None) == ("key" in situation)
    assert loaded.serve.listen is not None
    assert bridge(situation)["ports"] == [f"127.0.0.1:{loaded.serve.listen.port}:{loaded.serve.listen.port}"]
    period = bridge(situation)["stop_grace_period"]
    assert float(period.removesuffix("s")) >= 2 * loaded.serve.grace, "SIGKILL comes well after the end"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_container_may_do_as_little_as_can_be(situation: str) -> None:
    service = bridge(situation)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == ["ledger:/var/lib/bridge"]
    assert "privileged" not in service


def test_nothing_of_the_stand_is_open_beyond_this_machine() -> None:
    ports = [port for service in services("the whole stand").values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_who_is_asked_is_there() -> None:
    stand = services("the whole stand")
    texts = [
        yaml.safe_dump(stand),
        *((FOLDER / name).read_text() for name in ("prometheus.yml", "collector-to-both.yaml")),
    ]
    hosts = set(re.findall(r"http://([a-z]+):\d+", "\n".join(texts))) | set(re.findall(r"\[([a-z]+):\d+\]", texts[1]))
    assert hosts - {"localhost"} <= stand.keys()
    assert {"letta", "collector", "jaeger", "tempo", "prometheus", "alertmanager", "bridge"} <= hosts


def test_prometheus_is_told_the_same_as_beside_one_bridge() -> None:
    ours = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    alone = yaml.safe_load((FOLDER.parent / "prometheus/prometheus.yml").read_text())
    for each in (ours, alone):
        each["alerting"]["alertmanagers"] = "elsewhere"
        each["scrape_configs"] = [job["job_name"] for job in each["scrape_configs"]]
    assert ours["scrape_configs"][:1] == alone["scrape_configs"]
    assert {**ours, "scrape_configs": None} == {**alone, "scrape_configs": None}


def test_the_collectors_second_file_changes_what_is_there() -> None:
    first = yaml.safe_load((FOLDER.parent / "collector/collector.yaml").read_text())
    second = yaml.safe_load((FOLDER / "collector-to-both.yaml").read_text())
    ours, theirs = (each["service"]["pipelines"]["traces/kept"] for each in (second, first))
    assert ours["exporters"] == [*theirs["exporters"], *second["exporters"]]
    assert {**ours, "exporters": None} == {**theirs, "exporters": None}
