"""What a node's containerd, kubelet and first process are told: pure text, written before the node starts."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .builds import Programs
from .layout import CLUSTER_CIDR, NAMESPACE, PAUSE_IMAGE, Layout, node_address

RUNTIME = "/run/containerd/containerd.sock"
BY_ID = "/dev/disk/by-id"
CONFIG_DRIVE = "/run/openstack-csi/config-drive"
INIT = Path(__file__).resolve().parent / "node_init.py"


@dataclass(frozen=True)
class NodeSpec:
    """A node: `node-<index>` in a zone, and the Nova server that it is.

    Without OpenStack `server_id` is empty and `hardware` a folder of the node's own, laid out as a server's.
    """

    index: int
    zone: str
    server_id: str
    hardware: Path

    @property
    def name(self) -> str:
        return f"node-{self.index}"

    @property
    def cgroup(self) -> str:
        return f"/{NAMESPACE}/{self.name}"


def containerd_toml(layout: Layout) -> str:
    pause = PAUSE_IMAGE.removeprefix("docker.io/")
    return f"""version = 3
[grpc]
  address = "{RUNTIME}"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{pause}"
[plugins.'io.containerd.cri.v1.runtime']
  # Where root lacks CAP_SYS_RESOURCE nothing may lower an oom_score_adj, and runc would fail over a sandbox's -998.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "{layout.containerd}/containerd-shim-runc-v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = "/usr/sbin/runc"
    SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "/etc/cni/net.d"
"""


def pod_network(spec: NodeSpec) -> dict[str, Any]:
    ranges = [[{"subnet": f"10.244.{spec.index}.0/24"}]]
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isDefaultGateway": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": ranges},
    }
    return {"cniVersion": "1.0.0", "name": "testbed", "plugins": [bridge]}


def kubelet_config(layout: Layout, spec: NodeSpec) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": spec.cgroup,
        "oomScoreAdj": 0,  # see restrict_oom_score_adj
        "containerRuntimeEndpoint": f"unix://{RUNTIME}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "resolvConf": "",
        "maxPods": 200,
        "providerID": f"openstack:///{spec.server_id}" if spec.server_id else "",
        # No image can be pulled again: none is collected, and no pod is evicted from a rather full disk.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        # a quarter of the controller manager's grace period
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 16,
        "volumeStatsAggPeriod": "10s",
    }


def plan(layout: Layout, spec: NodeSpec, programs: Programs) -> dict[str, Any]:
    """What node_init.py is to do."""
    own = layout.node(spec.name)
    folders = ("/var/lib/kubelet", "/var/lib/cni", "/etc/cni/net.d", "/var/log/pods", "/var/log/containers")
    binds = {folder: f"{own}{folder}" for folder in folders}
    binds["/var/lib/containerd"] = str(layout.node_store(spec.name) / "containerd")
    binds[BY_ID] = f"{spec.hardware}{BY_ID}"
    binds[CONFIG_DRIVE] = f"{spec.hardware}/config-drive"
    kubelet = [
        str(programs.path("kubelet")),
        f"--config={own}/kubelet.json",
        f"--kubeconfig={layout.kubeconfig_of(spec.name)}",
        f"--hostname-override={spec.name}",
        f"--node-ip={node_address(spec.index)}",
        f"--node-labels=topology.kubernetes.io/zone={spec.zone}",
        "--v=2",
    ]
    proxy = [
        str(programs.path("kube-proxy")),
        f"--kubeconfig={layout.kubeconfig_of('proxy')}",
        f"--hostname-override={spec.name}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={CLUSTER_CIDR}",
        "--conntrack-max-per-core=0",
        "--oom-score-adj=0",
    ]
    containerd = [str(layout.containerd / "containerd"), "-c", f"{own}/containerd.toml"]
    return {
        "name": spec.name,
        "cgroup": spec.cgroup,
        "tmpfs": ["/run/containerd", "/run/netns"],
        "binds": binds,
        "runtime": RUNTIME,
        "logs": str(layout.logs),
        "pids": f"{own}/pids",
        "services": {"containerd": containerd, "kubelet": kubelet, "kube-proxy": proxy},
    }


def be_written(layout: Layout, spec: NodeSpec, programs: Programs) -> None:
    """Write the node's files."""
    own = layout.node(spec.name)
    network = own / "etc/cni/net.d/10-testbed.conflist"
    network.parent.mkdir(parents=True, exist_ok=True)
    network.write_text(json.dumps(pod_network(spec)))
    (own / "containerd.toml").write_text(containerd_toml(layout))
    (own / "kubelet.json").write_text(json.dumps(kubelet_config(layout, spec), indent=1))
    (own / "plan.json").write_text(json.dumps(plan(layout, spec, programs), indent=1))


def first_process(layout: Layout, name: str) -> list[str]:
    """The command that is the first process of a node whose files are written."""
    return [sys.executable, str(INIT), f"{layout.node(name)}/plan.json"]
