"""deploy/systemd: systemd's own checks of the unit, and its settings as the bridge reads them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.settings import Settings, load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/systemd"
UNIT = FOLDER / "letta-otel-bridge.service"
MOST_EXPOSURE = 15  # tenths, of 100: 12 as it stands; the network, which it needs, is 8 of them

analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


def values(name: str) -> list[str]:
    """All that the unit gives for a key, in order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def seconds(value: str) -> float:
    return float(value.removesuffix("s"))


def settings(folder: Path) -> Settings:
    """As the service gets them: its variables, then those of the file, with systemd's specifiers filled in."""
    (folder / "letta-api-key").write_text("key")
    lines = [*values("Environment"), *(FOLDER / "bridge.env").read_text().splitlines()]
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return load(
        {name: value.replace("%d", str(folder)).replace("%S", "/var/lib") for name, value in given.items()}, None
    )


@pytest.mark.real
@analyze
def test_systemd_takes_every_line(tmp_path: Path) -> None:
    program = tmp_path / "bridge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/letta-otel-bridge/bin/bridge", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.real
@analyze
def test_systemd_finds_it_hardly_exposed() -> None:
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSURE}",
        "--no-pager",
        str(UNIT),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_bridge_takes_its_settings_as_they_stand(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    assert loaded.notes == ()
    assert loaded.letta.api_key is not None
    assert loaded.letta.api_key.get_secret_value() == "key"
    assert loaded.serve.listen is not None
    assert loaded.serve.listen.host == "127.0.0.1"


def test_the_ledger_is_where_the_service_may_write(tmp_path: Path) -> None:
    (state,) = values("StateDirectory")
    assert settings(tmp_path).ledger.location.parent == Path("/var/lib") / state
    assert values("ProtectSystem") == ["strict"]


def test_it_is_killed_well_after_its_grace_time(tmp_path: Path) -> None:
    (stop,) = values("TimeoutStopSec")
    assert seconds(stop) >= 2 * settings(tmp_path).serve.grace


def test_a_wrong_setting_is_not_tried_again_and_everything_else_is() -> None:
    assert values("Restart") == ["on-failure"]
    assert values("RestartPreventExitStatus") == ["2"]
    assert values("StartLimitIntervalSec") == ["0"]
