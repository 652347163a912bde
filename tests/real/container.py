"""Build the image from the Dockerfile and run it, by podman: no daemon, and it reads the file as any builder does.

The base cannot be pulled everywhere, so a likeness of it is made: the same Debian by debootstrap, and over it this
machine's Python of the same version. It is made once for a machine (a minute); `podman rmi` forgets it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/letta-otel-bridge:test"
NEEDED = ("podman", "runc", "debootstrap")
PODMAN = ("podman", "--runtime", "runc", "--log-level", "fatal")

_LIBRARIES = (  # what a Python of one's own is linked to, as the base has it too
    *("ca-certificates", "libssl3t64", "libffi8", "libsqlite3-0", "zlib1g", "libbz2-1.0", "liblzma5"),
    *("libreadline8t64", "libuuid1", "libncursesw6"),
)
_BASE = re.search(
    r"^ARG BASE=\S+/python:(3\.\d+)\S*-slim-(\w+)@sha256:", (ROOT / "Dockerfile").read_text(), re.MULTILINE
)
assert _BASE, "the Dockerfile names its base otherwise than expected here"
_PYTHON, _SUITE = _BASE.groups()


def missing() -> str:
    """Why no image can be built here, or nothing."""
    programs = [program for program in NEEDED if not shutil.which(program)]
    if programs:
        return f"needs {', '.join(programs)}"
    if os.geteuid() != 0:
        return "needs root, for debootstrap"
    return "" if _python() else f"needs a Python {_PYTHON} with a folder of its own"


def podman(*arguments: str | Path, timeout: float = 60) -> str:
    """Its output; AssertionError with all that it said where it fails."""
    done = subprocess.run([*PODMAN, *arguments], check=False, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(context: Path = ROOT, image: str = IMAGE) -> None:
    """The image out of a folder with the Dockerfile, as `docker build` makes it."""
    podman(
        *("build", "--isolation", "chroot", "--network", "host", "--format", "docker", "--tag", image),
        *("--build-arg", f"BASE={_likeness()}", "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc"),
        context,
        timeout=600,
    )


@contextlib.contextmanager
def running(volume: str, **environ: str) -> Iterator[str]:
    """A container with a root that is read-only and no rights at all; gone at the end, its volume not.

    What it logged is printed, for pytest to show where the test fails.
    """
    name = f"{volume}-container"
    variables = [word for key, value in environ.items() for word in ("--env", f"{key}={value}")]
    podman(
        *("run", "--detach", "--name", name, "--network", "host", "--volume", f"{volume}:/var/lib/bridge"),
        *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512"),
        *variables,
        IMAGE,
    )
    try:
        yield name
    finally:
        sys.stdout.write(logged(name))
        podman("rm", "--force", "--time", "0", name)


def logged(name: str) -> str:
    """All that a container said, on both of its streams."""
    done = subprocess.run([*PODMAN, "logs", name], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def _likeness() -> str:
    tag = f"localhost/letta-otel-bridge-base:{_SUITE}-python{_PYTHON}"
    if subprocess.run([*PODMAN, "image", "exists", tag], check=False).returncode == 0:
        return tag
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        _fill(root)
        archive = Path(folder) / "root.tar"
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        environment = ("PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"SSL_CERT_FILE={_CERTIFICATES}")
        changes = [word for each in environment for word in ("--change", f"ENV {each}")]
        podman("import", *changes, archive, tag, timeout=300)
    return tag


_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # in Debian, so here as there


def _fill(root: Path) -> None:
    """Debian, this machine's Python of the same version, and the certificates that this machine trusts."""
    _run("debootstrap", "--variant=minbase", f"--include={','.join(_LIBRARIES)}", _SUITE, root)
    for rubbish in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / rubbish)
    prefix = _python()
    assert prefix
    without = shutil.ignore_patterns("__pycache__", "test", "*.pyc", "*.pth")  # as the base has it
    shutil.copytree(prefix, root / "usr/local", symlinks=True, ignore=without, dirs_exist_ok=True)
    shutil.copyfile(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
    _run("chroot", root, "ldconfig")


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def _python() -> Path | None:
    """The folder of a Python of the base's version that is not the distribution's own, or None."""
    found = shutil.which(f"python{_PYTHON}")
    others = Path.home().glob(f".pyenv/versions/{_PYTHON}.*/bin/python{_PYTHON}")
    for program in [*([Path(found)] if found else []), *others]:
        done = subprocess.run(
            [program, "-c", "import sys; print(sys.base_prefix)"], check=False, capture_output=True, text=True
        )
        if done.returncode == 0 and done.stdout.strip() != "/usr":
            return Path(done.stdout.strip())
    return None
