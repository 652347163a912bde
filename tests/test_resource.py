"""The resource is the same after every start."""

from __future__ import annotations

import pytest

from bridge.resource import resource
from bridge.settings import load


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"):
        monkeypatch.delenv(name, raising=False)


def test_it_carries_the_service_name_and_nothing_random() -> None:
    attributes = resource(load({}, None)).attributes
    assert attributes["service.name"] == "letta"
    assert set(attributes) == {
        "service.name",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
    }
    assert attributes == resource(load({}, None)).attributes


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OTEL_SERVICE_NAME": "by-name"}, "by-name"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=by-attribute"}, "by-attribute"),
        ({"OTEL_SERVICE_NAME": "by-name", "OTEL_RESOURCE_ATTRIBUTES": "service.name=by-attribute"}, "by-name"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a"}, "by-file"),
    ],
)
def test_the_environment_wins_over_the_file(
    environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("config") / "bridge.yaml"
    file.write_text("service_name: by-file")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert resource(load(environ, file)).attributes["service.name"] == expected


def test_what_the_user_states_is_kept_even_an_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=blue,deployment.environment.name=a%20b")
    attributes = resource(load({}, None)).attributes
    assert attributes["service.instance.id"] == "blue"
    assert attributes["deployment.environment.name"] == "a b"
