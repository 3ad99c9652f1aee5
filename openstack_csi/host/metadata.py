"""Which Nova server this node is, and in which zone: asked once, when the node starts.

The sources, in this order; a later one is asked only for what is still missing:

1. what the flags say (`--node-id`, `--zone`);
2. the config drive: a directory where it is mounted, or the disk with the label `config-2`;
3. the metadata service at 169.254.169.254, straight, never through a proxy;
4. `Node.spec.providerID`, handed in by flag or environment, for the node never talks to Kubernetes. It has no zone.

The zone becomes a label of the Node, so it must look like one; the controller makes the same of a volume's zone.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openstack_csi.errors import DriverError, FailedPrecondition, Unavailable
from openstack_csi.host.run import Run
from openstack_csi.model import zone_label

log = logging.getLogger(__name__)

_FILE = "openstack/latest/meta_data.json"
_ADDRESS = "169.254.169.254"
_SECONDS = 5.0
_LABEL = "config-2"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Identity:
    """The server's UUID and its availability zone as a label value; the zone is empty when nobody knows it."""

    node_id: str = ""
    zone: str = ""


Source = Callable[[], Identity]
"""Asks one place. Raises DriverError with the reason when it does not answer."""


def identify(given: Identity, sources: Sequence[tuple[str, Source]]) -> Identity:
    """Who this node is.

    Args:
        given: what the flags say.
        sources: name and source, in the order in which they are asked.

    Raises Unavailable, with what each source said, when nobody knows the server's id.
    """
    node_id, zone, reasons = given.node_id, zone_label(given.zone), []
    for name, source in sources:
        if node_id and zone:
            break
        try:
            found = source()
        except DriverError as e:
            reasons.append(f"{name}: {e.message}")
            continue
        if node_id and found.node_id and found.node_id != node_id:
            log.warning("sources disagree", extra={"source": name, "says": found.node_id, "node": node_id})
            continue
        node_id, zone = node_id or found.node_id, zone or zone_label(found.zone)
    if not node_id:
        raise Unavailable(
            f"this node does not know its Nova server's id ({'; '.join(reasons) or 'no source was asked'})",
            hint="Enable the config drive or the metadata service, or set --node-id or --provider-id.",
        )
    return Identity(node_id, zone)


def parse(text: str) -> Identity:
    """The identity in a `meta_data.json` of Nova's. Raises FailedPrecondition when it has none."""
    try:
        said = json.loads(text)
        return Identity(str(said["uuid"]), str(said.get("availability_zone") or ""))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise FailedPrecondition(f"{_FILE} cannot be understood: {e!r}") from e


def from_directory(drive: Path) -> Identity:
    """Source: a config drive that is mounted at `drive`."""
    try:
        return parse((drive / _FILE).read_text())
    except (OSError, UnicodeDecodeError) as e:
        raise FailedPrecondition(f"{drive / _FILE} cannot be read: {e}") from e


def from_disk(run: Run, dev_root: Path = Path("/dev")) -> Identity:
    """Source: the disk with the config drive's label, mounted read-only for a moment."""
    disk = _labelled(run, dev_root)
    with tempfile.TemporaryDirectory(prefix="config-drive-") as point:
        # Without a type, mount(8) asks blkid: iso9660 as a rule, vfat on clouds that say so.
        run(["mount", "-o", "ro,nosuid,nodev,noexec", str(disk), point], _SECONDS)
        try:
            return from_directory(Path(point))
        finally:
            run(["umount", point], _SECONDS)


def from_service(address: str = _ADDRESS, port: int = 80) -> Identity:
    """Source: Nova's metadata service."""
    connection = http.client.HTTPConnection(address, port, timeout=_SECONDS)
    try:
        connection.request("GET", f"/{_FILE}")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise Unavailable(f"http://{address}/{_FILE} answers {answer.status}")
        return parse(answer.read().decode())
    except (OSError, http.client.HTTPException, UnicodeDecodeError) as e:
        raise Unavailable(f"http://{address}/{_FILE} does not answer: {e}") from e
    finally:
        connection.close()


def from_provider_id(provider_id: str) -> Identity:
    """Source: `openstack:///<uuid>` or `openstack://<region>/<uuid>`, as the cloud controller manager writes it."""
    scheme, _, rest = provider_id.partition("://")
    uuid = rest.rpartition("/")[2]
    if scheme != "openstack" or not _UUID.fullmatch(uuid):
        raise FailedPrecondition(f'"{provider_id}" is not openstack:///<uuid of the server>')
    return Identity(uuid)


def _labelled(run: Run, dev_root: Path) -> Path:
    link = dev_root / "disk" / "by-label" / _LABEL
    if link.exists():
        return link
    done = run(["blkid", "-l", "-o", "device", "-t", f"LABEL={_LABEL}"], _SECONDS, ok_codes=(0, 2))
    if not done.stdout.strip():
        raise FailedPrecondition(f"no disk has the label {_LABEL}")
    return Path(done.stdout.strip())
