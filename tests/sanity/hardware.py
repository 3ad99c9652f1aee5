"""The disks of a fake server: what Nova and udev do when a real volume is attached, done for the fake cloud.

A thread looks at the server's attachments. One that is attached gets a sparse file of the volume's size behind a loop
device, and a link with the name that a guest's udev would give it; one that is no longer there loses both, and the file
goes when its volume does.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from openstack_csi.model import GIB
from tests.fakecloud import FakeCloud
from tests.testbed.openstack.devcloud import loops

TICK = 0.02
"""Seconds between two looks."""

SERIAL_LENGTH = 20
"""A virtio disk's serial is a volume's id, cut to so many characters."""


class Hardware:
    """The disks of one server of the fake cloud, linked in `links` while the context lasts."""

    def __init__(self, cloud: FakeCloud, server: str, folder: Path) -> None:
        self.links = folder / "by-id"
        self._cloud = cloud
        self._server = server
        self._files = folder / "volumes"
        self._devices: dict[str, Path] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hardware")
        for made in (self.links, self._files):
            made.mkdir(parents=True)

    def __enter__(self) -> Hardware:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for volume_id in list(self._devices):
            self._unplug(volume_id)

    def _run(self) -> None:
        while not self._ended.wait(TICK):
            volumes = {volume.id: volume for volume in self._cloud.volumes()}
            attached = {
                volume_id
                for volume_id, volume in volumes.items()
                if any(a.server.id == self._server and a.attached_at for a in volume.attachments.values())
            }
            for volume_id in set(self._devices) - attached:
                self._unplug(volume_id)
            for volume_id in attached - set(self._devices):
                self._plug(volume_id, volumes[volume_id].size)
            for file in self._files.iterdir():
                if file.name not in volumes:
                    file.unlink()

    def _plug(self, volume_id: str, gib: int) -> None:
        file = self._files / volume_id
        file.touch()
        os.truncate(file, gib * GIB)
        self._devices[volume_id] = loops.attach(file)
        self._link(volume_id).symlink_to(self._devices[volume_id])

    def _unplug(self, volume_id: str) -> None:
        self._link(volume_id).unlink()
        loops.detach(self._devices.pop(volume_id), self._files / volume_id)

    def _link(self, volume_id: str) -> Path:
        return self.links / f"virtio-{volume_id[:SERIAL_LENGTH]}"
