"""What the cases find in the cloud: who asks, servers, and volumes in each state, all with the mark of this run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import openstack.connection
from openstack.config import OpenStackConfig
from requests import Response

from tests.contract.site import Site

MARK = "contract/run"
"""The metadata key by which a run knows its volumes."""


class Person:
    """Somebody of clouds.yaml who calls Cinder and Nova through the SDK's raw adapters."""

    def __init__(self, site: Site, cloud: str) -> None:
        config = OpenStackConfig(config_files=[str(site.clouds_file)], load_envvars=False)
        self._connection = openstack.connection.Connection(config=config.get_one(cloud=cloud))

    def cinder(self, method: str, path: str, body: Any = None, version: str | None = None) -> Response:
        return self._ask("block_storage", method, path, body, version)

    def nova(self, method: str, path: str, body: Any = None, version: str | None = None) -> Response:
        return self._ask("compute", method, path, body, version)

    def endpoint(self, service: str) -> str:
        return str(getattr(self._connection, service).get_endpoint())

    @property
    def auth_url(self) -> str:
        return str(self._connection.session.auth.auth_url)

    @property
    def secrets(self) -> dict[str, str]:
        """The id and secret of an application credential."""
        auth = self._connection.config.auth
        return {name: auth[f"application_credential_{name}"] for name in ("id", "secret")}

    def _ask(self, service: str, method: str, path: str, body: Any, version: str | None) -> Response:
        adapter = getattr(self._connection, service)
        answer: Response = adapter.request(path, method, json=body, microversion=version, raise_exc=False)
        return answer

    def close(self) -> None:
        self._connection.session.session.close()
        self._connection.close()


class World:
    """One run's corner of a cloud. What is made here is marked, and `clear` removes it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.run = f"contract-{uuid.uuid4().hex[:8]}"
        self._persons: dict[str, Person] = {}
        self._count = 0

    def person(self, cloud: str) -> Person:
        """Who is logged in as that cloud of clouds.yaml says."""
        if cloud not in self._persons:
            self._persons[cloud] = Person(self.site, cloud)
        return self._persons[cloud]

    @property
    def demo(self) -> Person:
        return self.person("demo")

    @property
    def admin(self) -> Person:
        return self.person("admin")

    # Servers

    @cached_property
    def server(self) -> str:
        return self.site.server("contract-1")

    @cached_property
    def second_server(self) -> str:
        return self.site.server("contract-2")

    # Volumes

    def new_name(self) -> str:
        self._count += 1
        return f"{self.run}-{self._count}"

    def asked(self, version: str | None = None, **fields: Any) -> Response:
        """The answer to POST /volumes of 1 GiB in az1 with the mark, changed by the fields."""
        usual = {"name": self.new_name(), "size": 1, "availability_zone": "az1", "metadata": {MARK: self.run}}
        return self.demo.cinder("POST", "/volumes", {"volume": {**usual, **fields}}, version)

    def volume(self, status: str = "available", **fields: Any) -> str:
        """The id of a new volume, once it has that status."""
        answer = self.asked(**fields)
        assert answer.status_code == 202, answer.text
        volume_id = str(answer.json()["volume"]["id"])
        self.be(volume_id, status)
        return volume_id

    @cached_property
    def free(self) -> str:
        """A volume that no case changes."""
        return self.volume()

    @cached_property
    def used(self) -> str:
        """A volume that is attached to `server`, and stays so."""
        volume_id = self.volume()
        self.attach(volume_id, self.server)
        return volume_id

    def look(self, volume_id: str) -> Mapping[str, Any]:
        """The volume as Cinder shows it; empty when it is gone."""
        answer = self.demo.cinder("GET", f"/volumes/{volume_id}", version="3.60")
        found: Mapping[str, Any] = answer.json()["volume"] if answer.status_code == 200 else {}
        return found

    def host_of(self, volume_id: str) -> str:
        """The back end that has the volume; empty while none has."""
        view = self.admin.cinder("GET", f"/volumes/{volume_id}").json()["volume"]
        return view["os-vol-host-attr:host"] or ""

    def be(self, volume_id: str, *statuses: str) -> None:
        """Wait until the volume has one of these statuses; none named means gone."""
        self.until(
            f"volume {volume_id} to be {' or '.join(statuses) or 'gone'}",
            lambda: self.look(volume_id).get("status") in (statuses or (None,)),
        )

    def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait for something that the cloud does by itself."""
        deadline = time.monotonic() + self.site.patience
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {self.site.patience:.0f} s for {what}")
            time.sleep(0.02)

    def asked_attach(self, volume_id: str, server: str, version: str = "2.60") -> Response:
        body = {"volumeAttachment": {"volumeId": volume_id}}
        return self.demo.nova("POST", f"/servers/{server}/os-volume_attachments", body, version)

    def attach(self, volume_id: str, server: str) -> None:
        """Have the volume on the server."""
        answer = self.asked_attach(volume_id, server)
        assert answer.status_code == 200, answer.text
        self.until(
            f"volume {volume_id} to be attached to {server}",
            lambda: server in self.servers_of(volume_id) and self.look(volume_id)["status"] == "in-use",
        )

    def asked_detach(self, volume_id: str, server: str) -> Response:
        return self.demo.nova("DELETE", f"/servers/{server}/os-volume_attachments/{volume_id}")

    def servers_of(self, volume_id: str) -> list[str]:
        return [a["server_id"] for a in self.look(volume_id).get("attachments", ())]

    def reset(self, volume_id: str, status: str) -> None:
        """Give the volume a status, as an administrator."""
        answer = self.admin.cinder("POST", f"/volumes/{volume_id}/action", {"os-reset_status": {"status": status}})
        assert answer.status_code == 202, answer.text

    # The end

    def marked(self, key: str, value: str) -> list[Mapping[str, Any]]:
        """The volumes with that metadata."""
        answer = self.demo.cinder("GET", f"/volumes/detail?metadata={{'{key}':'{value}'}}")
        found: list[Mapping[str, Any]] = answer.json()["volumes"]
        return found

    def clear(self, key: str = MARK, value: str = "") -> None:
        """Detach and delete every volume with the mark of this run, or with that metadata."""
        volumes = self.marked(key, value or self.run)
        for volume in volumes:
            self._free(volume)
        for volume in volumes:
            self._remove(volume["id"])
        for volume in volumes:
            self.be(volume["id"])

    def _free(self, volume: Mapping[str, Any]) -> None:
        """Detach it, from one server after the other: Cinder refuses two detaches at once."""
        volume_id = volume["id"]
        if not volume["attachments"] and volume["status"] in ("reserved", "attaching", "detaching", "error_deleting"):
            self.reset(volume_id, "available")
        for server in self.servers_of(volume_id):
            self.be(volume_id, "in-use")
            self.asked_detach(volume_id, server)
            self.until(f"{volume_id} to leave {server}", lambda server=server: server not in self.servers_of(volume_id))

    def _remove(self, volume_id: str) -> None:
        def accepted() -> bool:
            return self.demo.cinder("DELETE", f"/volumes/{volume_id}").status_code in (202, 404)

        self.until(f"volume {volume_id} to be deletable", accepted)

    def close(self) -> None:
        self.clear()
        for person in self._persons.values():
            person.close()
