"""All that the fake cloud knows, and how it is found: by id, by project, by name."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import TypeVar

from .clock import Clock, Timeline
from .config import Config
from .faults import Faults
from .model import Attachment, Message, Project, Server, Snapshot, User, Volume, VolumeType

T = TypeVar("T", Volume, Snapshot)

_NAMESPACE = uuid.UUID("6f0f9f0e-6a53-4b0d-9d3c-0d9c1c7a5f10")


def fixed_id(name: str) -> str:
    """The same id for the same thing in every fake cloud: projects, users, types."""
    return str(uuid.uuid5(_NAMESPACE, name))


class State:
    """The tables. Dictionaries keep the order of creation."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.timeline = Timeline(clock, whole_seconds=config.whole_seconds)
        self.dice = random.Random(config.seed)
        self.faults = Faults(clock, self.dice)
        self.projects = {n: Project(fixed_id("project " + n).replace("-", ""), n) for n in ("admin", "demo", "other")}
        self.users = {
            n: User(fixed_id("user " + n).replace("-", ""), n, p, admin=n == "admin") for n, p in self.projects.items()
        }
        self.types = {t.name: VolumeType(fixed_id("type " + t.name), t) for t in config.types}
        self.quotas = {p.id: config.quota for p in self.projects.values()}
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.servers: dict[str, Server] = {}
        self.messages: dict[str, Message] = {}
        self._number = 0

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def new_number(self) -> int:
        self._number += 1
        return self._number

    def volume(self, volume_id: str, user: User | None = None) -> Volume | None:
        """The volume, where `user` may see it."""
        volume = self.volumes.get(volume_id)
        return volume if volume is not None and _visible(volume.project, user) else None

    def snapshot(self, snapshot_id: str, user: User | None = None) -> Snapshot | None:
        snapshot = self.snapshots.get(snapshot_id)
        return snapshot if snapshot is not None and _visible(snapshot.project, user) else None

    def server(self, server_id: str, user: User | None = None) -> Server | None:
        server = self.servers.get(server_id)
        return server if server is not None and _visible(server.project, user) else None

    def attachments_of(self, volume: Volume) -> list[Attachment]:
        """Nova's mappings of a volume, on whatever server."""
        return [a for s in self.servers.values() for a in s.attachments if a.volume is volume]

    def snapshots_of(self, volume: Volume) -> list[Snapshot]:
        return [s for s in self.snapshots.values() if s.volume is volume]

    def used(self, project: Project, type_name: str = "") -> tuple[int, int, int]:
        """Volumes, GiB and snapshots that count against a project's quota; of one type where it is named."""
        volumes = _of(self.volumes.values(), project)
        snapshots = _of(self.snapshots.values(), project)
        if type_name:
            volumes = [v for v in volumes if v.type.name == type_name]
            snapshots = [s for s in snapshots if s.volume.type.name == type_name]
        return len(volumes), sum(v.size for v in volumes) + sum(s.size for s in snapshots), len(snapshots)

    def host_of(self, type_: VolumeType, zone: str) -> str | None:
        """The back end that takes such a volume; None when the scheduler finds none."""
        zones = self.config.zones if type_.config.zones is None else type_.config.zones
        backend = type_.config.extra_specs.get("volume_backend_name", zone)
        return f"fakecloud@{backend}#{backend}" if zone in zones else None


def _visible(project: Project, user: User | None) -> bool:
    return user is None or user.admin or user.project is project


def _of(things: Iterable[T], project: Project) -> list[T]:
    return [t for t in things if t.project is project]
