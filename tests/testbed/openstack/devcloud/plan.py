"""Where everything of one bed is: addresses, ports, folders. Written by the bed, read by every service.

Standard library only, as both the bed's own Python and that of the services import it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "devcloud"
"""Of every user, and the secret of the metadata proxy: the bed holds nothing worth guarding."""

REGIONS = ("RegionOne", "RegionTwo")
PORTS = ("keystone", "cinder", "manila", "nova", "placement", "neutron", "metadata", "glance")
FILE = "plan.json"


@dataclass(frozen=True)
class Plan:
    """One bed.

    Attributes:
        state: the folder of everything that it writes.
        listen: the address that all services listen on and that the catalog names.
        netns: name of the network namespace (below /run/netns), empty for the caller's own.
        base_port: the first of the ports, one each in the order of `PORTS`.
        services: the processes that are wanted.
        zones: availability zones of Cinder and Nova; the first is the default.
        max_disks: how many disks a server can have, its root disk included.
        debug: let the services log at DEBUG.
    """

    state: Path
    listen: str = "127.0.0.1"
    netns: str = ""
    base_port: int = 15000
    services: tuple[str, ...] = ("keystone", "cinder", "nova")
    zones: tuple[str, ...] = ("az1", "az2")
    max_disks: int = 27
    debug: bool = False

    @classmethod
    def load(cls, state: Path) -> Plan:
        """Read the plan of the bed in this folder.

        Raises:
            FileNotFoundError: there is none.
        """
        fields = json.loads((state / FILE).read_text())
        return cls(**fields | {"state": state, "services": tuple(fields["services"]), "zones": tuple(fields["zones"])})

    def save(self) -> None:
        """Write it into its own folder."""
        text = json.dumps(dataclasses.asdict(self) | {"state": str(self.state)}, indent=1)
        (self.state / FILE).write_text(text + "\n")

    def port(self, service: str) -> int:
        """The TCP port of a service of `PORTS`."""
        return self.base_port + PORTS.index(service)

    def url(self, service: str, path: str = "") -> str:
        """Where a service of `PORTS` answers."""
        return f"http://{self.listen}:{self.port(service)}{path}"

    @property
    def auth_url(self) -> str:
        """Keystone's own address."""
        return self.url("keystone", "/v3")

    def config(self, service: str) -> Path:
        """The configuration file of a service."""
        return self.state / "etc" / f"{service}.conf"

    def database(self, name: str) -> Path:
        """The SQLite file of one database."""
        return self.state / "db" / f"{name}.db"

    def log(self, service: str) -> Path:
        """Everything that the service's process prints and logs."""
        return self.state / "logs" / f"{service}.log"

    def pid(self, service: str) -> Path:
        """Holds the number of the service's process."""
        return self.state / "run" / f"{service}.pid"

    def ready(self, service: str) -> Path:
        """There from the moment at which the service takes requests."""
        return self.state / "run" / f"{service}.ready"

    def filled(self, service: str) -> Path:
        """There once the service holds what the cloud has from the start.

        The other services wait for Keystone's: before that they can neither log in nor find each other.
        """
        return self.state / "run" / f"{service}.filled"

    @property
    def nodes(self) -> Path:
        """One folder per Nova server, named by its id."""
        return self.state / "nodes"

    @property
    def inject(self) -> Path:
        """Where tests ask for failures and delays, see drivers/inject.py."""
        return self.state / "inject"

    @property
    def clouds(self) -> Path:
        """The clouds.yaml of this bed."""
        return self.state / "clouds.yaml"
