"""etcd, the API server, the controller manager and the scheduler, in the bed's home namespace."""

import os
from pathlib import Path

from . import network
from .builds import programs
from .layout import CLUSTER_CIDR, HOME_ADDRESS, NAMESPACE, SERVICE_CIDR, Layout
from .pki import ADMINS, Authority
from .processes import Processes, succeeds, wait_until
from .progress import Say

ETCD = "http://127.0.0.1:2379"
NAMES = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")  # in the order of stopping
PROXY_BINDING = "testbed:kube-proxy"

# A node that is silent for 16 s is unreachable, and its pods are evicted 10 s later (upstream: 50 s and 300 s), so that
# a test of a lost node takes half a minute. A restart of a kubelet takes 2 s and goes unnoticed.
SILENT_SECONDS = 16
EVICT_SECONDS = 10


def certificates_be_made(layout: Layout) -> None:
    """Certificates and kubeconfigs of the control plane's own users."""
    authority = Authority(layout.pki)
    authority.be_made()
    for name, user, group in (
        ("admin", "admin", ADMINS),
        ("controller-manager", "system:kube-controller-manager", ""),
        ("scheduler", "system:kube-scheduler", ""),
        ("proxy", "system:kube-proxy", ""),
    ):
        authority.issue(name, user, group=group)
        authority.kubeconfig(name, layout.kubeconfig_of(name))


def start_server(layout: Layout, processes: Processes) -> None:
    """Start etcd and the API server; they are not waited for."""
    found = programs(layout)
    processes.start("etcd", _at_home(found.path("etcd"), etcd_flags(layout)))
    processes.start("kube-apiserver", _at_home(found.path("kube-apiserver"), server_flags(layout)))


def start_controllers(layout: Layout, processes: Processes, say: Say) -> None:
    """Start the controller manager and the scheduler once the API server is ready.

    Not before: until the API server has made its own roles, the controller manager is forbidden to read a configmap
    that it needs, and exits.
    """
    found = programs(layout)
    ready = kubectl(layout, "get", "--raw", "/readyz")
    log = processes.log("kube-apiserver")
    wait_until("the API server's /readyz", lambda: succeeds(ready), 60, say=say, hint=f"see {log}")
    for name, flags in (("kube-controller-manager", controller_flags), ("kube-scheduler", scheduler_flags)):
        processes.start(name, _at_home(found.path(name), flags(layout)))
    if not succeeds(kubectl(layout, "get", "clusterrolebinding", PROXY_BINDING)):
        grant = ["--clusterrole=system:node-proxier", "--user=system:kube-proxy"]
        binding = kubectl(layout, "create", "clusterrolebinding", PROXY_BINDING, *grant)
        wait_until("kube-proxy's role", lambda: succeeds(binding), 10, say=say, hint=f"see {log}")


def kubectl(layout: Layout, *args: str) -> list[str]:
    """The command that runs kubectl as the admin."""
    program = programs(layout).path("kubectl")
    return network.entered(NAMESPACE, [program, f"--kubeconfig={layout.kubeconfig}", *args])


def _at_home(program: Path, flags: list[str]) -> list[str]:
    return network.entered(NAMESPACE, [program, *flags])


def etcd_flags(layout: Layout) -> list[str]:
    peer = "http://127.0.0.1:2380"
    return [
        "--name=testbed",
        f"--data-dir={layout.etcd}",
        "--unsafe-no-fsync",  # the data lives no longer than the bed
        "--log-level=warn",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
    ]


def server_flags(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--etcd-servers={ETCD}",
        "--bind-address=0.0.0.0",
        "--secure-port=443",
        f"--advertise-address={HOME_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--default-not-ready-toleration-seconds={EVICT_SECONDS}",
        f"--default-unreachable-toleration-seconds={EVICT_SECONDS}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        # The aggregation layer's client: without it the controllers log an error every few seconds.
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
    ]


def controller_flags(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        *_client_flags(layout, "controller-manager"),
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        f"--cluster-cidr={CLUSTER_CIDR}",
        "--kube-api-qps=200",  # at the default of 20, fifty claims at once wait for this client and not for the driver
        "--kube-api-burst=400",
        f"--node-monitor-grace-period={SILENT_SECONDS}s",
        "--node-monitor-period=2s",
    ]


def scheduler_flags(layout: Layout) -> list[str]:
    return _client_flags(layout, "scheduler")


def _client_flags(layout: Layout, user: str) -> list[str]:
    kubeconfig = os.fspath(layout.kubeconfig_of(user))
    asking = [
        f"--{flag}={kubeconfig}" for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    ]
    return [*asking, "--leader-elect=false", "--bind-address=127.0.0.1"]
