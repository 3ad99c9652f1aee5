"""Installs the Debian packages that the bed needs, and only those that are missing."""

import os
import subprocess
import threading
from collections.abc import Sequence

from .errors import BedError
from .processes import run
from .progress import Say

KUBERNETES = (
    "iproute2",
    "util-linux",
    "procps",
    "kmod",
    "openssl",
    "runc",  # containerd's low-level runtime: cgo and libseccomp, so not from Go modules
    "busybox-static",  # what test pods run
    "containernetworking-plugins",  # bridge and host-local, for pods that are not on the host network
    "iptables",  # with nftables and conntrack: kube-proxy
    "nftables",
    "conntrack",
    "e2fsprogs",  # file systems of volumes, for tests that run outside a container
    "xfsprogs",
)
IMAGE = ("buildah", "mmdebstrap")
PYTHON = ("python3-venv",)

_one_at_a_time = threading.Lock()


def missing(names: Sequence[str]) -> list[str]:
    """Those of the packages that are not installed."""
    form = "${Package} ${db:Status-Status}\n"
    known = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}", *names], text=True, capture_output=True, check=False
    ).stdout.splitlines()
    return [name for name in names if f"{name} installed" not in known]


def be_installed(names: Sequence[str], say: Say = lambda text: None) -> None:
    """Install what is missing of the packages; may be called from several threads.

    Raises:
        BedError: when apt-get fails, with its last words.
    """
    with _one_at_a_time:
        lack = missing(names)
        if not lack:
            return
        if os.geteuid() != 0:
            raise BedError(f"needs root to install {' '.join(lack)}")
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        say("apt-get update")
        run([*apt, "update"], env=env)
        say(f"installing {' '.join(lack)}")
        run([*apt, "install", "-y", "--no-install-recommends", *lack], env=env)
