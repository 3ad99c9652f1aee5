"""What the bed's things are called and where they are: every version, address and path in one place.

Two folders outlive a command. The *cache* holds what was built or installed, keyed by version, and may be copied to
another machine. The *state* holds what runs: pids, logs, keys, etcd's data, the nodes' folders.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "1.36.3"
CONTAINERD = "2.2.9"
CSI_SANITY = "5.4.0"

NAMESPACE = "openstack-csi"  # network namespace of the control plane, OpenStack and node-1
CLUSTER_CIDR = "10.244.0.0/16"  # pods; node-i has 10.244.i.0/24
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"  # the `kubernetes` Service
HOME_ADDRESS = "10.10.0.1"  # the bridge in NAMESPACE: the API server, OpenStack and node-1 answer here
ZONE = "az1"

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "kube"

DRIVER_IMAGE = "docker.io/openstack-csi/openstack-csi:dev"
PAUSE_IMAGE = "docker.io/testbed/pause:1"
BUSYBOX_IMAGE = "docker.io/testbed/busybox:1"


def node_address(index: int) -> str:
    """The address of node-`index` on the bridge; node-1 is at home on the bridge itself."""
    return f"10.10.0.{index}"


def node_namespace(index: int) -> str:
    """The network namespace of node-`index`."""
    return NAMESPACE if index == 1 else f"{NAMESPACE}-{index}"


@dataclass(frozen=True)
class Layout:
    """The bed's two folders, and what is where in them."""

    cache: Path
    state: Path

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> "Layout":
        """The folders as the environment sets them, else the usual ones."""
        caches = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/root")) / ".cache")
        return cls(
            Path(environ.get("OPENSTACK_CSI_CACHE") or caches / "openstack-csi"),
            Path(environ.get("OPENSTACK_CSI_STATE") or "/run/openstack-csi-testbed"),
        )

    @property
    def kubernetes(self) -> Path:
        return self.cache / f"kubernetes-{KUBERNETES}"

    @property
    def containerd(self) -> Path:
        return self.cache / f"containerd-{CONTAINERD}"

    @property
    def csi_sanity(self) -> Path:
        return self.cache / f"csi-sanity-{CSI_SANITY}" / "csi-sanity"

    @property
    def builds(self) -> Path:
        """Generated Go modules and the logs of builds."""
        return self.cache / "build"

    @property
    def images(self) -> Path:
        """Image archives."""
        return self.cache / "images"

    @property
    def durations(self) -> Path:
        return self.cache / "durations.json"

    def node_store(self, name: str) -> Path:
        """A node's containerd store: images stay in it from one bed to the next."""
        return self.cache / "nodes" / name

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def pids(self) -> Path:
        return self.state / "pids"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def openstack(self) -> Path:
        """The OpenStack half's own state."""
        return self.state / "openstack"

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, user: str) -> Path:
        return self.state / f"{user}.kubeconfig"

    def node(self, name: str) -> Path:
        """A node's own folders: what is below is found at the usual paths inside the node."""
        return self.state / name
