"""Try, through plain HTTP, what the project's tests rely on in this cloud; a line each, with its milliseconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import api, bed, content, servers
from .devcloud.plan import Plan
from .namespace import inside

SERVER = "bed-check"
MARK = b"written through the first attachment"


class Cloud:
    """What the steps share: who is logged in, and what was made."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.demo = api.log_in(plan.auth_url, "demo", "demo")
        self.admin = api.log_in(plan.auth_url, "admin", "admin")
        self.volume = ""
        self.server: bed.ServerInfo | None = None

    def get(self, volume: str) -> dict[str, Any]:
        """Look at a volume."""
        found: dict[str, Any] = self.demo.get("block-storage", f"/volumes/{volume}")["volume"]
        return found

    def create(self, **fields: Any) -> str:
        """Ask for a volume of 1 GiB; return its id."""
        body = {"volume": {"size": 1, "name": SERVER, **fields}}
        return str(self.demo.post("block-storage", "/volumes", body)["volume"]["id"])

    def be(self, volume: str, status: str) -> None:
        """Wait until a volume is in this state."""
        servers.wait_for(f"volume {volume} to be {status}", lambda: self.get(volume), lambda v: v["status"] == status)

    def be_gone(self, volume: str) -> None:
        """Delete a volume and wait until it is gone."""
        self.demo.call("DELETE", "block-storage", f"/volumes/{volume}")
        servers.wait_until_gone(self.demo, "block-storage", f"/volumes/{volume}")

    @property
    def attachments(self) -> str:
        """The path of the server's attachments."""
        assert self.server is not None
        return f"/servers/{self.server.id}/os-volume_attachments"

    @property
    def link(self) -> Path:
        """Where the volume's disk is to be found."""
        assert self.server is not None
        return self.server.directory / "dev/disk/by-id" / f"virtio-{self.volume[:20]}"

    def attach(self) -> None:
        """Attach the volume to the server."""
        body = {"volumeAttachment": {"volumeId": self.volume}}
        self.demo.post("compute", self.attachments, body)
        self.be(self.volume, "in-use")

    def detach(self) -> None:
        """Detach the volume from the server."""
        self.demo.call("DELETE", "compute", f"{self.attachments}/{self.volume}")
        self.be(self.volume, "available")


def log_in_by_application_credential(cloud: Cloud) -> str:
    session = api.log_in_by_credential(cloud.plan.auth_url, *content.application_credential(cloud.plan.clouds))
    session.get("block-storage", "/volumes")
    assert session.project_id == cloud.demo.project_id, "it is of another project"
    foreign = [url for url in session.endpoints.values() if cloud.plan.listen not in url]
    assert not foreign, f"the catalog names {foreign}"
    return " ".join(sorted(session.endpoints))


def create_a_volume(cloud: Cloud) -> str:
    cloud.volume = cloud.create(availability_zone=cloud.plan.zones[0], metadata={"made-by": "check"})
    cloud.be(cloud.volume, "available")
    found = cloud.get(cloud.volume)
    return f"{found['volume_type']} in {found['availability_zone']}"


def boot_a_server(cloud: Cloud) -> str:
    cloud.server = servers.be_there(cloud.plan, SERVER, cloud.plan.zones[0])
    metadata = cloud.server.directory / "config-drive/openstack/latest/meta_data.json"
    assert cloud.server.id in metadata.read_text(), f"{metadata} does not know the server"
    again = servers.be_there(cloud.plan, SERVER, cloud.plan.zones[0])
    assert again == cloud.server, "asked for again, it is another one"
    return cloud.server.id


def attach_it(cloud: Cloud) -> str:
    cloud.attach()
    target = cloud.link.readlink()
    assert target.is_absolute(), f"{cloud.link} links to {target}"
    with cloud.link.open("r+b", buffering=0) as disk:
        size = disk.seek(0, os.SEEK_END)
        assert size == 1 << 30, f"the disk has {size} bytes"
        disk.seek(0)
        disk.write(MARK)
        os.fsync(disk.fileno())
    return f"{cloud.link.name} -> {target}"


def detach_it(cloud: Cloud) -> str:
    link = cloud.link
    cloud.detach()
    assert not link.is_symlink(), f"{link} is still there"
    return ""


def find_its_data_again(cloud: Cloud) -> str:
    cloud.attach()
    with cloud.link.open("rb") as disk:
        found = disk.read(len(MARK))
    cloud.detach()
    assert found == MARK, f"the disk holds {found!r}"
    return ""


def delete_it(cloud: Cloud) -> str:
    cloud.be_gone(cloud.volume)
    return "404"


def exceed_the_quota(cloud: Cloud) -> str:
    try:
        cloud.create(size=5001)
    except api.ApiError as error:
        answer = error
    else:
        raise AssertionError("it was accepted")
    assert answer.status == 413, f"answered with {answer.status}"
    return answer.text[:90]


def find_no_back_end(cloud: Cloud) -> str:
    volume = cloud.create(volume_type="nowhere")
    cloud.be(volume, "error")
    messages = cloud.demo.get("block-storage", f"/messages?resource_uuid={volume}")["messages"]
    cloud.be_gone(volume)
    return str(messages[0]["user_message"])


def obey_an_injected_failure(cloud: Cloud) -> str:
    bed.inject(cloud.plan.state, "create_volume", error="no space", match="bed-check-injected")
    volume = cloud.create(name="bed-check-injected")
    cloud.be(volume, "error")
    cloud.be_gone(volume)
    return ""


def delete_the_server(cloud: Cloud) -> str:
    assert cloud.server is not None
    servers.be_gone(cloud.plan, SERVER)
    assert not cloud.server.directory.exists(), f"{cloud.server.directory} is still there"
    return ""


STEPS: tuple[Callable[[Cloud], str], ...] = (
    log_in_by_application_credential,
    create_a_volume,
    boot_a_server,
    attach_it,
    detach_it,
    find_its_data_again,
    delete_it,
    exceed_the_quota,
    find_no_back_end,
    obey_an_injected_failure,
    delete_the_server,
)


def run(state: Path) -> int:
    """Take every step, whatever became of those before; return how many failed, at most 1 for the shell."""
    plan = Plan.load(state.resolve())
    failed = 0
    with inside(plan.netns):
        cloud = Cloud(plan)
        for step in STEPS:
            began = time.monotonic()
            name = step.__name__.replace("_", " ")
            try:
                result = "ok   " + f"{name:<34}" + "{ms:6.0f} ms  " + step(cloud)
            except Exception as why:
                failed += 1
                result = "FAIL " + f"{name:<34}" + "{ms:6.0f} ms  " + f"{type(why).__name__}: {why}"
            print(result.replace("{ms:6.0f}", f"{(time.monotonic() - began) * 1000:6.0f}"), flush=True)
    return 1 if failed else 0
