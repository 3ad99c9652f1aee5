"""Install the services from PyPI into a virtual environment of their own, kept in the cache.

The environment is named by what it is made from, the lock file and the version of Python, so that a changed lock makes
a new one; one whose installation was interrupted is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BedError

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
UV = "uv==0.13.9"
PATIENCE = 900.0
"""How long one step of the installation may take, in seconds."""

PACKAGES: tuple[str, ...] = ("mount", "util-linux") + (
    () if importlib.util.find_spec("ensurepip") else ("python3-venv",)
)
"""Debian packages that the bed needs: losetup, and venv where Python came without."""

MANILA_PACKAGES: tuple[str, ...] = ("xfsprogs",)
"""Debian packages that Manila needs on top."""

Progress = Callable[[str], None]


def cache() -> Path:
    """The folder of everything that is worth keeping between runs."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("OPENSTACK_CSI_CACHE") or home / "openstack-csi")


def environment() -> Path:
    """Where the virtual environment of the services is, or will be."""
    made_from = LOCK.read_bytes() + str(sys.implementation.cache_tag).encode()
    return cache() / f"openstack-{hashlib.sha256(made_from).hexdigest()[:12]}"


def install(progress: Progress) -> Path:
    """Make the virtual environment if it is not there; return its folder.

    Raises:
        BedError: a step failed; the message has its last lines.
    """
    target = environment()
    whole = target / ".installed"
    with _one_at_a_time():
        # the Python that it was made with may be gone
        if whole.exists() and (target / "bin/python").exists():
            return target
        began = time.monotonic()
        count = LOCK.read_text().count("==")
        progress(f"installing {count} packages of OpenStack from PyPI into {target}")
        shutil.rmtree(target, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(target))
        python = str(target / "bin/python")
        options = ["--quiet", "--require-hashes", "--compile-bytecode", "--python", python]
        _run(str(_uv()), "pip", "install", *options, "--requirement", str(LOCK))
        whole.touch()
        progress(f"OpenStack is installed, in {time.monotonic() - began:.0f} s")
    return target


def packages_be_installed(packages: tuple[str, ...], progress: Progress) -> None:
    """Install those Debian packages that are missing; needs root.

    Raises:
        BedError: apt-get failed.
    """
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *packages]
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split("\n")
    missing = [name for name in packages if f"installed {name}" not in shown]
    if not missing:
        return
    progress(f"installing Debian packages: {' '.join(missing)}")
    _run("apt-get", "update", "-qq")
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)


def _uv() -> Path:
    """The installer, ten times as fast as pip; in an environment of its own, apart from the services'."""
    folder = cache() / UV.replace("==", "-")
    program = folder / "bin/uv"
    if not program.exists():
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    return program


def _run(*command: str) -> None:
    settings = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=settings,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise BedError(f"{' '.join(command)} did not end within {PATIENCE:.0f} s") from late
    if done.returncode:
        raise BedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "openstack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
