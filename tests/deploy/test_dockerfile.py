"""The Dockerfile, read: what hadolint says, and that it and its surroundings agree. tests/real builds and runs it."""

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from bridge.settings import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [line.strip() for line in re.sub(r"\\\n", " ", TEXT).splitlines() if line and not line.startswith("#")]


def of(instruction: str) -> list[str]:
    """What follows each such instruction, in order."""
    return [line.partition(" ")[2] for line in INSTRUCTIONS if line.startswith(f"{instruction} ")]


def environment() -> dict[str, str]:
    words = [word for line in of("ENV") for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_pinned_by_its_digest() -> None:
    (base,) = (line for line in of("ARG") if line.startswith("BASE="))
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert [line.split()[0] for line in of("FROM")] == ["${BASE}"] * 2, "nothing else is built from"


def test_what_is_copied_is_let_through_and_little_else_is() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    let_through = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {source for line in of("COPY") if not line.startswith("--from") for source in line.split()[:-1]}
    assert rules[0] == "*", "what is not named stays out"
    assert copied == let_through
    assert any(fnmatch("bridge/__pycache__", rule) for rule in rules)


def test_nothing_is_installed_without_its_hash() -> None:
    installing = [line for line in of("RUN") if "pip install" in line]
    assert len(installing) == 2
    assert "--require-hashes --requirement uv.lock" in installing[0]
    for option in (
        "--constraint requirements.lock",
        "--build-constraint requirements.lock",
        "--require-build-hashes",
    ):
        assert option in installing[1]
    lock = (ROOT / "requirements.lock").read_text()
    for needed in ("uv", "hatchling"):
        assert re.search(rf"^{needed}==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE), needed


def test_its_settings_are_settings_and_fit_its_volume() -> None:
    settings = load({name: value for name, value in environment().items() if name.startswith("BRIDGE_")}, None)
    (volume,) = of("VOLUME")
    assert settings.ledger.location.parent == Path(volume) == Path(*of("WORKDIR")[-1:])
    assert settings.serve.listen is not None
    assert settings.serve.listen.host == "127.0.0.1", "open to others only where that was asked for"
    assert of("EXPOSE") == [str(settings.serve.listen.port)]


def test_it_runs_as_nobody_in_particular_and_stops_when_asked() -> None:
    assert of("USER") == ["65532:65532"]
    assert of("STOPSIGNAL") == ["SIGTERM"]
    assert of("ENTRYPOINT") == ['["bridge"]'], "not through a shell, which would keep the signal to itself"
    assert of("CMD") == ['["run"]']
    assert of("HEALTHCHECK")[0].endswith('CMD ["bridge", "healthcheck"]')
