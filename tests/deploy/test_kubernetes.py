"""deploy/kubernetes: sound by Kubernetes' own schemas, and in keeping with the image, the settings and the pages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has types, but no py.typed
import pytest
import yaml

from bridge.settings import Settings, load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.29", "1.33", "1.37")  # the first with native sidecars, one between, the newest there is
SITUATIONS = ("standalone", "sidecar")
IMAGE_USER = 65532


def documents(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of the files that a folder's kustomization names."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        for document in yaml.safe_load_all((folder / name).read_text()):
            yield name, document


ALL = [(each, name, document) for each in SITUATIONS for name, document in documents(FOLDER / each)]
IDS = [f"{each}/{document['kind']}" for each, _, document in ALL]


def found(situation: str, kind: str) -> dict[str, Any]:
    (one,) = (document for each, _, document in ALL if (each, document["kind"]) == (situation, kind))
    return one


def pod(situation: str) -> dict[str, Any]:
    kind = {"standalone": "Deployment", "sidecar": "StatefulSet"}[situation]
    spec: dict[str, Any] = found(situation, kind)["spec"]["template"]["spec"]
    return spec


def bridge(situation: str) -> dict[str, Any]:
    containers = [*pod(situation).get("initContainers", ()), *pod(situation)["containers"]]
    (one,) = (each for each in containers if each["image"] == "letta-otel-bridge")
    return dict(one)


def environment(situation: str) -> dict[str, str]:
    given = {each["name"]: each["value"] for each in bridge(situation).get("env", ())}
    for source in bridge(situation).get("envFrom", ()):
        assert source["configMapRef"]["name"] == found(situation, "ConfigMap")["metadata"]["name"]
        given |= found(situation, "ConfigMap")["data"]
    return given


def mounted(situation: str) -> Mapping[str, str]:
    """The files of secrets that the pod has, by path, with what is in them."""
    secret = found(situation, "Secret")
    (volume,) = (each["secret"] for each in pod(situation)["volumes"] if "secret" in each)
    (mount,) = (m["mountPath"] for m in bridge(situation)["volumeMounts"] if m.get("readOnly"))
    assert volume["secretName"] == secret["metadata"]["name"]
    items = volume.get("items") or [{"key": key, "path": key} for key in secret["stringData"]]
    return {f"{mount}/{item['path']}": secret["stringData"][item["key"]] for item in items}


def settings(situation: str, folder: Path) -> Settings:
    """As the container would load them, with the secrets' files in a folder of the test."""
    given = environment(situation)
    for variable in [name for name in given if name.endswith("_FILE")]:
        copy = folder / "secret"
        copy.write_text(mounted(situation)[given[variable]])
        given[variable] = str(copy)
    return load(given, None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("situation", "name", "document"), ALL, ids=IDS)
def test_every_object_is_valid(situation: str, name: str, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_kustomization_names_every_file_and_pins_every_image(situation: str) -> None:
    kustomization = yaml.safe_load((FOLDER / situation / "kustomization.yaml").read_text())
    files = {path.name for path in (FOLDER / situation).iterdir()} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
    renamed = {each["name"]: each["newTag"] for each in kustomization["images"]}
    for container in [*pod(situation).get("initContainers", ()), *pod(situation)["containers"]]:
        image, _, tag = container["image"].partition(":")
        assert (tag or renamed[image]) not in ("", "latest")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_bridge_takes_its_settings_as_they_stand(situation: str, tmp_path: Path) -> None:
    loaded = settings(situation, tmp_path)
    assert loaded.notes == ()
    assert loaded.letta.api_key is not None
    assert pod(situation)["terminationGracePeriodSeconds"] >= 2 * loaded.serve.grace, (
        "SIGKILL comes well after the end"
    )


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_probe_asks_where_the_bridge_listens(situation: str, tmp_path: Path) -> None:
    probes = {name: probe for name, probe in bridge(situation).items() if name.endswith("Probe")}
    listen = settings(situation, tmp_path).serve.listen
    assert listen is not None
    ports = {each["name"]: each["containerPort"] for each in bridge(situation).get("ports", ())}
    for name, probe in probes.items():
        if "exec" in probe:
            assert probe["exec"]["command"] == ["bridge", "healthcheck"]
        else:
            assert listen.host == "0.0.0.0", "the kubelet asks at the pod's address"
            assert ports[probe["httpGet"]["port"]] == listen.port
            assert probe["httpGet"]["path"] == ("/readyz" if name == "readinessProbe" else "/livez")
    assert "livenessProbe" in probes


def test_the_sidecar_can_neither_hold_letta_back_nor_take_it_out_of_service() -> None:
    assert bridge("sidecar")["restartPolicy"] == "Always"
    assert not {"startupProbe", "readinessProbe"} & bridge("sidecar").keys()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_container_may_do_as_little_as_can_be(situation: str) -> None:
    context = {**pod(situation)["securityContext"], **bridge(situation)["securityContext"]}
    assert context["runAsNonRoot"] is context["readOnlyRootFilesystem"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == IMAGE_USER
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(situation)["automountServiceAccountToken"] is False
    resources = bridge(situation)["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_one_bridge_alone_has_the_ledger(situation: str) -> None:
    kind = {"standalone": "Deployment", "sidecar": "StatefulSet"}[situation]
    spec = found(situation, kind)["spec"]
    assert spec["replicas"] == 1
    assert spec.get("strategy", {"type": "Recreate"}) == {"type": "Recreate"}
    claim = (
        found(situation, kind)["spec"]["volumeClaimTemplates"][0]
        if situation == "sidecar"
        else found(situation, "PersistentVolumeClaim")
    )
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    (mount,) = (each for each in bridge(situation)["volumeMounts"] if each["name"] == "ledger")
    assert mount["mountPath"] == "/var/lib/bridge"


def test_who_may_be_asked_is_let_through(tmp_path: Path) -> None:
    loaded = settings("standalone", tmp_path)
    policy = found("standalone", "NetworkPolicy")["spec"]
    labels = found("standalone", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    for url in (loaded.letta.base_url, loaded.otlp.endpoint):
        assert url is not None
        assert int(url.rpartition(":")[2]) in out
    assert loaded.serve.listen is not None
    assert policy["ingress"][0]["ports"][0]["port"] == loaded.serve.listen.port
