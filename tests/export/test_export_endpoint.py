from __future__ import annotations

import pytest

from bridge.export.endpoint import Endpoint, shown


def test_a_secret_that_begins_another_does_not_uncover_its_rest() -> None:
    endpoint = Endpoint(url="http://localhost", headers={"a": "team", "b": "team-s3cr3t"})
    assert endpoint.mask("team and team-s3cr3t") == "*** and ***"


def test_a_value_too_short_for_a_secret_is_left_alone() -> None:
    endpoint = Endpoint(url="http://localhost", headers={"x-mlflow-experiment-id": "0"})
    assert endpoint.mask("answered 400") == "answered 400"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://host:4318/v1/traces", "http://host:4318/v1/traces"),
        ("https://user:pa%40ss@host/x?key=1#f", "https://host/x"),
        ("user:pass@host:4317", "host:4317"),
        ("host:4317", "host:4317"),
        ("dns:///host:4317", "dns:///host:4317"),
        ("/login?next=http://u:p@h", "/login"),
        ("http://[nonsense", "http://[nonsense"),
    ],
)
def test_what_of_a_url_may_be_shown(url: str, seen: str) -> None:
    assert shown(url) == seen
