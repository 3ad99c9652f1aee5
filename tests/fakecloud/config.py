"""What a fake cloud is like: everything that can be set before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timings:
    """Seconds that a change takes on the cloud's clock. An attach is `reserved` for its first half, `attaching` for
    its second."""

    create: float = 0.0
    delete: float = 0.0
    attach: float = 0.0
    detach: float = 0.0
    extend: float = 0.0
    snapshot: float = 0.0
    delete_snapshot: float = 0.0
    boot: float = 0.0
    delete_server: float = 0.0
    forget: float = 0.0
    """How long Nova still lists an attachment after Cinder has let go of it; in a real cloud some milliseconds."""


@dataclass(frozen=True)
class TypeConfig:
    """A volume type. `backends` names the zones that can make it; without any, a volume of it ends in `error`."""

    name: str
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] | None = None
    description: str | None = None

    @property
    def multiattach(self) -> bool:
        return self.extra_specs.get("multiattach") == "<is> True"


@dataclass(frozen=True)
class Quota:
    """Limits of each project; -1 is no limit."""

    volumes: int = 10_000
    gigabytes: int = 1_000_000
    snapshots: int = 10_000
    per_volume_gigabytes: int = -1


TYPES = (
    TypeConfig("__DEFAULT__", description="Default Volume Type"),
    TypeConfig("standard"),
    TypeConfig("az1", {"volume_backend_name": "az1"}, ("az1",)),
    TypeConfig("slow", {"volume_backend_name": "az1slow"}, ("az1",)),
    TypeConfig("shared", {"multiattach": "<is> True"}),
    TypeConfig("nowhere", {"volume_backend_name": "nowhere"}, ()),
)
"""The types of the real test bed, in the order in which they are made."""


@dataclass(frozen=True)
class Config:
    """A fake cloud. The defaults are the real test bed's, with every change immediate."""

    timings: Timings = Timings()
    latency: float = 0.0
    """Real seconds from a request's arrival to its effect and answer."""
    latencies: Mapping[str, float] = field(default_factory=dict)
    """The same for single kinds of call, such as {"POST volumes": 0.3}."""
    seed: int | None = None
    """Makes ids and the faults' probabilities repeatable."""
    zones: tuple[str, ...] = ("az1", "az2")
    regions: tuple[str, ...] = ("RegionOne", "RegionTwo")
    types: tuple[TypeConfig, ...] = TYPES
    default_type: str = "standard"
    quota: Quota = Quota()
    cross_az_attach: bool = False
    max_disks: int = 27
    """Disks that a server can have, its root disk included; -1 is no limit."""
    device_prefix: str = "/dev/vd"
    max_limit: int = 1000
    """The longest page of a list."""
    token_seconds: float = 86_400.0
    password: str = "fakecloud"
    secret: str = "fakecloud-app-secret"
    whole_seconds: bool = False
    """Dates without a fraction, as on MySQL."""
    log_size: int = 200_000
    """Requests that are remembered."""

    @property
    def default_zone(self) -> str:
        return self.zones[0]
