"""What the fake cloud keeps: volumes, attachments, snapshots, servers. Plain data; `lifecycle` changes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .config import TypeConfig


@dataclass(slots=True, eq=False)
class Project:
    id: str
    name: str


@dataclass(slots=True, eq=False)
class User:
    id: str
    name: str
    project: Project
    admin: bool = False


@dataclass(slots=True, eq=False)
class VolumeType:
    id: str
    config: TypeConfig

    @property
    def name(self) -> str:
        return self.config.name


@dataclass(slots=True, eq=False)
class Attachment:
    """One volume on one server: Cinder's attachment, and Nova's block device mapping with the same life."""

    id: str
    mapping_id: str
    volume: Volume
    server: Server
    device: str
    status: str = "reserved"
    attached_at: float | None = None
    delete_on_termination: bool = False
    tag: str | None = None
    root: bool = False


@dataclass(slots=True, eq=False)
class Volume:
    """A volume; `number` is its place in the order of creation, `rendered` keeps its JSON by kind of view."""

    id: str
    number: int
    project: Project
    user: User
    name: str | None
    description: str | None
    size: int
    zone: str
    type: VolumeType
    created_at: float
    metadata: dict[str, str] = field(default_factory=dict)
    admin_metadata: dict[str, str] = field(default_factory=dict)
    status: str = "creating"
    updated_at: float | None = None
    host: str | None = None
    bootable: bool = False
    multiattach: bool = False
    snapshot_id: str | None = None
    source_volid: str | None = None
    attachments: dict[str, Attachment] = field(default_factory=dict)
    rendered: dict[object, str] = field(default_factory=dict)

    @property
    def attached(self) -> bool:
        return any(a.status == "attached" for a in self.attachments.values())


@dataclass(slots=True, eq=False)
class Snapshot:
    id: str
    project: Project
    user: User
    volume: Volume
    name: str | None
    description: str | None
    size: int
    created_at: float
    metadata: dict[str, str] = field(default_factory=dict)
    status: str = "creating"
    updated_at: float | None = None


@dataclass(slots=True, eq=False)
class Server:
    """A server; `attachments` is Nova's view, in the order of the attaching."""

    id: str
    number: int
    project: Project
    user: User
    name: str
    zone: str
    created_at: float
    updated_at: float
    status: str = "ACTIVE"
    task_state: str | None = None
    attachments: list[Attachment] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Message:
    """A user message of Cinder: why something failed."""

    id: str
    project: Project
    created_at: float
    event_id: str
    text: str
    request_id: str
    volume_id: str
