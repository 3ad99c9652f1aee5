"""The bed's network: namespaces without a way out, joined by a bridge.

No packet of the bed can leave the machine, no port clashes with another program's, and removing the namespaces removes
every address, route and filter rule. Programs enter by `nsenter`, not `ip netns exec`: that mounts a new /sys, which
hides the cgroups.
"""

from collections.abc import Sequence
from pathlib import Path

from .layout import HOME_ADDRESS, NAMESPACE, SERVICE_CIDR, node_address, node_namespace
from .processes import run

HANDLES = Path("/run/netns")
BRIDGE = "nodes"


def entered(namespace: str, argv: Sequence[str | Path]) -> list[str]:
    """The command that runs `argv` in a network namespace."""
    return ["nsenter", f"--net={HANDLES / namespace}", "--", *map(str, argv)]


def exists(namespace: str) -> bool:
    return (HANDLES / namespace).exists()


def home_be_there() -> None:
    """The namespace of the control plane, OpenStack and node-1."""
    if exists(NAMESPACE):
        return
    _be_added(NAMESPACE)
    _ip(NAMESPACE, "link", "add", BRIDGE, "type", "bridge")
    _ip(NAMESPACE, "addr", "add", f"{HOME_ADDRESS}/24", "dev", BRIDGE)
    _ip(NAMESPACE, "link", "set", BRIDGE, "up")
    # kube-proxy rewrites a Service's address after the routing decision; with no route at all connect() fails before.
    _ip(NAMESPACE, "route", "add", SERVICE_CIDR, "dev", BRIDGE)


def node_be_there(index: int) -> None:
    """The namespace of node-`index`, whose pods reach the others' and the home address."""
    name = node_namespace(index)
    if exists(name):
        return
    _be_added(name)
    _ip(NAMESPACE, "link", "add", f"node-{index}", "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip(NAMESPACE, "link", "set", f"node-{index}", "master", BRIDGE, "up")
    _ip(name, "addr", "add", f"{node_address(index)}/24", "dev", "eth0")
    _ip(name, "link", "set", "eth0", "up")
    _ip(name, "route", "add", "default", "via", HOME_ADDRESS)
    _ip(NAMESPACE, "route", "replace", f"10.244.{index}.0/24", "via", node_address(index))


def be_gone() -> None:
    """Remove every namespace of the bed."""
    for handle in sorted(HANDLES.glob(f"{NAMESPACE}*")):
        if handle.name == NAMESPACE or handle.name.startswith(f"{NAMESPACE}-"):
            run(["ip", "netns", "del", handle.name])


def _be_added(namespace: str) -> None:
    run(["ip", "netns", "add", namespace])
    _ip(namespace, "link", "set", "lo", "up")
    run(entered(namespace, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]))


def _ip(namespace: str, *args: str) -> None:
    run(["ip", "-n", namespace, *args])
